import type { BatchSink, SinkBatch, SinkRange } from '../../ports/sink.ts';
import { BackupUsageError } from '../../words/errors.ts';
import { BLOCK_SIZE, blocksOf, HASH_BYTES } from '../format.ts';
import { KIND, PACKING, SEAL_BYTES } from '../packs/pack-format.ts';
import type { PackPiece, PackWriter } from '../packs/pack-writer.ts';
import { BLOCK_STATE, type HashResult } from '../workers/block-work.ts';
import { type BaseTree, TreeBuilder } from './builder.ts';
import { FANOUT, MAX_DISK_BYTES, type Page, type Reference } from './page.ts';
import { TreeReader } from './tree-reader.ts';
import type { TreeStore } from './tree-store.ts';

export interface DiskWriterOptions {
  /** Where blocks and pages go; shared by the disks of a backup. */
  readonly packs: PackWriter;
  /** Bytes. */
  readonly size: number;
  /** What ranges that are not written are shared with; absent: they are zero. */
  readonly base?: BaseTree | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of a disk by what became of them. */
export interface DiskCounts {
  /** Of ranges that were read, those that were only compared included. */
  readonly readBytes: number;
  /** Of these, the ones that were read to be compared. */
  readonly auditedBytes: number;
  /** Of these, the ones that had changed: whoever said they had not is wrong. They are stored. */
  readonly changedBytes: number;
  /** Of new blocks, before and after they were packed. */
  readonly storedRawBytes: number;
  /** As they are stored: packed, and encrypted where the repository is. */
  readonly storedBytes: number;
  /** Read, and the same as in the base. */
  readonly reusedBytes: number;
  /** Read as zeroes, or known to be. */
  readonly zeroBytes: number;
}

/** What a written disk is found by. */
export interface WrittenDisk {
  /** undefined: it is all zeroes. */
  readonly root: Reference | undefined;
  readonly counts: DiskCounts;
}

/** So many batches may be done before one that is not. */
const MAX_AHEAD = 64;

type Step =
  | { readonly first: number; readonly blocks: readonly (Reference | 'zero' | 'same')[] }
  | { readonly first: number; readonly zeroUntil: number };

/** A piece of a range: where it is in the buffer, and on the disk. */
interface Blocks {
  readonly range: SinkRange;
  readonly first: number;
  readonly count: number;
  /** Among the blocks of the batch. */
  readonly index: number;
}

/**
 * Writes a disk as a tree: takes what a copy reads, hashes it in the workers, and stores what the base does not have.
 * Bounded memory: the buffers are the copy's, the tree keeps a page a level.
 */
export class DiskWriter implements BatchSink {
  readonly #store: TreeStore;
  readonly #options: DiskWriterOptions;
  readonly #base: TreeReader | undefined;
  readonly #builder: TreeBuilder;
  readonly #outputs: SharedArrayBuffer[] = [];
  readonly #done = new Map<number, readonly Step[]>();
  readonly #counts = {
    readBytes: 0,
    auditedBytes: 0,
    changedBytes: 0,
    storedRawBytes: 0,
    storedBytes: 0,
    reusedBytes: 0,
    zeroBytes: 0,
  };
  #wantsTail: boolean;
  #next = 0;
  #building: Promise<void> = Promise.resolve();
  #waiting: (() => void)[] = [];

  private constructor(store: TreeStore, options: DiskWriterOptions, builder: TreeBuilder) {
    this.#store = store;
    this.#options = options;
    this.#base = options.base && new TreeReader(store, options.base);
    this.#builder = builder;
    this.#wantsTail = tailToRead(options.base?.size ?? 0, options.size) !== undefined;
  }

  /** @throws DamagedError if the base's pages that a new size changes cannot be read */
  static async open(store: TreeStore, options: DiskWriterOptions): Promise<DiskWriter> {
    const { size, base, packs, signal } = options;
    if (!Number.isSafeInteger(size) || size < 0 || size > MAX_DISK_BYTES)
      throw new BackupUsageError('option', `a disk cannot have ${size} bytes`);
    const builder = await TreeBuilder.create(
      { size, base, hashKey: store.keys?.hashKey },
      {
        load: (reference, level) => store.load(reference, level, signal),
        store: (page: Page, hash: Buffer) => store.store(page, hash, packs),
      },
    );
    return new DiskWriter(store, options, builder);
  }

