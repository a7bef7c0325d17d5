import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../packages/libvirt-rpc', import.meta.url));

/** The files that the declarations of `file` import. */
function declarationImports(file: string): string[] {
  const { outputText } = ts.transpileDeclaration(readFileSync(file, 'utf8'), {
    fileName: file,
    compilerOptions: { isolatedDeclarations: true, target: ts.ScriptTarget.ES2023 },
  });
  return [...outputText.matchAll(/(?:from |import\()["'](\.[^"']+)["']/g)].map(([, path = '']) =>
    join(dirname(file), path),
  );
}

/** What whoever uses the package needs to have its types. */
function neededDeclarations(): string[] {
  const needed = new Set<string>();
  const visit = (file: string): void => {
    if (needed.has(file)) return;
    needed.add(file);
    declarationImports(file).forEach(visit);
  };
  visit(join(root, 'src/index.ts'));
  return [...needed].map((file) => relative(join(root, 'src'), file).replace(/\.ts$/, '.d.ts'));
}

/** An entry of package.json's `files`, where it uses `*`, `**` and `{a,b}`. */
function pattern(glob: string): RegExp {
  const source = glob
    .replaceAll('.', String.raw`\.`)
    .replaceAll('**/', '<any>')
    .replaceAll('*', '[^/]*')
    .replaceAll('<any>', '(?:.*/)?')
    .replaceAll(/\{([^}]*)\}/g, (_, choices: string) => `(?:${choices.replaceAll(',', '|')})`);
  return new RegExp(`^${source}$`);
}

test('every declaration that the public ones lead to is published', () => {
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
  const kept = files.filter((glob) => !glob.startsWith('!')).map(pattern);
  const dropped = files.filter((glob) => glob.startsWith('!')).map((glob) => pattern(glob.slice(1)));
  const isPublished = (path: string): boolean =>
    kept.some((glob) => glob.test(path)) && !dropped.some((glob) => glob.test(path));
  const needed = neededDeclarations();
  expect(needed.length).toBeGreaterThan(50);
  expect(needed.filter((path) => !isPublished(`dist/${path}`))).toEqual([]);
  expect(isPublished('dist/safe-number.d.ts')).toBe(false);
});
