import {
  isOffset,
  isSignal,
  type OptionChecks,
  optionsProblem,
  type RangeLimits,
  rangeProblem,
  refuse,
  shown,
} from '../arguments.ts';
import type { Extent } from '../commands/command.ts';
import type { BlockStatus } from '../commands/status-command.ts';
import { NbdProtocolError, NbdUsageError } from '../errors.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';
import { maxLength } from '../protocol/limits.ts';

/** For `extents`. */
export interface ExtentsOptions {
  /** First byte; default 0. */
  readonly start?: number | undefined;
  /** One behind the last byte; default: the size of the export. */
  readonly end?: number | undefined;
  /** Ends the walk with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Extents that are wanted in one reply: a few pages of memory that is free again before it counts as old. */
const EXTENTS_WANTED = 8192;

/** What the walk needs of a connection or pool. */
export interface StatusEnd extends RangeLimits {
  readonly metaContexts: readonly string[];
  readonly headerStyle: HeaderStyle;
  /** BLOCK_STATUS of a range that the server may answer in part. */
  blockStatus(offset: number, length: number, options: StatusOptions): Promise<BlockStatus>;
}

interface StatusOptions {
  readonly contexts: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/** What the iteration asks. */
export type AskStatus = (offset: number, length: number) => Promise<BlockStatus>;

/** What is walked, in bytes. */
export interface ExtentsRange {
  readonly start: number;
  readonly end: number;
  /** The most that one request covers. */
  readonly windowBytes: number;
  /** Where a request may start: multiples of the minimum block size. */
  readonly alignment: number;
}

const OPTIONS: OptionChecks = { start: isOffset, end: isOffset, signal: isSignal };

/** The extents of a selected context, as many at a time as one reply brings. @throws NbdUsageError */
export function extentBatches(
  nbd: StatusEnd,
  context: string,
  options: ExtentsOptions,
): AsyncGenerator<readonly Extent[], void, undefined> {
  refuse(optionsProblem('extents', options, OPTIONS));
  const { start = 0, end = nbd.exportSize, signal } = options;
  if (!nbd.metaContexts.includes(context)) throw notSelected(context);
  refuse(rangeProblem(nbd, start, end - start));
  const command = { contexts: [context], signal };
  return iterateExtentBatches((offset, length) => nbd.blockStatus(offset, length, command), context, {
    start,
    end,
    windowBytes: maxLength(nbd.headerStyle),
    alignment: nbd.blockSize.minimum,
  });
}

/** The error for a context that was not asked for, or that the server does not have. */
export function notSelected(context: unknown): NbdUsageError {
  return new NbdUsageError(`the metadata context ${shown(context)} was not selected`);
}

/**
 * Walks one context window by window and joins neighbours with the same flags, also across windows. Yields what
 * one reply brought.
 *
 * Memory holds one reply. The extents cover `start` to `end` without gap or overlap. An answer may end within
 * a block (QEMU up to 3.1 does so): the next request starts with that block, and what is known is skipped.
 *
 * @throws NbdProtocolError if an answer brings nothing new
 */
export async function* iterateExtentBatches(
  ask: AskStatus,
  context: string,
  { start, end, windowBytes, alignment }: ExtentsRange,
): AsyncGenerator<readonly Extent[], void, undefined> {
  let pending: Extent | undefined;
  let offset = start;
  let window = windowBytes;
  while (offset < end) {
    const from = offset - (offset % alignment);
    const status = await ask(from, Math.min(window, end - from));
    const extents = status.get(context) ?? [];
    const known = offset;
    const batch: Extent[] = [];
    for (const found of extents) {
      const extent = found.offset < offset ? beginAt(found, offset) : found;
      if (extent.length <= 0) continue;
      if (pending?.flags === extent.flags) {
        pending = { ...pending, length: pending.length + extent.length };
      } else {
        if (pending !== undefined) batch.push(pending);
        pending = extent;
      }
      offset = extent.offset + extent.length;
    }
    if (offset === known)
      throw new NbdProtocolError(`no status behind ${known} in an answer from ${from} on`, 'Block status');
    if (batch.length > 0) yield batch;
    window = nextWindow((offset - from) / extents.length, windowBytes, alignment);
  }
  if (pending !== undefined) yield [pending];
}

/** What brings about as many extents as are wanted, if they go on as long as they were. */
function nextWindow(averageBytes: number, most: number, alignment: number): number {
  const wanted = averageBytes * EXTENTS_WANTED;
  return Math.min(most, Math.ceil(wanted / alignment) * alignment);
}

/** One by one. */
export async function* eachExtent(
  batches: AsyncIterable<readonly Extent[]>,
): AsyncGenerator<Extent, void, undefined> {
  for await (const batch of batches) yield* batch;
}

function beginAt({ offset, length, flags }: Extent, start: number): Extent {
  return { offset: start, length: length - (start - offset), flags };
}
