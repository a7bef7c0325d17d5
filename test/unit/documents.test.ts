import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { commands } from '../../packages/cli/src/commands.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const documents = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
  (path) => path.endsWith('.md') && !path.includes('node_modules'),
);

const packages = readdirSync(join(root, 'packages'));

/** `CODE REASON` of every error of backup-core, as its classes and types declare them; also what remarks say. */
function reasons(): string[] {
  const read = (file: string): string =>
    readFileSync(join(root, 'packages/backup-core/src/words', file), 'utf8').replaceAll(
      /\/\*[\s\S]*?\*\//g,
      '',
    );
  const text = read('errors.ts');
  const union = (source: string, type: string): string[] => {
    const [, body = ''] = new RegExp(`type ${type} =([\\s\\S]*?);`).exec(source) ?? [];
    return [...body.matchAll(/'([\w-]+)'/g)].map(([, word = '']) => word);
  };
  const classes = text.matchAll(/extends ReasonedError<(\w+)> \{[^]*?readonly code = '(\w+)';/g);
  const declared = [...classes].map(([, type = '', code = '']) => [code, union(text, type)] as const);
  const answers = read('disk-answers.ts');
  return [
    ...declared,
    ['RemarkReason', union(read('remarks.ts'), 'RemarkReason')] as const,
    ['FullReason', union(answers, 'FullReason')] as const,
    ['ExclusionReason', union(answers, 'ExclusionReason')] as const,
  ].flatMap(([code, words]) => words.map((reason) => `${code} ${reason}`));
}

/** A whole file, or of `FILE#NAME` a region of it. */
function sourceOf(reference: string): string {
  const [file = '', name] = reference.split('#');
  return name === undefined ? readFileSync(join(root, file), 'utf8') : region(file, name);
}

/** The lines between `// #region NAME` and `// #endregion`, without their common indentation. */
function region(file: string, name: string): string {
  const text = readFileSync(join(root, file), 'utf8');
  const match = new RegExp(`^( *)// #region ${name}\\n([\\s\\S]*?)^ *// #endregion`, 'm').exec(text);
  if (match === null) throw new Error(`${file} has no region ${name}`);
  const [, indent = '', body = ''] = match;
  return body.replaceAll(new RegExp(`^${indent}`, 'gm'), '');
}

interface Block {
  readonly document: string;
  readonly source: string | undefined;
  readonly code: string;
}

function blocks(document: string): Block[] {
  const text = readFileSync(join(root, document), 'utf8');
  const matches = text.matchAll(/(?:<!-- source: (\S+) -->\n+)?```ts\n([\s\S]*?)```/g);
  return [...matches].map(([, source, code = '']) => ({ document, source, code }));
}

/** Their blocks build on one another; guide-*.test.ts put them together and type-check them. */
const typeChecked = ['docs/talking-to-libvirt.md', 'docs/reading-dirty-bitmaps.md'];
const all = documents.filter((document) => !typeChecked.includes(document)).flatMap(blocks);

describe('documents', () => {
  it('show code at all', () => {
    expect(all.length).toBeGreaterThan(3);
  });

  it.each(all)('$document: its TypeScript is cut from a compiled example ($source)', ({ source, code }) => {
    expect(source, 'a <!-- source: FILE --> above the block').toBeDefined();
    expect(code).toBe(sourceOf(source ?? ''));
  });

  it.each(all.filter(({ document }) => /README/.test(document)))(
    '$document: a block that uses something imports it ($source)',
    ({ code }) => {
      expect(code).toMatch(/^import /);
    },
  );

  it.each(documents)('%s: its links to files lead somewhere', (document) => {
    const text = readFileSync(join(root, document), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      expect(() => readFileSync(join(root, document, '..', target)), target).not.toThrow(/ENOENT/);
  });

  it.each(packages)('packages/%s/README.md leads nowhere that its tarball does not have', (folder) => {
    const text = readFileSync(join(root, 'packages', folder, 'README.md'), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      expect(['LICENSE', 'README.md'], target).toContain(target);
    for (const [, target = ''] of text.matchAll(/libvirt-ts-backup\/(?:blob|tree)\/main\/([^)#\s]+)/g))
      expect(() => readFileSync(join(root, target)), target).not.toThrow(/ENOENT/);
  });

  it.each(packages)('packages/%s/README.md says how to install it, and what it needs', (folder) => {
    const text = readFileSync(join(root, 'packages', folder, 'README.md'), 'utf8');
    const { name } = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8')) as {
      name: string;
    };
    expect(text).toMatch(new RegExp(`^npm install (--global )?${name}\\b`, 'm'));
    expect(text).toMatch(/Node\s+20\.19 or later/);
    if (folder !== 'cli') expect(text).toMatch(/TypeScript 5\.6 or later/);
  });

  it.each(['README.md', 'packages/cli/README.md'])('%s: its table of commands is whole', (document) => {
    const text = readFileSync(join(root, document), 'utf8');
    const rows = [...text.matchAll(/^\| `([a-z-]+)`\s+\| (.*?)\s+\|$/gm)].map(([, name, what]) => [
      name,
      what,
    ]);
    expect(rows).toEqual(Object.entries(commands).map(([name, { summary }]) => [name, summary]));
  });

  it('When something fails: a row for every code and reason, and none for others', () => {
    const text = readFileSync(join(root, 'docs/when-something-fails.md'), 'utf8');
    const rows: string[] = [];
    let code = '';
    for (const [, heading, reason] of text.matchAll(/^## .*`(\w+)`$|^\| `([\w-]+)`/gm))
      if (heading !== undefined) code = heading;
      else rows.push(`${code} ${reason ?? ''}`);
    const known = reasons();
    expect(known.length).toBeGreaterThan(60);
    expect(
      known.filter((each) => !rows.includes(each)),
      'no row',
    ).toEqual([]);
    expect(
      rows.filter((each) => !known.includes(each)),
      'no such error',
    ).toEqual([]);
  });
});
