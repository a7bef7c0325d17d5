import type { BlockSource, StatusExtent, StatusReply } from '../../ports/block-source.ts';
import type { SinkRange } from '../../ports/sink.ts';
import type { ByteRange } from '../../transfer/layout.ts';
import { BackupUsageError, DamagedError } from '../../words/errors.ts';
import { BLOCK_SIZE, blocksOf, HASH_BYTES } from '../format.ts';
import { KIND, MAX_STORED_BLOCK_BYTES, PACKING } from '../packs/pack-format.ts';
import { type LoadedPack, type PlacedEntry, withNextGeneration } from '../packs/pack-reader.ts';
import type { BaseTree } from './builder.ts';
import { BLOCK_STATE } from '../workers/block-work.ts';
import { FANOUT, type Page } from './page.ts';
import { type BlockRun, type OnLost, TreeReader } from './tree-reader.ts';
import type { TreeStore } from './tree-store.ts';

const BASE_ALLOCATION = 'base:allocation';
const STATE_HOLE_ZERO = 3;
/** The most that is read at once. */
const PIECE_BYTES: number = 2 * 1024 * 1024;
const MAX_SPARE_BUFFERS = 4;
/** What one status request answers at most. */
const MAX_STATUS_EXTENTS = 4096;

/** A block that is stored: where, and where it goes in the memory that is filled. */
interface Wanted {
  readonly entry: PlacedEntry;
  readonly block: number;
  readonly to: number;
}

/** For `DiskReader.extents`. */
export interface ExtentOptions {
  readonly signal?: AbortSignal | undefined;
  /** Takes ranges of which nothing is known any more, and why; they count as zeroes then. Absent: that is thrown. */
  readonly onLost?: ((range: ByteRange, error: unknown) => void) | undefined;
}

/** A block as it ought to be; without a hash it is zero. */
interface ExpectedBlock extends ByteRange {
  /** Which of the ranges that were asked for it is in. */
  readonly range: number;
  readonly hash: Uint8Array | undefined;
}

/**
 * A disk at a point, readable at random or front to back; every block is checked against its hash. It is a source as
 * an NBD export is one, so the same copy restores it.
 */
export class DiskReader implements BlockSource {
  readonly exportSize: number;
  readonly metaContexts: readonly string[] = [BASE_ALLOCATION];
  /** Counts since it was opened; `readBytesRequested` are bytes. */
  readonly statistics: { readBytesRequested: number } = { readBytesRequested: 0 };
  readonly prefersSharedMemory = true;
  readonly #store: TreeStore;
  readonly #tree: TreeReader;
  readonly #spare: SharedArrayBuffer[] = [];
  readonly #ended = new AbortController();

  constructor(store: TreeStore, tree: BaseTree) {
    this.#store = store;
    this.#tree = new TreeReader(store, tree);
    this.exportSize = tree.size;
  }

  /** Bytes of the disk. */
  get size(): number {
    return this.exportSize;
  }