  /** Bytes so far. */
  get counts(): DiskCounts {
    return { ...this.#counts };
  }

  async takeBatch(batch: SinkBatch, options: { readonly signal: AbortSignal }): Promise<void> {
    await this.#turn(batch.sequence, options.signal);
    this.#done.set(batch.sequence, await this.#storeBatch(batch));
    this.#building = this.#building.then(() => this.#build());
    await this.#building;
  }

  /**
   * Everything was taken. The disk can be read when its packs are sealed.
   *
   * @throws BackupUsageError if batches are missing, or the end that a smaller size cut through was not written
   */
  async finish(): Promise<WrittenDisk> {
    await this.#building;
    if (this.#done.size > 0) throw new BackupUsageError('state', `batch ${this.#next} of a disk is missing`);
    if (this.#wantsTail)
      throw new BackupUsageError('state', 'the last block of a disk that shrank was not written');
    return { root: await this.#builder.finish(), counts: this.counts };
  }

  /** Waits while too many batches are ahead of one that is late. */
  async #turn(sequence: number, signal: AbortSignal): Promise<void> {
    while (sequence > this.#next + MAX_AHEAD) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const go = (): void => {
          signal.removeEventListener('abort', go);
          resolve();
        };
        signal.addEventListener('abort', go, { once: true });
        this.#waiting.push(go);
      });
    }
  }

  /** Puts what is complete into the tree, in order. */
  async #build(): Promise<void> {
    for (;;) {
      const steps = this.#done.get(this.#next);
      if (steps === undefined) break;
      for (const step of steps)
        if ('blocks' in step) await this.#builder.put(step.first, step.blocks);
        else await this.#builder.zero(step.first, step.zeroUntil);
      this.#done.delete(this.#next++);
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  async #storeBatch({ ranges, buffer }: SinkBatch): Promise<readonly Step[]> {
    const parts = this.#blocksIn(ranges);
    const read = parts.filter(({ range }) => range.type !== 'zero');
    const stored = read.length === 0 ? [] : await this.#storeBlocks(read, buffer);
    return parts.map(({ range, first, count, index }) => {
      if (range.type !== 'zero') return { first, blocks: stored.slice(index, index + count) };
      this.#counts.zeroBytes += range.length;
      return { first, zeroUntil: first + count };
    });
  }

