import type { BlockSource, StatusExtent } from '../ports/block-source.ts';

/** A range that has to be read, or is known to read as zeroes. Bytes. */
export interface LayoutRange {
  readonly type: 'data' | 'zero';
  readonly offset: number;
  readonly length: number;
}

export interface LayoutOptions {
  /** Leaves out what this context does not call dirty. */
  readonly dirtyBitmap?: string;
  readonly signal?: AbortSignal;
}

export const BASE_ALLOCATION = 'base:allocation';
const STATE_ZERO = 2;
const STATE_DIRTY = 1;
/** What one status request asks for. A million extents of 64 KiB come in a few dozen replies. */
const WINDOW_BYTES: number = 2 ** 31;

/**
 * What has to be stored of a disk, in order: of a full backup everything, as data or zeroes; of an
 * incremental the dirty ranges. Dirty and zero is a zero range: left out, deleted data would come back.
 *
 * One pass, because base:allocation changes while a job runs. Only ZERO promises zeroes; a hole without it
 * is data. Neighbours of one type are joined; memory holds one status reply.
 */
export async function* layout(
  source: BlockSource,
  options: LayoutOptions = {},
): AsyncGenerator<LayoutRange, void, undefined> {
  const { dirtyBitmap, signal } = options;
  let pending: LayoutRange | undefined;
  let offset = 0;
  while (offset < source.exportSize) {
    const length = Math.min(WINDOW_BYTES, source.exportSize - offset);
    const status = await source.blockStatus(offset, length, signal === undefined ? {} : { signal });
    const allocation = extentsOf(status, BASE_ALLOCATION);
    const dirty = dirtyBitmap === undefined ? undefined : extentsOf(status, dirtyBitmap);
    for (const range of merge(allocation, dirty)) {
      if (pending?.type === range.type && pending.offset + pending.length === range.offset) {
        pending = { ...pending, length: pending.length + range.length };
      } else {
        if (pending !== undefined) yield pending;
        pending = range;
      }
    }
    offset = Math.min(endOf(allocation), dirty === undefined ? Infinity : endOf(dirty));
  }
  if (pending !== undefined) yield pending;
}

/** Both lists start at the same offset; the result ends where the shorter one does. */
function* merge(
  allocation: readonly StatusExtent[],
  dirty: readonly StatusExtent[] | undefined,
): Generator<LayoutRange, void, undefined> {
  const end = Math.min(endOf(allocation), dirty === undefined ? Infinity : endOf(dirty));
  let index = 0;
  for (const extent of allocation) {
    const type = (extent.flags & STATE_ZERO) === 0 ? 'data' : 'zero';
    const extentEnd = Math.min(extent.offset + extent.length, end);
    if (dirty === undefined) {
      yield { type, offset: extent.offset, length: extentEnd - extent.offset };
      continue;
    }
    let offset = extent.offset;
    while (offset < extentEnd) {
      const bitmap = dirty[index] as StatusExtent;
      const until = Math.min(bitmap.offset + bitmap.length, extentEnd);
      if ((bitmap.flags & STATE_DIRTY) !== 0) yield { type, offset, length: until - offset };
      if (until === bitmap.offset + bitmap.length) index++;
      offset = until;
    }
  }
}

function extentsOf(
  status: ReadonlyMap<string, readonly StatusExtent[]>,
  context: string,
): readonly StatusExtent[] {
  const extents = status.get(context);
  // No extents is not "nothing changed".
  if (extents === undefined || extents.length === 0) throw new Error(`no status for ${context}`);
  return extents;
}

function endOf(extents: readonly StatusExtent[]): number {
  const last = extents.at(-1);
  return last === undefined ? 0 : last.offset + last.length;
}
