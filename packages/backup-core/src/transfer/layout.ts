import type { BlockSource } from '../ports/block-source.ts';
import {
  abortSignal,
  checkOptions,
  type OptionChecks,
  positiveInteger,
  rangesInOrder,
  someText,
  trueOrFalse,
} from '../words/check-options.ts';
import {
  AUDITED,
  DIRTY,
  DOUBTFUL,
  endOfCleanData,
  mark,
  type Piece,
  walkStatus,
  ZERO,
} from './status-walk.ts';

export { BASE_ALLOCATION } from './status-walk.ts';

/** A part of a disk, in bytes. */
export interface ByteRange {
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** A range that has to be read, or is known to read as zeroes. */
export interface LayoutRange extends ByteRange {
  /** `audit`: clean data that is read all the same, because `LayoutOptions.audit` asks for it. */
  readonly type: 'data' | 'zero' | 'audit';
}

/** What `layout` leaves out, and what it does not. */
export interface LayoutOptions {
  /** An incremental: leaves out data that this context does not call dirty. */
  readonly dirtyBitmap?: string | undefined;
  /** Of an incremental, ranges that are emitted whatever the bitmap says: in order, they may reach past the end. */
  readonly doubtful?: readonly ByteRange[] | undefined;
  /**
   * Of an incremental, bytes of a cluster of the image, if that is more than a bit of the bitmap stands for: what is
   * in one cluster with something dirty is emitted, too. A write into a cluster that reads as zeroes makes data of
   * all of it, and a bitmap that had forgotten what was there knows of the write alone.
   */
  readonly cluster?: number | undefined;
  /**
   * Of an incremental, emits also the last clean data of the disk, back to a multiple of so many bytes. Where an
   * image was shrunk and grown, everything behind reads as zeroes or is dirty, so the rest of the cluster that
   * its end was in is there.
   */
  readonly lastCleanCluster?: number | undefined;
  /** Of an incremental, ranges whose clean data is emitted as `audit`: in order, they may reach past the end. */
  readonly audit?: readonly ByteRange[] | undefined;
  /**
   * Of an incremental, emits nothing but what is clean within the ranges to audit: data as `audit`, and zeroes. A block
   * that is dirty or doubtful in part is left out.
   */
  readonly auditOnly?: boolean | undefined;
  /**
   * Cuts the disk into blocks of so many bytes, the last of which may be shorter: a block is emitted whole if
   * anything of it would be, and is zero only if all of it is. Default: 1.
   */
  readonly alignment?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const LAYOUT_OPTIONS: OptionChecks<LayoutOptions> = {
  dirtyBitmap: someText,
  doubtful: rangesInOrder,
  cluster: positiveInteger,
  lastCleanCluster: positiveInteger,
  audit: rangesInOrder,
  auditOnly: trueOrFalse,
  alignment: positiveInteger,
  signal: abortSignal,
};

/**
 * What has to be stored of a disk, in order: of a full backup everything, as data or zeroes; of an incremental
 * the dirty data, what is doubtful, and whatever reads as zeroes, dirty or not. Left out, deleted data would
 * come back: a bitmap does not know of an image that was shrunk and grown again.
 *
 * One pass, because base:allocation changes while a job runs. Only ZERO promises zeroes; a hole without it is
 * data. Neighbours of one type are joined; memory holds one status reply.
 *
 * @throws BackupUsageError, what the source fails with, SourceError if its answers leave something out, or the signal's
 * reason
 */
export async function* layout(
  source: BlockSource,
  options: LayoutOptions = {},
): AsyncGenerator<LayoutRange, void, undefined> {
  checkOptions('layout', options, LAYOUT_OPTIONS);
  const { dirtyBitmap, cluster, alignment = 1, audit = [], auditOnly = false, signal } = options;
  const doubtful = dirtyBitmap === undefined ? [] : await doubtsOf(source, options);
  const isFull = dirtyBitmap === undefined;
  const blocks = new Blocks(alignment, auditOnly ? cleanTypeOf : (all, any) => typeOf(all, any, isFull));
  const walk = { dirtyBitmap, cluster, from: 0, to: source.exportSize, signal };
  for await (const known of walkStatus(source, walk)) {
    let pieces = known;
    if (doubtful.length > 0) pieces = mark(pieces, doubtful, DOUBTFUL);
    if (audit.length > 0) pieces = mark(pieces, audit, AUDITED);
    for (const range of blocks.take(pieces)) yield range;
  }
  for (const range of blocks.end()) yield range;
}

async function doubtsOf(
  source: BlockSource,
  { dirtyBitmap, cluster, doubtful = [], lastCleanCluster, signal }: LayoutOptions,
): Promise<readonly ByteRange[]> {
  if (lastCleanCluster === undefined) return doubtful;
  const end = await endOfCleanData(source, { dirtyBitmap, cluster, signal });
  if (end === 0) return doubtful;
  const offset = end - 1 - ((end - 1) % lastCleanCluster);
  return [...doubtful, { offset, length: end - offset }].sort((a, b) => a.offset - b.offset);
}

/** Takes pieces in order, makes whole blocks of them, and joins those of one type. */
class Blocks {
  readonly #alignment: number;
  readonly #typeOf: (all: number, any: number) => LayoutRange['type'] | undefined;
  /** A block of which only the beginning is known: the states that all, and that any, of its pieces have. */
  #begun: { offset: number; length: number; all: number; any: number } | undefined;
  #pending: { type: LayoutRange['type']; offset: number; length: number } | undefined;

