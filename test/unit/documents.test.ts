import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const documents = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
  (path) => path.endsWith('.md') && !path.includes('node_modules'),
);

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
    expect(source, 'a <!-- source: FILE#REGION --> above the block').toBeDefined();
    const [file = '', name = ''] = (source ?? '').split('#');
    expect(code).toBe(region(file, name));
  });

  it.each(documents)('%s: its links to files lead somewhere', (document) => {
    const text = readFileSync(join(root, document), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      expect(() => readFileSync(join(root, document, '..', target)), target).not.toThrow(/ENOENT/);
  });
});