  /** The whole disk as ranges of data and zeroes, in order, without reading any block. */
  async *extents(
    options: ExtentOptions = {},
  ): AsyncGenerator<SinkRange & { readonly type: 'data' | 'zero' }, void, undefined> {
    const { onLost } = options;
    const lost: OnLost | undefined =
      onLost &&
      ((first, count, error) => {
        onLost(this.#extentOf({ type: 'zero', first, count }), error);
      });
    for await (const run of this.#tree.runs(this.#signal(options.signal), lost)) yield this.#extentOf(run);
  }

  /**
   * Which of some blocks are not what this disk has there, without reading any that is stored.
   *
   * @param ranges - whole blocks, but for the last of the disk; their bytes one behind the other in shared memory
   * @returns in the order of the ranges; those that touch within a range as one
   */
  async differences(
    ranges: readonly ByteRange[],
    memory: SharedArrayBuffer,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly ByteRange[]> {
    const blocks = await this.#expect(ranges, this.#signal(options.signal));
    const places = new Uint32Array(blocks.length * 2);
    const expected = new Uint8Array(blocks.length * HASH_BYTES);
    let at = 0;
    for (const [index, { length, hash }] of blocks.entries()) {
      places.set([at, length], index * 2);
      if (hash !== undefined) expected.set(hash, index * HASH_BYTES);
      at += length;
    }
    const { states } = await this.#store.workers.run({
      type: 'hash',
      input: memory,
      places,
      expected,
      packing: PACKING.none,
      hashKey: this.#store.keys?.hashKey,
    });
    const isSame = ({ hash }: ExpectedBlock, index: number): boolean =>
      states[index] === (hash === undefined ? BLOCK_STATE.zero : BLOCK_STATE.same);
    return joined(blocks.filter((block, index) => !isSame(block, index)));
  }

  /** Which blocks of a range are stored, without reading any: the others are zero. */
  async storedIn(
    { offset, length }: ByteRange,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly ByteRange[]> {
    this.#check(offset, length);
    const end = blocksOf(offset + length);
    const found: ExpectedBlock[] = [];
    for (let block = Math.floor(offset / BLOCK_SIZE); block < end;) {
      const leaf = Math.floor(block / FANOUT);
      const page = await this.#tree.leaf(leaf, this.#signal(options.signal));
      const next = Math.min(end, (leaf + 1) * FANOUT);
      for (; block < next; block++)
        if (page?.has(block % FANOUT) === true)
          found.push({
            range: 0,
            ...this.#extentOf({ type: 'data', first: block, count: 1 }),
            hash: undefined,
          });
    }
    return joined(found);
  }

  /** Reads `length` bytes from `offset` on. @throws DamagedError naming the pack and the range */
  async read(
    offset: number,
    length: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    this.#check(offset, length);
    const bytes = Buffer.allocUnsafe(length);
    await this.readInto(bytes, offset, options);
    return bytes;
  }

  /**
   * Fills a buffer from `offset` on. Fastest for whole blocks into shared memory.
   *
   * @throws DamagedError naming the pack and the range; nothing in the buffer is to be used then
   */
  async readInto(
    buffer: Uint8Array,
    offset: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    this.#check(offset, buffer.length);
    this.statistics.readBytesRequested += buffer.length;
    for (let at = 0; at < buffer.length;) {
      const start = offset + at;
      const end = Math.min(offset + buffer.length, Math.floor(start / BLOCK_SIZE) * BLOCK_SIZE + PIECE_BYTES);
      await this.#readPiece(buffer.subarray(at, at + end - start), start, this.#signal(options.signal));
      at += end - start;
    }
  }

  /** Extents of `base:allocation` from `offset` on, from the tree alone: no block is read. */
  async blockStatus(
    offset: number,
    length: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<StatusReply> {
    this.#check(offset, length);
    const extents: StatusExtent[] = [];
    const end = offset + length;
    // A reply may be shorter than what was asked for.
    for await (const { type, first, count } of this.#tree.runs(this.#signal(options.signal))) {
      const from = Math.max(offset, first * BLOCK_SIZE);
      const to = Math.min(end, (first + count) * BLOCK_SIZE);
      if (from >= end || extents.length === MAX_STATUS_EXTENTS) break;
      if (to > from)
        extents.push({ offset: from, length: to - from, flags: type === 'zero' ? STATE_HOLE_ZERO : 0 });
    }
    return new Map([[BASE_ALLOCATION, extents]]);
  }

  close(): Promise<void> {
    this.#ended.abort(new Error('the disk was closed'));
    return Promise.resolve();
  }

  destroy(reason?: Error): void {
    this.#ended.abort(reason);
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    this.#ended.signal.throwIfAborted();
    signal?.throwIfAborted();
    return signal ?? this.#ended.signal;
  }

  #check(offset: number, length: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || offset + length > this.exportSize)
      throw new BackupUsageError('option', `${length} bytes at ${offset} are not on the disk`);
  }

  #extentOf({ type, first, count }: BlockRun): SinkRange & { readonly type: 'data' | 'zero' } {
    const offset = first * BLOCK_SIZE;
    return { type, offset, length: Math.min(this.exportSize, offset + count * BLOCK_SIZE) - offset };
  }

  async #expect(ranges: readonly ByteRange[], signal: AbortSignal): Promise<readonly ExpectedBlock[]> {
    const blocks: ExpectedBlock[] = [];
    for (const [range, { offset: start, length: bytes }] of ranges.entries()) {
      this.#check(start, bytes);
      let leaf: Page | undefined;
      for (let offset = start; offset < start + bytes; offset += BLOCK_SIZE) {
        const block = offset / BLOCK_SIZE;
        if (offset === start || block % FANOUT === 0)
          leaf = await this.#tree.leaf(Math.floor(block / FANOUT), signal);
        const hash = leaf?.has(block % FANOUT) === true ? leaf.hashAt(block % FANOUT) : undefined;
        blocks.push({ range, offset, length: Math.min(BLOCK_SIZE, start + bytes - offset), hash });
      }
    }
    return blocks;
  }