  /** @param type - of a block, by the states that all and that any of its pieces have; undefined: left out */
  constructor(alignment: number, type: (all: number, any: number) => LayoutRange['type'] | undefined) {
    this.#alignment = alignment;
    this.#typeOf = type;
  }

  *take(pieces: Iterable<Piece>): Generator<LayoutRange, void, undefined> {
    for (const { offset: start, length, state } of pieces) {
      const end = start + length;
      for (let offset = start; offset < end;) {
        const wholeEnd = end - (end % this.#alignment);
        const isWhole = this.#begun === undefined && wholeEnd > offset;
        const until = isWhole ? wholeEnd : this.#begin(offset, end, state);
        const done = isWhole ? this.#join(state, state, offset, until - offset) : this.#finishBlock(false);
        if (done !== undefined) yield done;
        offset = until;
      }
    }
  }

  *end(): Generator<LayoutRange, void, undefined> {
    const done = this.#finishBlock(true);
    if (done !== undefined) yield done;
    if (this.#pending !== undefined) yield this.#pending;
  }

  /** Adds the piece to the block that it is in, as far as that reaches. @returns the end of what was added */
  #begin(offset: number, end: number, state: number): number {
    const begun = (this.#begun ??= { offset, length: 0, all: state, any: state });
    const until = Math.min(end, begun.offset + this.#alignment);
    begun.length = until - begun.offset;
    begun.all &= state;
    begun.any |= state;
    return until;
  }

  #finishBlock(isLast: boolean): LayoutRange | undefined {
    const begun = this.#begun;
    if (begun === undefined || (begun.length < this.#alignment && !isLast)) return undefined;
    this.#begun = undefined;
    return this.#join(begun.all, begun.any, begun.offset, begun.length);
  }

  /** @returns the range before, if this one does not continue it */
  #join(all: number, any: number, offset: number, length: number): LayoutRange | undefined {
    const type = this.#typeOf(all, any);
    if (type === undefined) return undefined;
    const pending = this.#pending;
    if (pending?.type === type && pending.offset + pending.length === offset) {
      pending.length += length;
      return undefined;
    }
    this.#pending = { type, offset, length };
    return pending;
  }
}

/** @returns undefined: left out */
function typeOf(all: number, any: number, isFull: boolean): LayoutRange['type'] | undefined {
  if ((all & ZERO) !== 0) return 'zero';
  // Zeroes in a part of a block are stored by storing the block.
  if (isFull || (any & (DIRTY | DOUBTFUL | ZERO)) !== 0) return 'data';
  return (any & AUDITED) === 0 ? undefined : 'audit';
}

/** @returns undefined: left out */
function cleanTypeOf(all: number, any: number): LayoutRange['type'] | undefined {
  if ((any & (DIRTY | DOUBTFUL)) !== 0 || (any & AUDITED) === 0) return undefined;
  return (all & ZERO) !== 0 ? 'zero' : 'audit';
}
