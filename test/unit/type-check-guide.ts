import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What the compiler says of the TypeScript blocks of a guide, put together in order. */
export function typeCheckGuide(guide: string): {
  readonly blocks: number;
  readonly problems: readonly string[];
} {
  const text = readFileSync(`${root}docs/${guide}`, 'utf8');
  const blocks = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, block = '']) => block);
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
    paths: {
      'libvirt-ts-rpc': [`${root}packages/libvirt-rpc/src/index.ts`],
      'nbd-ts-client': [`${root}packages/nbd-client/src/index.ts`],
    },
  };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (file, ...rest): ts.SourceFile | undefined =>
    file === name ? ts.createSourceFile(file, source, ts.ScriptTarget.ES2023) : read(file, ...rest);
  const exists = host.fileExists.bind(host);
  host.fileExists = (file): boolean => file === name || exists(file);
  const problems = ts
    .getPreEmitDiagnostics(ts.createProgram([name], options, host))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  return { blocks: blocks.length, problems };
}
