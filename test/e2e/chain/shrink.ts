import { ChainProblem } from './problem.ts';
import { type ChainOptions, replayLine, runChain } from './run-chain.ts';

/** Whether these steps alone end with a problem of the same kind; if so, how many of them it takes. */
async function stepsToProblem(
  options: ChainOptions,
  indexes: readonly number[],
  kind: string,
): Promise<number | undefined> {
  let begun = 0;
  const log = (line: string): void => {
    if (line.startsWith('step ')) begun += 1;
  };
  try {
    await runChain({ ...options, indexes, log });
    return undefined;
  } catch (error) {
    if (!(error instanceof ChainProblem) || error.kind !== kind) return undefined;
    return Math.min(begun + 1, indexes.length);
  }
}

/** Leaves steps out of a chain that failed with `error` for as long as it fails in the same way; says what is left. */
export async function shrink(options: ChainOptions, error: unknown): Promise<string> {
  if (!(error instanceof ChainProblem)) return 'this is no problem that can be shrunk';
  const { kind } = error;
  const first = await stepsToProblem(options, options.indexes, kind);
  if (first === undefined) return `it did not happen again: ${replayLine(options)}`;
  let indexes = options.indexes.slice(0, first);
  for (let size = Math.ceil(indexes.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < indexes.length;) {
      const fewer = [...indexes.slice(0, from), ...indexes.slice(from + size)];
      const needed = fewer.length === 0 ? undefined : await stepsToProblem(options, fewer, kind);
      if (needed === undefined) from += size;
      else indexes = fewer.slice(0, needed);
    }
  }
  return `shrunk: ${replayLine({ ...options, indexes })}`;
}
