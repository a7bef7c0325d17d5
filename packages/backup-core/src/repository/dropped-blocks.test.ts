import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countDroppedBlocks } from './dropped-blocks.ts';
import { BLOCK_SIZE } from './format.ts';
import { checkPoints, KeptSeries, lonelyProcess, openStore } from './kept-series.fixture.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { KIND, PACKING } from './packs/pack-format.ts';
import { diskOf, pointOf } from './point.fixture.ts';
import { type ListedPoint, listPoints, putPoint } from './points.ts';
import { prune } from './prune.ts';
import { TreeBuilder } from './tree/builder.ts';
import { TreeReader } from './tree/tree-reader.ts';
import type { TreeStore } from './tree/tree-store.ts';
import { ulid } from '../words/ulid.ts';

const OPTIONS = { leaseMs: 200, patienceMs: 0 };
const owners = lonelyProcess(1);
const BLOCKS = 1040;

const changes = fc.uniqueArray(fc.oneof(fc.nat(8), fc.nat(BLOCKS - 1)), { maxLength: 8 });

/** How many times a storage's bytes are read. */
class CountingStorage extends TestStorage {
  reads = 0;

  override read(...args: Parameters<TestStorage['read']>): Promise<Uint8Array> {
    this.reads++;
    return super.read(...args);
  }
}

/** Points of a disk whose blocks are stubs of a byte: nobody reads them. */
class StubSeries {
  readonly storage: CountingStorage = new CountingStorage();
  readonly #size: number;
  #last: ListedPoint | undefined;

  constructor(blocks: number) {
    this.#size = blocks * BLOCK_SIZE;
  }

  async take(changed: readonly number[], isZero = false): Promise<string> {
    const store = openStore(this.storage);
    const packs = store.createPackWriter();
    const disk = this.#last?.point.disks[0];
    const base = disk && { root: disk.root ?? undefined, size: this.#size };
    const builder = await TreeBuilder.create(
      { size: this.#size, base },
      {
        load: (reference, level) => store.load(reference, level),
        store: (page, hash) => store.store(page, hash, packs),
      },
    );
    for (const block of [...changed].sort((a, b) => a - b)) {
      const hash = randomBytes(32);
      const piece = { kind: KIND.block, packing: PACKING.none, length: 1, hash };
      const { pack, first } = await packs.append(Buffer.alloc(1), [piece]);
      await builder.put(block, [isZero ? 'zero' : { hash, pack, number: first }]);
    }
    const root = await builder.finish();
    await packs.seal();
    const id = ulid(this.#last?.point.id);
    const fields = { size: this.#size, root: root ?? null, treeSince: disk?.treeSince ?? id };
    this.#last = await putPoint(this.storage, pointOf({ id, disks: [diskOf(fields)] }));
    return id;
  }
}

async function blocksOf(store: TreeStore, points: readonly ListedPoint[]): Promise<ReadonlySet<string>> {
  const blocks = new Set<string>();
  for (const { point } of points)
    for (const { root, size } of point.disks)
      await new TreeReader(store, { root: root ?? undefined, size }).references(({ pack, number }, level) => {
        if (level < 0) blocks.add(`${pack}.${number}`);
        return true;
      });
  return blocks;
}

const packsOf = (storage: TestStorage): number =>
  [...storage.objects.keys()].filter((name) => name.startsWith('packs/')).length;

const notesOf = (storage: TestStorage): string[] =>
  [...storage.objects.keys()].filter((name) => name.startsWith('unswept/'));

describe('the blocks that points have alone', () => {
  it('are counted right, whichever points of a series go', async () => {
    const point = fc.record({ changed: changes, isZero: fc.boolean(), goes: fc.boolean() });
    const series = fc.array(point, { minLength: 1, maxLength: 7 });
    await fc.assert(
      fc.asyncProperty(series, async (taken) => {
        const kept = new StubSeries(BLOCKS);
        const doomed = new Set<string>();
        for (const { changed, isZero, goes } of taken) {
          const id = await kept.take(changed, isZero);
          if (goes) doomed.add(id);
        }
        const store = openStore(kept.storage);
        const { points } = await listPoints(kept.storage);
        const own = await blocksOf(
          store,
          points.filter(({ point }) => doomed.has(point.id)),
        );
        const others = await blocksOf(
          store,
          points.filter(({ point }) => !doomed.has(point.id)),
        );
        const expected = [...own].filter((block) => !others.has(block)).length;
        expect(await countDroppedBlocks(store, points, doomed)).toBe(expected);
      }),
      { numRuns: 40 },
    );
  });

  it('are counted by reading what differs, however large the disk is', async () => {
    const readsFor = async (leaves: number): Promise<number> => {
      const series = new StubSeries(leaves * 1024);
      const { storage } = series;
      // Data all over the disk, a little of which changes.
      await series.take(Array.from({ length: leaves }, (_, leaf) => leaf * 1024));
      for (let day = 0; day < 3; day++) await series.take([5]);
      const { points } = await listPoints(storage);
      storage.reads = 0;
      const doomed = new Set([points[1]?.point.id ?? '']);
      expect(await countDroppedBlocks(openStore(storage), points, doomed)).toBe(1);
      return storage.reads;
    };
    expect(await readsFor(50)).toBe(await readsFor(2));
  });
});

describe('a prune', () => {
  it('leaves what is little to a later sweep, and adds it up until it is not', async () => {
    const series = new KeptSeries(new TestStorage());
    const { storage } = series;
    await series.take([{ first: 0, count: 20, fill: 'random' }]);
    for (let day = 0; day < 6; day++) await series.take([{ first: day, count: 1, fill: 'random' }]);
    const [first] = series.disks.keys();
    const pruneTo = (keepLast: number): ReturnType<typeof prune> =>
      prune(openStore(storage), owners, { ...OPTIONS, policy: { keepLast }, sweepShare: 0.1 });

    const before = packsOf(storage);
    expect(await pruneTo(6)).toMatchObject({
      remove: [first],
      unsweptBytes: BLOCK_SIZE,
      removedPacks: 0,
      freedBytes: 0,
    });
    expect(packsOf(storage)).toBe(before);
    expect(notesOf(storage)).toHaveLength(1);
    await checkPoints(storage, series.disks);

    expect(await pruneTo(5)).toMatchObject({ unsweptBytes: 2 * BLOCK_SIZE });
    expect(await pruneTo(5)).toMatchObject({ remove: [], unsweptBytes: 2 * BLOCK_SIZE });
    expect(await pruneTo(1)).toMatchObject({ unsweptBytes: 0 });
    expect(notesOf(storage)).toEqual([]);
    await checkPoints(storage, series.disks);
  });
});