  async #readPiece(buffer: Uint8Array, offset: number, signal: AbortSignal): Promise<void> {
    const first = Math.floor(offset / BLOCK_SIZE);
    const count = blocksOf(offset + buffer.length) - first;
    const memory: unknown = buffer.buffer;
    if (
      offset % BLOCK_SIZE === 0 &&
      buffer.length % BLOCK_SIZE === 0 &&
      memory instanceof SharedArrayBuffer
    ) {
      await withNextGeneration(() => this.#readBlocks(first, count, memory, buffer.byteOffset, signal));
      return;
    }
    const whole = this.#take(count * BLOCK_SIZE);
    await withNextGeneration(() => this.#readBlocks(first, count, whole, 0, signal));
    const from = offset - first * BLOCK_SIZE;
    buffer.set(new Uint8Array(whole, from, buffer.length));
    this.#give(whole);
  }

  /** Whole blocks into shared memory. */
  async #readBlocks(
    first: number,
    count: number,
    memory: SharedArrayBuffer,
    at: number,
    signal: AbortSignal,
  ): Promise<void> {
    const wanted = await this.#locate(first, count, memory, at, signal);
    if (wanted.length === 0) return;
    const isPlain = this.#store.keys === undefined;
    const isInPlace = isPlain && wanted.every(({ entry }) => entry.packing === PACKING.none);
    const stored = wanted.reduce((sum, { entry }) => sum + entry.length, 0);
    const input = isInPlace ? memory : this.#take(stored);
    const places = await this.#fetch(wanted, input, isInPlace, signal);
    const expected = new Uint8Array(wanted.length * HASH_BYTES);
    for (const [index, { entry }] of wanted.entries()) expected.set(entry.hash, index * HASH_BYTES);
    const { damaged } = await this.#store.workers.run({
      type: 'check',
      input,
      output: memory,
      places,
      expected,
      hashKey: this.#store.keys?.hashKey,
      dataKeys: isPlain ? undefined : this.#dataKeys(wanted),
    });
    if (!isInPlace) this.#give(input);
    const bad = wanted[damaged[0] ?? -1];
    if (bad !== undefined) throw this.#damaged(bad.block, bad.entry, 'its hash is wrong');
  }

  async #locate(
    first: number,
    count: number,
    memory: SharedArrayBuffer,
    at: number,
    signal: AbortSignal,
  ): Promise<readonly Wanted[]> {
    const wanted: Wanted[] = [];
    let leaf: Page | undefined;
    let last: { readonly pack: string; readonly loaded: LoadedPack } | undefined;
    for (let index = 0; index < count; index++) {
      const block = first + index;
      const to = at + index * BLOCK_SIZE;
      if (index === 0 || block % FANOUT === 0)
        leaf = await this.#tree.leaf(Math.floor(block / FANOUT), signal);
      const reference = leaf?.get(block % FANOUT);
      if (reference === undefined) {
        new Uint8Array(memory, to, BLOCK_SIZE).fill(0);
        continue;
      }
      const { pack, number } = reference;
      if (last?.pack !== pack) last = { pack, loaded: await this.#store.packs.load(pack, signal) };
      const entry = last.loaded.locate(number);
      if (entry.kind !== KIND.block || Buffer.compare(entry.hash, reference.hash) !== 0)
        throw this.#damaged(block, entry, 'it is another one');
      if (entry.length === 0 || entry.length > MAX_STORED_BLOCK_BYTES)
        throw this.#damaged(block, entry, `it cannot have ${entry.length} bytes`);
      wanted.push({ entry, block, to });
    }
    return wanted;
  }

  /** Reads what lies one behind the other in a pack at once. @returns places for the check of the workers */
  async #fetch(
    wanted: readonly Wanted[],
    input: SharedArrayBuffer,
    isInPlace: boolean,
    signal: AbortSignal,
  ): Promise<Uint32Array> {
    const places = new Uint32Array(wanted.length * 4);
    const reads: Promise<void>[] = [];
    let at = 0;
    for (let index = 0; index < wanted.length;) {
      const { entry, to } = wanted[index] as Wanted;
      const start = isInPlace ? to : at;
      let length = 0;
      for (; index < wanted.length; index++) {
        const next = wanted[index] as Wanted;
        const follows = next.entry.object === entry.object && next.entry.offset === entry.offset + length;
        if (!follows || (isInPlace && next.to !== to + length)) break;
        places.set([start + length, next.entry.length, next.entry.packing, next.to], index * 4);
        length += next.entry.length;
      }
      reads.push(this.#store.packs.readInto(entry, Buffer.from(input, start, length), signal));
      at += length;
    }
    // All of them, so that none still writes into the memory when this is settled.
    for (const outcome of await Promise.allSettled(reads))
      if (outcome.status === 'rejected') throw outcome.reason;
    return places;
  }

  #dataKeys(wanted: readonly Wanted[]): Uint8Array {
    const keys = new Uint8Array(wanted.length * HASH_BYTES);
    let last: { readonly slot: Uint8Array; readonly key: Uint8Array } | undefined;
    for (const [index, { entry }] of wanted.entries()) {
      const slot = entry.keySlot;
      if (last?.slot !== slot)
        last = { slot, key: (this.#store.keys as NonNullable<TreeStore['keys']>).dataKeyOf(slot) };
      keys.set(last.key, index * HASH_BYTES);
    }
    return keys;
  }

  #damaged(block: number, entry: PlacedEntry, why: string): DamagedError {
    const where = `number ${entry.number} of pack ${entry.object}`;
    return new DamagedError(
      'hash',
      `${BLOCK_SIZE} bytes of the disk at ${block * BLOCK_SIZE} are damaged: ${where}: ${why}`,
    );
  }

  #take(bytes: number): SharedArrayBuffer {
    const spare = this.#spare.pop();
    return spare !== undefined && spare.byteLength >= bytes
      ? spare
      : new SharedArrayBuffer(Math.max(bytes, BLOCK_SIZE));
  }

  #give(memory: SharedArrayBuffer): void {
    if (this.#spare.length < MAX_SPARE_BUFFERS) this.#spare.push(memory);
  }
}

function joined(blocks: readonly ExpectedBlock[]): readonly ByteRange[] {
  const ranges: { range: number; offset: number; length: number }[] = [];
  for (const { range, offset, length } of blocks) {
    const last = ranges.at(-1);
    if (last?.range === range && last.offset + last.length === offset) last.length += length;
    else ranges.push({ range, offset, length });
  }
  return ranges.map(({ offset, length }) => ({ offset, length }));
}
