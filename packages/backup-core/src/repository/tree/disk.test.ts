import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { SinkRange } from '../../ports/sink.ts';
import { readDisk, storeDisk } from '../disk-copies.fixture.ts';
import { BLOCK_SIZE, blocksOf } from '../format.ts';
import { TestStorage } from '../memory-storage.fixture.ts';
import type { Compression } from '../repository-file.ts';
import { DiskReader } from './disk-reader.ts';
import { tailToRead } from './disk-writer.ts';
import { TreeStore } from './tree-store.ts';

const stores: TreeStore[] = [];
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

function open(storage = new TestStorage(), compression: Compression = 'none', workers = 0): TreeStore {
  const file = { format: 2, id: '00000000', blockSize: BLOCK_SIZE, compression, keys: undefined };
  const store = new TreeStore(storage, file, { workers });
  stores.push(store);
  return store;
}

const whole = (size: number): SinkRange[] => [{ type: 'data', offset: 0, length: size }];

describe('a stored disk', () => {
  it('is read on when the next generation of a pack takes its place', async () => {
    const storage = new TestStorage();
    const store = open(storage);
    const disk = randomBytes(4 * BLOCK_SIZE);
    const { root } = await storeDisk(store, disk, whole(disk.length));
    const reader = new DiskReader(store, { root, size: disk.length });
    await reader.read(0, 1);
    for (const [name, bytes] of [...storage.objects]) {
      storage.objects.set(name.replace(/\.0$/, '.1'), bytes);
      storage.objects.delete(name);
    }
    expect(disk.equals(await reader.read(0, disk.length))).toBe(true);
  });

  it.each([
    ['none', 0],
    ['none', 2],
    ['deflate', 2],
  ] as const)('reads back as it was (%s, %i workers)', async (compression, workers) => {
    const store = open(undefined, compression, workers);
    const disk = randomBytes(70 * BLOCK_SIZE + 512);
    disk.fill(0, 3 * BLOCK_SIZE, 9 * BLOCK_SIZE);
    disk.fill('text', 20 * BLOCK_SIZE, 40 * BLOCK_SIZE);
    const { root, counts } = await storeDisk(store, disk, whole(disk.length));
    expect((await readDisk(store, { root, size: disk.length })).equals(disk)).toBe(true);
    expect(counts).toMatchObject({
      readBytes: disk.length,
      zeroBytes: 6 * BLOCK_SIZE,
      storedRawBytes: disk.length - 6 * BLOCK_SIZE,
      reusedBytes: 0,
    });
    if (compression === 'none') expect(counts.storedBytes).toBe(counts.storedRawBytes);
    else expect(counts.storedBytes).toBeLessThan(52 * BLOCK_SIZE);
  });

  it('shares with its base what is the same, whatever was read', async () => {
    const storage = new TestStorage();
    const store = open(storage);
    const disk = randomBytes(40 * BLOCK_SIZE);
    const first = await storeDisk(store, disk, whole(disk.length));
    const again = await storeDisk(store, disk, whole(disk.length), { base: { ...first, size: disk.length } });
    expect(again.root).toEqual(first.root);
    expect(again.counts).toMatchObject({ reusedBytes: disk.length, storedRawBytes: 0 });
    disk.fill(1, 5 * BLOCK_SIZE, 6 * BLOCK_SIZE);
    const part: SinkRange[] = [{ type: 'data', offset: 4 * BLOCK_SIZE, length: 4 * BLOCK_SIZE }];
    const third = await storeDisk(store, disk, part, { base: { ...first, size: disk.length } });
    expect(third.counts).toMatchObject({ reusedBytes: 3 * BLOCK_SIZE, storedRawBytes: BLOCK_SIZE });
    expect((await readDisk(store, { root: third.root, size: disk.length })).equals(disk)).toBe(true);
    // The same content has the same hash, whichever way it came about.
    const fresh = await storeDisk(open(), disk, whole(disk.length));
    expect(fresh.root?.hash).toEqual(third.root?.hash);
  });

  it('an audit that finds a difference says so and stores it', async () => {
    const store = open();
    const disk = randomBytes(8 * BLOCK_SIZE);
    const base = { ...(await storeDisk(store, disk, whole(disk.length))), size: disk.length };
    const audit: SinkRange[] = [{ type: 'audit', offset: 0, length: 4 * BLOCK_SIZE }];
    const equal = await storeDisk(store, disk, audit, { base });
    expect(equal.counts).toMatchObject({ auditedBytes: 4 * BLOCK_SIZE, changedBytes: 0 });
    disk.fill(0, BLOCK_SIZE, 2 * BLOCK_SIZE);
    disk.fill(7, 3 * BLOCK_SIZE, 4 * BLOCK_SIZE);
    const differs = await storeDisk(store, disk, audit, { base });
    expect(differs.counts.changedBytes).toBe(2 * BLOCK_SIZE);
    expect((await readDisk(store, { root: differs.root, size: disk.length })).equals(disk)).toBe(true);
  });

  it('reads any range, aligned or not', async () => {
    const store = open();
    const disk = randomBytes(40 * BLOCK_SIZE + 1000);
    disk.fill(0, 10 * BLOCK_SIZE, 12 * BLOCK_SIZE);
    const { root } = await storeDisk(store, disk, whole(disk.length));
    const reader = new DiskReader(store, { root, size: disk.length });
    const range = fc
      .tuple(fc.nat(disk.length), fc.nat(disk.length))
      .map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const);
    await fc.assert(
      fc.asyncProperty(range, async ([offset, length]) => {
        const bytes = await reader.read(offset, length);
        return disk.subarray(offset, offset + length).equals(bytes);
      }),
      { numRuns: 50 },
    );
    const status = await reader.blockStatus(0, disk.length);
    expect(status.get('base:allocation')).toEqual([
      { offset: 0, length: 10 * BLOCK_SIZE, flags: 0 },
      { offset: 10 * BLOCK_SIZE, length: 2 * BLOCK_SIZE, flags: 3 },
      { offset: 12 * BLOCK_SIZE, length: 28 * BLOCK_SIZE + 1000, flags: 0 },
    ]);
  });
});

