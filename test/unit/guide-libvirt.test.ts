import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('the guide to libvirt compiles', { timeout: 60_000 }, () => {
  const guide = readFileSync(`${root}docs/talking-to-libvirt.md`, 'utf8');
  const blocks = [...guide.matchAll(/```ts\n(.*?)```/gs)].map(([, block = '']) => block);
  expect(blocks.length).toBeGreaterThan(5);
  const code = blocks.join('\n');
  const imports = code.match(/^import .*$/gm) ?? [];
  const source = [...imports, code.replace(/^import .*$/gm, ''), 'export {};'].join('\n');
  const name = `${root}test/unit/guide.generated.ts`;
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    paths: { 'libvirt-ts-rpc': [`${root}packages/libvirt-rpc/src/index.ts`] },
  };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (file, ...rest): ts.SourceFile | undefined =>
    file === name ? ts.createSourceFile(file, source, ts.ScriptTarget.ES2023) : read(file, ...rest);
  const exists = host.fileExists.bind(host);
  host.fileExists = (file): boolean => file === name || exists(file);
  const problems = ts.getPreEmitDiagnostics(ts.createProgram([name], options, host));
  expect(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
});
