import type { Extent } from './commands/command.ts';
import type { BlockStatus } from './commands/status-command.ts';

export interface ExtentsOptions {
  /** First byte; default 0. */
  readonly start?: number;
  /** One behind the last byte; default: the size of the export. */
  readonly end?: number;
  readonly signal?: AbortSignal;
}

/** What the iteration asks: BLOCK_STATUS of a range that the server may answer in part. */
export type AskStatus = (offset: number, length: number) => Promise<BlockStatus>;

/**
 * Walks one context window by window and joins neighbours with the same flags, also across windows.
 *
 * Memory holds one reply. The extents cover `start` to `end` without gap or overlap.
 */
export async function* iterateExtents(
  ask: AskStatus,
  context: string,
  range: { readonly start: number; readonly end: number; readonly windowBytes: number },
): AsyncGenerator<Extent, void, undefined> {
  let pending: Extent | undefined;
  let offset = range.start;
  while (offset < range.end) {
    const status = await ask(offset, Math.min(range.windowBytes, range.end - offset));
    for (const extent of status.get(context) ?? []) {
      if (pending?.flags === extent.flags) {
        pending = { ...pending, length: pending.length + extent.length };
      } else {
        if (pending !== undefined) yield pending;
        pending = extent;
      }
      offset = extent.offset + extent.length;
    }
  }
  if (pending !== undefined) yield pending;
}
