import { DamagedError, messageOf } from '../../words/errors.ts';
import { BLOCK_SIZE, HASH_BYTES } from '../format.ts';
import { KIND, MAX_STORED_BLOCK_BYTES, PACKING } from '../packs/pack-format.ts';
import { type PlacedEntry, withNextGeneration } from '../packs/pack-reader.ts';
import type { PieceSet } from '../packs/piece-set.ts';
import type { TreeStore } from '../tree/tree-store.ts';
import type { Harm } from './harm.ts';

/** Bytes of a pack that are read at once. */
const BATCH_BYTES: number = 2 * 1024 * 1024;
/** What lies between two blocks is read with them up to so many bytes. */
const GAP_BYTES: number = 2 * BLOCK_SIZE;
/** Buffers: while one is read, others are hashed. */
const LANES = 4;

/** Blocks near each other in one pack. */
interface Batch {
  readonly pack: string;
  readonly entries: readonly PlacedEntry[];
  /** Bytes from the first to the end of the last. */
  readonly length: number;
}

/** For `checkBlocks`. */
export interface BlockCheckOptions {
  /** The share of blocks that is read, chosen by lot; 1: all. */
  readonly share: number;
  readonly signal?: AbortSignal | undefined;
  /** Told the bytes of each batch. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Reads blocks of a set, each pack front to back and each block once, and compares their hashes in the workers.
 *
 * @returns how many were read
 */
export async function checkBlocks(
  store: TreeStore,
  pieces: PieceSet,
  harm: Harm,
  options: BlockCheckOptions,
): Promise<{ readonly blocks: number; readonly bytes: number }> {
  const batches = batchesOf(store, pieces, harm, options);
  const counts = { blocks: 0, bytes: 0 };
  const work = async (): Promise<void> => {
    const lane = new Lane(store, options.signal);
    for (;;) {
      const { value: batch } = await batches.next();
      if (batch === undefined) return;
      await lane.check(batch, harm);
      counts.blocks += batch.entries.length;
      counts.bytes += batch.length;
      options.onBytes?.(batch.length);
    }
  };
  const lanes = Array.from({ length: LANES }, work);
  for (const outcome of await Promise.allSettled(lanes))
    if (outcome.status === 'rejected') throw outcome.reason;
  return counts;
}

async function* batchesOf(
  store: TreeStore,
  pieces: PieceSet,
  harm: Harm,
  { share, signal }: BlockCheckOptions,
): AsyncGenerator<Batch, undefined, undefined> {
  for (const pack of pieces.packs) {
    if (harm.packs.has(pack)) continue;
    const chosen = (await store.packs.entries(pack, signal))
      .filter(
        ({ kind, number, length }) =>
          kind === KIND.block &&
          // What cannot be one is known to harm whoever refers to it.
          length > 0 &&
          length <= MAX_STORED_BLOCK_BYTES &&
          pieces.has({ pack, number }) &&
          (share >= 1 || Math.random() < share),
      )
      .sort((a, b) => a.offset - b.offset);
    for (let from = 0; from < chosen.length;) {
      const batch = batchFrom(pack, chosen, from);
      from += batch.entries.length;
      yield batch;
    }
  }
  return undefined;
}

function batchFrom(pack: string, chosen: readonly PlacedEntry[], from: number): Batch {
  const first = chosen[from] as PlacedEntry;
  let length = first.length;
  let end = from + 1;
  for (; end < chosen.length; end++) {
    const next = chosen[end] as PlacedEntry;
    const reach = next.offset + next.length - first.offset;
    if (reach > BATCH_BYTES || next.offset > first.offset + length + GAP_BYTES) break;
    length = Math.max(length, reach);
  }
  return { pack, entries: chosen.slice(from, end), length };
}

/** A buffer, filled and checked again and again. */
class Lane {
  readonly #store: TreeStore;
  readonly #signal: AbortSignal | undefined;
  readonly #input = new SharedArrayBuffer(BATCH_BYTES);
  /** Where blocks go when they are unpacked: nobody looks at them. */
  readonly #unpacked = new SharedArrayBuffer(BLOCK_SIZE);

  constructor(store: TreeStore, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#signal = signal;
  }

  async check(batch: Batch, harm: Harm): Promise<void> {
    try {
      await this.#check(batch, harm);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      for (const entry of batch.entries) await this.#checkAgain(batch.pack, entry, harm);
    }
  }

  /** The pack went, and a sweep may have put its next generation in its place; or its key does not open. */
  async #checkAgain(pack: string, entry: PlacedEntry, harm: Harm): Promise<void> {
    try {
      await withNextGeneration(async () => {
        const now = await this.#store.packs.locate(pack, entry.number, this.#signal);
        await this.#check({ pack, entries: [now], length: now.length }, harm);
      });
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      harm.add({ ...entry, pack }, messageOf(error));
    }
  }

  async #check({ pack, entries, length }: Batch, harm: Harm): Promise<void> {
    const { keys, packs, workers } = this.#store;
    const start = entries[0] as PlacedEntry;
    await packs.readInto(start, Buffer.from(this.#input, 0, length), this.#signal);
    const isInPlace =
      keys === undefined &&
      entries.every((entry) => entry.packing === PACKING.none && entry.length === BLOCK_SIZE);
    const places = new Uint32Array(entries.length * 4);
    const expected = new Uint8Array(entries.length * HASH_BYTES);
    let place = 0;
    for (const [index, { offset, length: bytes, packing, hash }] of entries.entries()) {
      const at = offset - start.offset;
      places[place++] = at;
      places[place++] = bytes;
      places[place++] = packing;
      places[place++] = isInPlace ? at : 0;
      expected.set(hash, index * HASH_BYTES);
    }
    const { damaged } = await workers.run({
      type: 'check',
      input: this.#input,
      output: isInPlace ? this.#input : this.#unpacked,
      places,
      expected,
      hashKey: keys?.hashKey,
      dataKeys: keys && repeated(keys.dataKeyOf(start.keySlot), entries.length),
    });
    for (const index of damaged) {
      const { hash, number, object } = entries[index] as PlacedEntry;
      harm.add({ hash, pack, number }, `number ${number} of pack ${object}: its hash is wrong`);
    }
  }
}

function repeated(key: Uint8Array, count: number): Uint8Array {
  const keys = new Uint8Array(count * HASH_BYTES);
  for (let index = 0; index < count; index++) keys.set(key, index * HASH_BYTES);
  return keys;
}