  #blocksIn(ranges: readonly SinkRange[]): readonly Blocks[] {
    const { size, base } = this.#options;
    let index = 0;
    return ranges.map((range) => {
      const { type, offset, length } = range;
      const end = offset + length;
      if (offset % BLOCK_SIZE !== 0 || (end % BLOCK_SIZE !== 0 && end !== size) || end > size)
        throw new BackupUsageError('option', `${length} bytes at ${offset} are not whole blocks of the disk`);
      const tail = tailToRead(base?.size ?? 0, size);
      if (tail !== undefined && offset <= tail.offset && end === size) this.#wantsTail = false;
      const blocks = { range, first: offset / BLOCK_SIZE, count: blocksOf(length), index };
      if (type !== 'zero') index += blocks.count;
      return blocks;
    });
  }

  async #storeBlocks(
    parts: readonly Blocks[],
    buffer: Buffer,
  ): Promise<readonly (Reference | 'zero' | 'same')[]> {
    const { dataKey } = this.#options.packs;
    const { packing, keys } = this.#store;
    const places = placesOf(parts, buffer);
    const expected = await this.#expected(parts, places.length / 2);
    const output =
      packing !== PACKING.none || dataKey !== undefined ? this.#output(buffer.length) : undefined;
    const result = await this.#store.workers.run({
      type: 'hash',
      input: sharedMemoryOf(buffer),
      places,
      expected,
      output,
      packing,
      hashKey: keys?.hashKey,
      dataKey,
    });
    this.#options.signal?.throwIfAborted();
    const found = await this.#append(result, places, output ?? sharedMemoryOf(buffer), output === undefined);
    if (output !== undefined) this.#outputs.push(output);
    this.#count(parts, places, result, expected);
    return found.map((block, index) => (block === 'zero' && isZeroHash(expected, index) ? 'same' : block));
  }

  /** The hashes that the base has of the blocks; zeroes where it has none. */
  async #expected(parts: readonly Blocks[], count: number): Promise<Uint8Array> {
    const expected = new Uint8Array(count * HASH_BYTES);
    if (this.#base === undefined) return expected;
    for (const { first, count: blocks, index } of parts)
      for (let at = 0; at < blocks;) {
        const leaf = Math.floor((first + at) / FANOUT);
        const end = Math.min(blocks, (leaf + 1) * FANOUT - first);
        const page = await this.#base.leaf(leaf, this.#options.signal);
        for (; at < end; at++) {
          const slot = (first + at) % FANOUT;
          if (page?.has(slot) === true) expected.set(page.hashAt(slot), (index + at) * HASH_BYTES);
        }
      }
    return expected;
  }

  /** Puts new blocks into the pack: those that lie one behind the other together. */
  async #append(
    { states, hashes, lengths, packings }: HashResult,
    places: Uint32Array,
    memory: SharedArrayBuffer,
    isInPlace: boolean,
  ): Promise<(Reference | 'zero' | 'same')[]> {
    const found: (Reference | 'zero' | 'same')[] = Array.from(states, (state) =>
      state === BLOCK_STATE.zero ? 'zero' : 'same',
    );
    const appended: Promise<void>[] = [];
    let packed = 0;
    for (let index = 0; index < states.length; index++) {
      if (states[index] !== BLOCK_STATE.new) continue;
      const from = index;
      const start = isInPlace ? (places[from * 2] as number) : packed;
      const pieces: PackPiece[] = [];
      let length = 0;
      for (; index < states.length && (states[index] === BLOCK_STATE.new || !isInPlace); index++) {
        if (states[index] !== BLOCK_STATE.new) continue;
        const piece = {
          kind: KIND.block,
          packing: packings[index] as number,
          length: lengths[index] as number,
          hash: hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
        };
        pieces.push(piece);
        length += piece.length;
      }
      packed += length;
      const run = Buffer.from(memory, start, length);
      appended.push(
        this.#options.packs.append(run, pieces).then(({ pack, first }) => {
          let number = first;
          for (let at = from; number < first + pieces.length; at++)
            if (states[at] === BLOCK_STATE.new)
              found[at] = { hash: (pieces[number - first] as PackPiece).hash, pack, number: number++ };
        }),
      );
    }
    // All of them, so that none still reads the buffer when this is settled.
    for (const outcome of await Promise.allSettled(appended))
      if (outcome.status === 'rejected') throw outcome.reason;
    return found;
  }

  #count(parts: readonly Blocks[], places: Uint32Array, result: HashResult, expected: Uint8Array): void {
    const counts = this.#counts;
    for (const { range, index: from, count } of parts) {
      counts.readBytes += range.length;
      if (range.type === 'audit') counts.auditedBytes += range.length;
      for (let index = from; index < from + count; index++) {
        const length = places[index * 2 + 1] as number;
        const state = result.states[index];
        if (state === BLOCK_STATE.zero) counts.zeroBytes += length;
        else if (state === BLOCK_STATE.same) counts.reusedBytes += length;
        else {
          counts.storedRawBytes += length;
          counts.storedBytes += result.lengths[index] as number;
        }
        const isEqual = state === BLOCK_STATE.zero ? isZeroHash(expected, index) : state === BLOCK_STATE.same;
        if (range.type === 'audit' && !isEqual) counts.changedBytes += length;
      }
    }
  }

  #output(bytes: number): SharedArrayBuffer {
    const wanted = bytes + blocksOf(bytes) * SEAL_BYTES;
    const output = this.#outputs.pop();
    return output !== undefined && output.byteLength >= wanted ? output : new SharedArrayBuffer(wanted);
  }
}

/**
 * What must be read of a disk that became smaller in the middle of a block: that block, since behind the new end
 * the base has what was cut off.
 */
export function tailToRead(baseSize: number, size: number): SinkRange | undefined {
  const length = size % BLOCK_SIZE;
  return baseSize > size && length > 0 ? { type: 'data', offset: size - length, length } : undefined;
}

function placesOf(parts: readonly Blocks[], buffer: Buffer): Uint32Array {
  const last = parts.at(-1);
  const places = new Uint32Array(last === undefined ? 0 : (last.index + last.count) * 2);
  let start = buffer.byteOffset;
  for (const { range, count, index } of parts) {
    for (let block = 0; block < count; block++) {
      places[(index + block) * 2] = start + block * BLOCK_SIZE;
      places[(index + block) * 2 + 1] = Math.min(BLOCK_SIZE, range.length - block * BLOCK_SIZE);
    }
    start += range.length;
  }
  return places;
}

function sharedMemoryOf(buffer: Buffer): SharedArrayBuffer {
  const memory: unknown = buffer.buffer;
  if (memory instanceof SharedArrayBuffer) return memory;
  throw new BackupUsageError('option', 'the buffers of a disk writer must be shared memory');
}

function isZeroHash(hashes: Uint8Array, index: number): boolean {
  return hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES).every((byte) => byte === 0);
}