/** Disks up to several pages and two levels deep, with few blocks that are not zero. */
const sizes = fc.oneof(
  fc.integer({ min: 0, max: 40 * BLOCK_SIZE }),
  fc.integer({ min: 1, max: 3000 }).map((blocks) => blocks * BLOCK_SIZE),
);
const change = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  blocks: fc.integer({ min: 1, max: 20 }),
  fill: fc.nat(3),
  isZero: fc.boolean(),
});
const point = fc.record({
  size: sizes,
  changes: fc.array(change, { maxLength: 5 }),
  asksForAll: fc.boolean(),
});

describe('a series of points', () => {
  it('each is exactly its disk, through writes, zeroes and other sizes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(point, { minLength: 1, maxLength: 5 }), async (points) => {
        const store = open();
        const kept: { root: Awaited<ReturnType<typeof storeDisk>>['root']; size: number; disk: Buffer }[] =
          [];
        for (const { size, changes, asksForAll } of points) {
          const base = kept.at(-1);
          const disk = Buffer.alloc(size);
          base?.disk.copy(disk);
          const dirty = new Map<number, 'data' | 'zero'>();
          const tail = tailToRead(base?.size ?? 0, size);
          if (tail !== undefined) dirty.set(tail.offset / BLOCK_SIZE, 'data');
          for (const { at, blocks, fill, isZero } of changes) {
            const first = Math.floor(at * blocksOf(size));
            for (let block = first; block < Math.min(first + blocks, blocksOf(size)); block++) {
              disk.fill(
                isZero ? 0 : fill + block,
                block * BLOCK_SIZE,
                Math.min(size, (block + 1) * BLOCK_SIZE),
              );
              dirty.set(block, isZero ? 'zero' : 'data');
            }
          }
          const ranges = asksForAll
            ? whole(size)
            : [...dirty]
                .sort(([a], [b]) => a - b)
                .map(([block, type]) => ({
                  type,
                  offset: block * BLOCK_SIZE,
                  length: Math.min(BLOCK_SIZE, size - block * BLOCK_SIZE),
                }));
          const { root } = await storeDisk(store, disk, ranges, { base, maxPackBytes: 1 << 20 });
          kept.push({ root, size, disk });
        }
        for (const tree of kept) expect((await readDisk(store, tree)).equals(tree.disk)).toBe(true);
        // Content alone decides the hash of a root.
        const last = kept.at(-1);
        if (last === undefined) return;
        const fresh = await storeDisk(open(), last.disk, whole(last.size));
        expect(fresh.root?.hash).toEqual(last.root?.hash);
      }),
      { numRuns: 40 },
    );
  });
});
