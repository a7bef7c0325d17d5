// Series of points that are made without a hypervisor, and with no more data than they have to have.
import { randomBytes } from 'node:crypto';
import { copyRanges, folderStorage } from 'libvirt-ts-backup';
import { listPoints, putPoint } from '../../packages/backup-core/dist/repository/points.js';
import { createRepositoryFile } from '../../packages/backup-core/dist/repository/repository-file.js';
import { TreeBuilder } from '../../packages/backup-core/dist/repository/tree/builder.js';
import { DiskWriter } from '../../packages/backup-core/dist/repository/tree/disk-writer.js';
import { TreeStore } from '../../packages/backup-core/dist/repository/tree/tree-store.js';
import { ulid } from '../../packages/backup-core/dist/words/ulid.js';

const BLOCK = 65_536;
const FANOUT = 1024;
const HASH_BYTES = 32;
const DAY_MS = 86_400_000;
const UUID = '5ed3bd79-0a44-4e5c-a7b5-3ae0a1d12a3c';
/** A stored block of a series whose blocks nobody reads. */
const STUB_BYTES = 16;
/** The domain of every series. */
export const SERIES_DOMAIN = 'series';

/** Points of one disk, a day apart. */
class Series {
  #store;
  #size;
  #storage;
  #first;
  #blockBytes;
  #last;
  #taken = 0;

  constructor(store, storage, { size, points, blockBytes = BLOCK }) {
    this.#store = store;
    this.#storage = storage;
    this.#size = size;
    this.#blockBytes = blockBytes;
    this.#first = Date.now() - points * DAY_MS;
  }

  /** Stores a point: `write` takes where packs go and the tree before, and resolves with the new root. */
  async take(write) {
    const packs = this.#store.createPackWriter();
    const root = await write(packs, this.#last && { root: this.#last.root, size: this.#size });
    await packs.seal();
    const id = ulid(this.#last?.id);
    const treeSince = this.#last?.treeSince ?? id;
    await putPoint(
      this.#storage,
      manifestOf({
        id,
        treeSince,
        root,
        size: this.#size,
        storedBytes: (this.#size / BLOCK) * this.#blockBytes,
        at: this.#first + this.#taken++ * DAY_MS,
      }),
    );
    this.#last = { id, root, treeSince };
    return id;
  }
}

/** @returns {any} a point */
function manifestOf({ id, treeSince, root, size, storedBytes, at }) {
  const image = { path: '/images/vda.qcow2', format: 'qcow2', chain: [] };
  const reading = { mode: 'full', reason: 'asked', message: 'everything was asked for' };
  const counts = { readBytes: size, auditedBytes: 0, changedBytes: 0 };
  const stored = { storedRawBytes: size, storedBytes, reusedBytes: 0, zeroBytes: 0 };
  const disk = { name: 'vda', size, image, reading, root, treeSince, nextAudit: 0, ...counts, ...stored };
  return {
    id,
    createdAt: new Date(at).toISOString(),
    domain: { name: SERIES_DOMAIN, uuid: UUID },
    checkpoint: null,
    previous: null,
    disks: [disk],
    excluded: [],
    definition: { live: '<domain/>', inactive: null },
    versions: { libvirt: '9.0.0', hypervisor: '7.2.0' },
  };
}

/** A series of points of a disk with real data. @returns the ids of the points */
export async function storeChain(path, { size, points, pieces, pieceBytes }) {
  return withStore(path, 2, async (store, storage) => {
    const series = new Series(store, storage, { size, points });
    const ids = [];
    for (let index = 0; index < points; index++) {
      const ranges = index === 0 ? [{ offset: 0, length: size }] : randomPieces(size, pieces, pieceBytes);
      const id = await series.take(async (packs, base) => {
        const writer = await DiskWriter.open(store, { packs, size, base });
        await copyRanges([randomSource()], asRanges(ranges), writer, { inFlight: 4 });
        return (await writer.finish()).root;
      });
      ids.push(id);
    }
    return ids;
  });
}

/**
 * The same for a disk all of which is data, of which pieces change from point to point. Blocks are stubs: whoever reads
 * pages and tables alone does not notice.
 */
export async function storeStubs(path, { size, points, pieces, pieceBytes }) {
  await withStore(path, 0, async (store, storage) => {
    const series = new Series(store, storage, { size, points, blockBytes: STUB_BYTES });
    for (let index = 0; index < points; index++) {
      const ranges = index === 0 ? [{ offset: 0, length: size }] : randomPieces(size, pieces, pieceBytes);
      await series.take(async (packs, base) => {
        const builder = await TreeBuilder.create(
          { size, base },
          {
            load: (reference, level) => store.load(reference, level),
            store: (page, hash) => store.store(page, hash, packs),
          },
        );
        for (const { offset, length } of ranges)
          for (let first = offset / BLOCK; first < (offset + length) / BLOCK; first += FANOUT)
            await putStubs(builder, packs, first, Math.min(FANOUT, (offset + length) / BLOCK - first));
        return builder.finish();
      });
    }
  });
}

async function putStubs(builder, packs, first, count) {
  const hashes = randomBytes(count * HASH_BYTES);
  const pieces = Array.from({ length: count }, (_, index) => ({
    kind: 0,
    packing: 0,
    length: STUB_BYTES,
    hash: hashes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
  }));
  const place = await packs.append(Buffer.alloc(count * STUB_BYTES), pieces);
  await builder.put(
    first,
    pieces.map(({ hash }, index) => ({ hash, pack: place.pack, number: place.first + index })),
  );
}

/** Puts older points of the newest point's domain into a repository, until there are so many. */
export async function padPoints(path, count) {
  const storage = folderStorage(path);
  const { points } = await listPoints(storage);
  const newest = points.at(-1)?.point;
  if (newest === undefined) throw new Error(`${path} has no point`);
  for (let index = points.length; index < count; index++)
    await putPoint(storage, {
      ...newest,
      id: `01${String(index).padStart(24, '0')}`,
      createdAt: new Date(Date.parse(newest.createdAt) - index * DAY_MS).toISOString(),
      previous: null,
    });
  await storage.close();
}

async function withStore(path, workers, work) {
  const storage = folderStorage(path);
  const store = new TreeStore(storage, await createRepositoryFile(storage), { workers });
  try {
    return await work(store, storage);
  } finally {
    await store.close();
    await storage.close();
  }
}

/** In order, none of them twice. */
function randomPieces(size, count, bytes) {
  const places = new Set();
  while (places.size < count) places.add(Math.floor(Math.random() * (size / bytes)));
  return [...places].sort((a, b) => a - b).map((place) => ({ offset: place * bytes, length: bytes }));
}

async function* asRanges(ranges) {
  for (const range of ranges) yield await Promise.resolve({ type: 'data', ...range });
}

/** No two of its blocks are the same. */
function randomSource() {
  const noise = randomBytes(BLOCK);
  return {
    readInto: (buffer) => {
      for (let at = 0; at < buffer.length; at += BLOCK) {
        buffer.set(noise.subarray(0, Math.min(BLOCK, buffer.length - at)), at);
        buffer.set(randomBytes(16), at);
      }
      return Promise.resolve();
    },
    destroy: () => undefined,
  };
}
