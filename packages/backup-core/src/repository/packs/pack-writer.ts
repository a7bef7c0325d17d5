import type { ObjectWriter, Storage } from '../../ports/storage.ts';
import { ulid } from '../../words/ulid.ts';
import { storageFailure } from '../storage-errors.ts';
import {
  ENTRY_BYTES,
  encodeEntry,
  encodeTable,
  MAX_ENTRIES,
  MAX_KEY_SLOT_BYTES,
  MAX_PACK_BYTES,
  type PackEntry,
  TRAILER_BYTES,
} from './pack-format.ts';
import { packName } from './pack-name.ts';

/** A piece for a pack: how it is packed and how many bytes it has. */
export type PackPiece = Pick<PackEntry, 'kind' | 'packing' | 'length' | 'hash'>;

/** Where pieces that were appended together are: numbers from `first` on. */
export interface PackPlace {
  /** ULID. */
  readonly pack: string;
  readonly first: number;
}

export interface PackWriterOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told the name of each pack before it is created, so that a crash leaves nothing unnamed. */
  readonly announce?: ((name: string) => Promise<void>) | undefined;
  /** What every pack's end has in it for the holder of a private key. */
  readonly keySlot?: Uint8Array | undefined;
  /** What the blocks of these packs are encrypted with. */
  readonly dataKey?: Uint8Array | undefined;
  /** Bytes of a pack; default 256 MiB. */
  readonly maxBytes?: number | undefined;
}

interface OpenPack {
  readonly pack: string;
  readonly object: ObjectWriter;
  readonly table: Buffer[];
  offset: number;
  count: number;
}

/**
 * Writes packs front to back, one at a time, for all the disks of a backup. While a full one is made durable the
 * next is written.
 */
export class PackWriter {
  readonly #storage: Storage;
  readonly #options: PackWriterOptions;
  readonly #maxBytes: number;
  readonly #names: string[] = [];
  #open: OpenPack | undefined;
  /** The tail of what is under way: appends go one behind the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #sealing: Promise<unknown> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #bytes = 0;

  constructor(storage: Storage, options: PackWriterOptions = {}) {
    this.#storage = storage;
    this.#options = options;
    this.#maxBytes = Math.min(options.maxBytes ?? MAX_PACK_BYTES, MAX_PACK_BYTES);
  }

  /** The names of the packs that were begun, those that are whole included. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** What blocks are encrypted with before they are appended. */
  get dataKey(): Uint8Array | undefined {
    return this.#options.dataKey;
  }

  /** Bytes appended so far, without the tables. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Appends pieces whose bytes lie one behind the other. The bytes are borrowed until the promise is settled.
   * After a failure every later call fails with it.
   */
  append(bytes: Uint8Array, pieces: readonly PackPiece[]): Promise<PackPlace> {
    return this.#enqueue(async () => {
      const open = await this.#packFor(bytes.length, pieces.length);
      await open.object.write(bytes, { signal: this.#options.signal });
      const first = open.count;
      const rows = Buffer.alloc(pieces.length * ENTRY_BYTES);
      for (const [index, piece] of pieces.entries()) {
        const place = { number: first + index, offset: open.offset };
        encodeEntry(piece, place, rows, index * ENTRY_BYTES);
        open.offset += piece.length;
      }
      open.table.push(rows);
      open.count += pieces.length;
      this.#bytes += bytes.length;
      return { pack: open.pack, first };
    });
  }

  /** Makes all that was appended durable and readable. */
  async seal(): Promise<void> {
    await this.#enqueue(async () => {
      this.#sealInBackground();
      await this.#sealing;
    });
  }

  /** Gives the pack up that is not sealed. Those that are stay: the caller has their names. */
  async discard(): Promise<void> {
    this.#failure ??= { error: new Error('the pack writer was discarded') };
    await this.#queue.catch(() => undefined);
    await this.#sealing.catch(() => undefined);
    const open = this.#open;
    this.#open = undefined;
    await open?.object.discard();
  }

  #enqueue<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#queue.then(async () => {
      this.#options.signal?.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure.error;
      try {
        return await work();
      } catch (error) {
        const failure = storageFailure('write a pack', error, this.#options.signal);
        this.#failure = { error: failure };
        throw failure;
      }
    });
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #packFor(bytes: number, pieces: number): Promise<OpenPack> {
    const open = this.#open;
    if (open !== undefined) {
      const end = open.offset + bytes + (open.count + pieces) * ENTRY_BYTES;
      if (end + MAX_KEY_SLOT_BYTES + TRAILER_BYTES <= this.#maxBytes && open.count + pieces <= MAX_ENTRIES)
        return open;
      // At most one is being sealed: otherwise a slow storage would hold back more and more.
      await this.#sealing;
      this.#sealInBackground();
    }
    const pack = ulid();
    const name = packName(pack, 0);
    await this.#options.announce?.(name);
    this.#names.push(name);
    const object = await this.#storage.create(name, { signal: this.#options.signal });
    this.#open = { pack, object, table: [], offset: 0, count: 0 };
    return this.#open;
  }

  #sealInBackground(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const keySlot = this.#options.keySlot ?? new Uint8Array(0);
    const tail = encodeTable(open.pack, open.offset, { keySlot, entries: Buffer.concat(open.table) });
    const { signal } = this.#options;
    const seal = async (): Promise<void> => {
      try {
        await open.object.write(tail, { signal });
        await open.object.commit({ signal });
      } catch (error) {
        // The first failure is the one to tell.
        await open.object.discard().catch(() => undefined);
        throw error;
      }
    };
    this.#sealing = seal();
    // Whoever awaits it next sees the error.
    this.#sealing.catch(() => undefined);
  }
}
