import { type BlockSource, SourceError, type StatusExtent } from '../ports/block-source.ts';

/** The context that tells zeroes from data. */
export const BASE_ALLOCATION = 'base:allocation';

/** It reads as zeroes. */
export const ZERO = 1;
/** The bitmap calls it dirty. */
export const DIRTY = 2;
/** Whatever the bitmap says, it may have changed. */
export const DOUBTFUL = 4;
/** It is to be read even if it is clean. */
export const AUDITED = 8;

/** A piece of a disk all of which is in one state: bits as above. Bytes. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly state: number;
}

/** What of a disk is walked, and what is asked about it. */
export interface Walk {
  /** The bitmap's context; absent: nothing is called dirty. */
  readonly dirtyBitmap?: string | undefined;
  /** What is in one cluster of so many bytes with something dirty is called dirty, too. */
  readonly cluster?: number | undefined;
  /** A multiple of `cluster`. */
  readonly from: number;
  readonly to: number;
  readonly signal?: AbortSignal | undefined;
}

const STATE_ZERO = 2;
const STATE_DIRTY = 1;
/** What one status request asks for. A million extents of 64 KiB come in a few dozen replies. */
const WINDOW_BYTES: number = 2 ** 31;

/**
 * The states of a part of a disk, in order and without gaps, one status reply at a time: memory holds no more.
 * Only ZERO promises zeroes; a hole without it is data.
 */
export async function* walkStatus(
  source: BlockSource,
  { dirtyBitmap, cluster, from, to, signal }: Walk,
): AsyncGenerator<Iterable<Piece>, void, undefined> {
  const clusters = cluster === undefined ? undefined : new Clusters(cluster);
  for (let offset = from; offset < to;) {
    const length = Math.min(WINDOW_BYTES, to - offset);
    const status = await source.blockStatus(offset, length, signal === undefined ? {} : { signal });
    const allocation = extentsOf(status, BASE_ALLOCATION, offset);
    const dirty = dirtyBitmap === undefined ? undefined : extentsOf(status, dirtyBitmap, offset);
    const end = Math.min(endOf(allocation), dirty === undefined ? Infinity : endOf(dirty), to);
    const pieces = merge(allocation, dirty, end);
    yield clusters === undefined ? pieces : clusters.take(pieces);
    offset = end;
  }
  if (clusters !== undefined) yield clusters.end();
}

/**
 * The end of the last data that is not dirty; 0: there is none. Walks backwards, so it asks little of a disk
 * that is full to its end.
 */
export async function endOfCleanData(
  source: BlockSource,
  walk: Pick<Walk, 'dirtyBitmap' | 'cluster' | 'signal'>,
): Promise<number> {
  for (let to = source.exportSize; to > 0;) {
    const from = Math.max(0, to - WINDOW_BYTES);
    let found = 0;
    for await (const pieces of walkStatus(source, { ...walk, from, to }))
      for (const { offset, length, state } of pieces)
        if ((state & (ZERO | DIRTY)) === 0) found = offset + length;
    if (found > 0) return found;
    to = from;
  }
  return 0;
}

/** Adds a bit to the state of what lies in one of the ranges, which are in order. */
export function* mark(
  pieces: Iterable<Piece>,
  ranges: readonly { readonly offset: number; readonly length: number }[],
  bit: number,
): Generator<Piece, void, undefined> {
  let index = 0;
  for (const { offset: start, length, state } of pieces) {
    const end = start + length;
    for (let offset = start; offset < end;) {
      let range = ranges[index];
      while (range !== undefined && range.offset + range.length <= offset) range = ranges[++index];
      const isInside = range !== undefined && range.offset <= offset;
      const next = range === undefined ? end : isInside ? range.offset + range.length : range.offset;
      const until = Math.min(next, end);
      yield { offset, length: until - offset, state: isInside ? state | bit : state };
      offset = until;
    }
  }
}

/** Both lists start at the same offset and leave nothing out. */
function* merge(
  allocation: readonly StatusExtent[],
  dirty: readonly StatusExtent[] | undefined,
  end: number,
): Generator<Piece, void, undefined> {
  let index = 0;
  for (const extent of allocation) {
    const zero = (extent.flags & STATE_ZERO) === 0 ? 0 : ZERO;
    const extentEnd = Math.min(extent.offset + extent.length, end);
    for (let offset = extent.offset; offset < extentEnd;) {
      const bitmap = dirty?.[index];
      const bitmapEnd = bitmap === undefined ? Infinity : bitmap.offset + bitmap.length;
      const until = Math.min(bitmapEnd, extentEnd);
      const changed = bitmap === undefined || (bitmap.flags & STATE_DIRTY) === 0 ? 0 : DIRTY;
      yield { offset, length: until - offset, state: zero | changed };
      if (until === bitmapEnd) index++;
      offset = until;
    }
  }
}

/** Holds the pieces of one cluster back until all of them are known. */
class Clusters {
  readonly #size: number;
  #held: Piece[] = [];
  #any = 0;

  constructor(size: number) {
    this.#size = size;
  }

  *take(pieces: Iterable<Piece>): Generator<Piece, void, undefined> {
    for (const { offset: start, length, state } of pieces) {
      const end = start + length;
      for (let offset = start; offset < end;) {
        const wholeEnd = end - (end % this.#size);
        const isWhole = this.#held.length === 0 && wholeEnd > offset;
        const until = isWhole ? wholeEnd : Math.min(end, offset - (offset % this.#size) + this.#size);
        const piece = { offset, length: until - offset, state };
        if (isWhole) yield piece;
        else this.#hold(piece);
        if (until % this.#size === 0) yield* this.end();
        offset = until;
      }
    }
  }

  *end(): Generator<Piece, void, undefined> {
    for (const piece of this.#held) yield { ...piece, state: piece.state | (this.#any & DIRTY) };
    this.#held = [];
    this.#any = 0;
  }

  #hold(piece: Piece): void {
    this.#held.push(piece);
    this.#any |= piece.state;
  }
}

/** @throws SourceError where anything is left out: that would not be stored, and nobody would know */
function extentsOf(
  status: ReadonlyMap<string, readonly StatusExtent[]>,
  context: string,
  from: number,
): readonly StatusExtent[] {
  const extents = status.get(context) ?? [];
  let next = from;
  for (const { offset, length } of extents) {
    if (offset !== next || !(length > 0)) break;
    next += length;
  }
  // No extents is not "nothing changed".
  if (next === from || next !== endOf(extents))
    throw new SourceError('failed', `no status for ${context} at ${next}`);
  return extents;
}

function endOf(extents: readonly StatusExtent[]): number {
  const last = extents.at(-1);
  return last === undefined ? 0 : last.offset + last.length;
}
