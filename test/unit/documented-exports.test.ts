import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Says itself what it is: its name does, or the language; `#` is private, `__` has no name. */
const SELF_EVIDENT = /^(code|reason|name|message|cause|stack|signal|prototype|#.*|__.*)$/;

/** Exports, and public members of exported classes and interfaces, that have no comment. */
function undocumented(entry: string): string[] {
  const program = ts.createProgram([entry], {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    allowImportingTsExtensions: true,
    noEmit: true,
  });
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(entry);
  const module = file && checker.getSymbolAtLocation(file);
  if (module === undefined) throw new Error(`${entry} is no module`);
  const isBare = (symbol: ts.Symbol): boolean =>
    symbol.getDocumentationComment(checker).length === 0 && symbol.getJsDocTags(checker).length === 0;
  return checker.getExportsOfModule(module).flatMap((exported) => {
    const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
    const symbol = isAlias ? checker.getAliasedSymbol(exported) : exported;
    const members = [...(symbol.members?.values() ?? [])].filter(
      (member) =>
        !SELF_EVIDENT.test(member.name) &&
        (member.flags & (ts.SymbolFlags.Property | ts.SymbolFlags.Method | ts.SymbolFlags.Accessor)) !== 0,
    );
    const bareMembers = members.filter(isBare).map((member) => `${symbol.name}.${member.name}`);
    return isBare(symbol) ? [symbol.name, ...bareMembers] : bareMembers;
  });
}

/** Entry points, and how many of each still have no comment: the numbers may only shrink, to 0. */
const ENTRIES: readonly (readonly [entry: string, pending: number])[] = [
  ['nbd-client/src/index.ts', 0],
  ['libvirt-rpc/src/index.ts', 0],
  ['backup-core/src/index.ts', 0],
  ['backup-core/src/transfer.ts', 0],
  ['backup-core/src/testing.ts', 0],
];

describe('every export and public member has a comment', () => {
  it.each(ENTRIES)('%s', { timeout: 60_000 }, (entry, pending) => {
    const bare = undocumented(`${root}packages/${entry}`);
    if (bare.length > pending || pending === 0) expect(bare, String(bare.length)).toEqual([]);
    expect(bare.length > 0, 'all have a comment: the number is 0 now').toBe(pending > 0);
  });
});
