import type { Storage } from '../../ports/storage.ts';
import { DamagedError } from '../../words/errors.ts';
import { BoundedCache } from '../bounded-cache.ts';
import { KIND, PACKING, SEAL_BYTES } from '../packs/pack-format.ts';
import { PackReader, withNextGeneration } from '../packs/pack-reader.ts';
import { PackWriter, type PackWriterOptions } from '../packs/pack-writer.ts';
import type { OpenRepositoryFile } from '../repository-file.ts';
import type { RepositoryKeys } from '../seal.ts';
import { type BlockWorkers, startBlockWorkers } from '../workers/worker-pool.ts';
import { MAX_PAGE_BYTES, Page, type Reference } from './page.ts';

/** Bytes of pages kept in memory. */
const PAGE_CACHE_BYTES: number = 4 * 1024 * 1024;
/** Two threads hash faster than a disk or a near server reads. */
const DEFAULT_WORKERS = 2;

/** A repository's blocks and pages: what the writers and readers of disks share. */
export class TreeStore {
  readonly storage: Storage;
  readonly packs: PackReader;
  readonly workers: BlockWorkers;
  readonly keys: RepositoryKeys | undefined;
  /** How new blocks are packed: `PACKING`. */
  readonly packing: number;
  readonly #file: OpenRepositoryFile;
  readonly #pages = new BoundedCache<Page>(PAGE_CACHE_BYTES);

  /** @param options - `workers`: threads that hash and pack, or whose to use; 0: none but the calling one */
  constructor(
    storage: Storage,
    file: OpenRepositoryFile,
    options: { readonly workers?: number | BlockWorkers | undefined } = {},
  ) {
    const { workers = DEFAULT_WORKERS } = options;
    this.#file = file;
    this.storage = storage;
    this.packs = new PackReader(storage);
    this.workers = typeof workers === 'number' ? startBlockWorkers(workers) : workers;
    this.keys = file.keys;
    this.packing = PACKING[file.compression];
  }

  /** The same with nothing in memory: what it reads is what is stored now. Shares the workers, so is not closed. */
  fresh(): TreeStore {
    return new TreeStore(this.storage, this.#file, { workers: this.workers });
  }

  /** For all the disks of one backup. */
  createPackWriter(options: PackWriterOptions = {}): PackWriter {
    const session = this.keys?.startSession();
    return new PackWriter(this.storage, {
      ...options,
      keySlot: session?.keySlot,
      dataKey: session?.dataKey,
    });
  }

  /** A page, checked. The caller must not change it. @throws DamagedError */
  load(reference: Reference, level: number, signal?: AbortSignal): Promise<Page> {
    const { hash, pack, number } = reference;
    return this.#pages.get(`${level}.${pack}.${number}.${hexOf(hash)}`, async () => ({
      value: await withNextGeneration(() => this.#load(reference, level, signal)),
      weight: MAX_PAGE_BYTES,
    }));
  }

  /** Puts a page into a pack. */
  async store(page: Page, hash: Buffer, packs: PackWriter): Promise<Reference> {
    const plain = page.encode();
    const bytes = this.keys?.sealPage(plain, hash) ?? plain;
    const piece = { kind: KIND.page, packing: PACKING.none, length: bytes.length, hash };
    const { pack, first } = await packs.append(bytes, [piece]);
    return { hash, pack, number: first };
  }

  /** Ends the workers. The storage stays the caller's. */
  async close(): Promise<void> {
    await this.workers.close();
  }

  async #load(
    { hash, pack, number }: Reference,
    level: number,
    signal: AbortSignal | undefined,
  ): Promise<Page> {
    const entry = await this.packs.locate(pack, number, signal);
    const damaged = (why: string): DamagedError =>
      new DamagedError('hash', `page ${number} of pack ${entry.object} is damaged: ${why}`);
    if (entry.kind !== KIND.page || Buffer.compare(entry.hash, hash) !== 0)
      throw damaged('it is another one');
    if (entry.length > MAX_PAGE_BYTES + SEAL_BYTES) throw damaged('it is too long');
    const stored = Buffer.allocUnsafe(entry.length);
    await this.packs.readInto(entry, stored, signal);
    const plain = this.keys === undefined ? stored : this.keys.openPage(stored, hash);
    if (plain === undefined) throw damaged('it cannot be decrypted');
    const page = Page.decode(level, plain);
    if (typeof page === 'string') throw damaged(page);
    if (Buffer.compare(page.hash(this.keys?.hashKey), hash) !== 0) throw damaged('its hash is wrong');
    return page;
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
