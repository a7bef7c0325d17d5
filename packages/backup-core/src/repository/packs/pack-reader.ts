import type { Storage } from '../../ports/storage.ts';
import { DamagedError } from '../../words/errors.ts';
import { BoundedCache } from '../bounded-cache.ts';
import { isMissing, storageFailure } from '../storage-errors.ts';
import {
  decodeEntry,
  decodeTable,
  decodeTrailer,
  ENTRY_BYTES,
  type PackEntry,
  type PackTable,
  TRAILER_BYTES,
} from './pack-format.ts';
import { packName, parsePackName } from './pack-name.ts';

/** A piece and the object it is in. */
export interface PlacedEntry extends PackEntry {
  /** Of the pack. */
  readonly object: string;
  readonly keySlot: Uint8Array;
}

/** A pack whose table is in memory. */
export class LoadedPack implements PackTable {
  readonly object: string;
  readonly keySlot: Uint8Array;
  readonly entries: Buffer;

  constructor(object: string, { keySlot, entries }: PackTable) {
    this.object = object;
    this.keySlot = keySlot;
    this.entries = entries;
  }

  /** All of them, in order of number. */
  all(): PlacedEntry[] {
    const { entries } = this;
    return Array.from({ length: entries.length / ENTRY_BYTES }, (_, index) =>
      this.#placed(decodeEntry(entries, index * ENTRY_BYTES)),
    );
  }

  /** @throws DamagedError where it has no such number */
  locate(number: number): PlacedEntry {
    const { entries } = this;
    let low = 0;
    for (let high = entries.length / ENTRY_BYTES - 1; low < high;) {
      const middle = Math.ceil((low + high) / 2);
      if (entries.readUInt32BE(middle * ENTRY_BYTES) <= number) low = middle;
      else high = middle - 1;
    }
    const entry = entries.length === 0 ? undefined : decodeEntry(entries, low * ENTRY_BYTES);
    if (entry?.number !== number)
      throw new DamagedError('missing', `pack ${this.object} has no number ${number}`);
    return this.#placed(entry);
  }

  // Field by field: of these there are as many as blocks, and a spread takes several times as long.
  #placed({ number, offset, length, kind, packing, hash }: PackEntry): PlacedEntry {
    const { object, keySlot } = this;
    return { number, offset, length, kind, packing, hash, object, keySlot };
  }
}

/** Bytes of tables kept in memory. */
const TABLE_BYTES: number = 8 * 1024 * 1024;
/** Most tables come with the first read of a pack's end. */
const FIRST_TAIL_BYTES = 256 * 1024;

/** Does what reads packs once more if one went: a sweep may have put its next generation in its place. */
export async function withNextGeneration<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DamagedError && error.reason === 'missing') return work();
    throw error;
  }
}

/** Finds and reads what packs hold. Checks tables; the content of a piece is checked by whoever knows its hash. */
export class PackReader {
  readonly #storage: Storage;
  readonly #packs = new BoundedCache<LoadedPack>(TABLE_BYTES);

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** @throws DamagedError where there is no such pack or number in it */
  async locate(pack: string, number: number, signal?: AbortSignal): Promise<PlacedEntry> {
    return (await this.load(pack, signal)).locate(number);
  }

  /** What locates many pieces of one pack without waiting for each. @throws DamagedError where there is no such pack */
  load(pack: string, signal?: AbortSignal): Promise<LoadedPack> {
    return this.#packs.get(pack, async () => {
      const { object, size } = await this.#find(pack, signal);
      const value = new LoadedPack(object, await this.readTable({ pack, name: object, size }, signal));
      return { value, weight: value.entries.length + value.keySlot.length + 1024 };
    });
  }

  /** Fills a buffer with a pack's bytes from `offset` on. */
  async readInto(
    { object, offset }: { readonly object: string; readonly offset: number },
    into: Uint8Array,
    signal?: AbortSignal,
  ): Promise<void> {
    try {
      if (this.#storage.readInto !== undefined) {
        await this.#storage.readInto(object, offset, into, { signal });
        return;
      }
      into.set(await this.#storage.read(object, offset, into.length, { signal }));
    } catch (error) {
      if (isMissing(error)) this.#packs.delete(parsePackName(object)?.pack ?? '');
      throw packFailure(object, error, signal);
    }
  }

  /** Every entry of a pack, in order of number, and what it is called. @throws DamagedError */
  async entries(pack: string, signal?: AbortSignal): Promise<readonly PlacedEntry[]> {
    return (await this.load(pack, signal)).all();
  }

  /** Any generation that is there has every number that is still in use. */
  async #find(
    pack: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly object: string; readonly size: number }> {
    const first = packName(pack, 0);
    try {
      const size = await this.#storage.size(first, { signal });
      if (size !== undefined) return { object: first, size };
      let found: { object: string; size: number; generation: number } | undefined;
      for await (const { name, size } of this.#storage.list(first.slice(0, -1), { signal })) {
        const generation = parsePackName(name)?.generation;
        if (generation !== undefined && generation > (found?.generation ?? -1))
          found = { object: name, size, generation };
      }
      if (found !== undefined) return found;
    } catch (error) {
      throw packFailure(first, error, signal);
    }
    throw new DamagedError('missing', `there is no pack ${pack}`);
  }

  /** The table of one generation, anew. @throws DamagedError */
  async readTable(
    { pack, name: object, size }: { readonly pack: string; readonly name: string; readonly size: number },
    signal?: AbortSignal,
  ): Promise<PackTable> {
    if (size < TRAILER_BYTES) throw new DamagedError('format', `pack ${object} is cut short: ${size} bytes`);
    const read = async (from: number): Promise<Buffer> => {
      const bytes = Buffer.allocUnsafe(size - from);
      await this.readInto({ object, offset: from }, bytes, signal);
      return bytes;
    };
    let from = Math.max(0, size - FIRST_TAIL_BYTES);
    let tail = await read(from);
    const trailer = decodeTrailer(tail.subarray(-TRAILER_BYTES), size);
    if (typeof trailer === 'string')
      throw new DamagedError('format', `pack ${object} is damaged: ${trailer}`);
    if (trailer.offset < from) {
      from = trailer.offset;
      tail = await read(from);
    }
    const table = decodeTable(pack, tail.subarray(trailer.offset - from), trailer);
    if (typeof table === 'string') throw new DamagedError('hash', `pack ${object} is damaged: ${table}`);
    // Not the whole tail, which is larger, stays in memory.
    return { keySlot: Buffer.from(table.keySlot), entries: Buffer.from(table.entries) };
  }
}

function packFailure(object: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (isMissing(error))
    return new DamagedError('missing', `pack ${object} is missing or cut short`, { cause: error });
  return storageFailure(`read pack ${object}`, error, signal);
}
