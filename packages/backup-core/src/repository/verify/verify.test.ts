import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { BLOCK_SIZE } from '../format.ts';
import { KeptSeries, lonelyProcess, openStore } from '../kept-series.fixture.ts';
import { TestStorage } from '../memory-storage.fixture.ts';
import { decodeEntry, ENTRY_BYTES, TRAILER_BYTES } from '../packs/pack-format.ts';
import { prune } from '../prune.ts';
import { DamagedError } from '../../words/errors.ts';
import { listPoints } from '../points.ts';
import { createRepositoryFile, openRepositoryFile } from '../repository-file.ts';
import { DiskReader } from '../tree/disk-reader.ts';
import { verify, type VerifyMode, type VerifyReport } from './verify.ts';

const owners = lonelyProcess(1);

function check(storage: TestStorage, mode: VerifyMode = 'deep'): Promise<VerifyReport> {
  return verify(openStore(storage), owners, { mode });
}

/** A series that shares, over two levels of pages. */
async function series(): Promise<KeptSeries> {
  const kept = new KeptSeries(new TestStorage(), { blocks: 1040 });
  await kept.take([
    { first: 0, count: 6, fill: 'random' },
    { first: 1030, count: 3, fill: 'random' },
  ]);
  await kept.take([{ first: 2, count: 2, fill: 'random' }]);
  await kept.take([
    { first: 0, count: 1040, fill: 0 },
    { first: 8, count: 1, fill: 'random' },
  ]);
  return kept;
}

/** Blocks that cannot be read, by point. */
async function unreadable(
  storage: TestStorage,
  blocks: readonly number[],
): Promise<Record<string, number[]>> {
  const found: Record<string, number[]> = {};
  for (const { point } of (await listPoints(storage)).points)
    for (const { root, size } of point.disks) {
      const reader = new DiskReader(openStore(storage), { root: root ?? undefined, size });
      const bad: number[] = [];
      for (const block of blocks)
        try {
          await reader.read(block * BLOCK_SIZE, BLOCK_SIZE);
        } catch (error) {
          if (!(error instanceof DamagedError)) throw error;
          bad.push(block);
        }
      found[point.id] = bad;
    }
  return found;
}

function reported({ points }: VerifyReport, blocks: readonly number[]): Record<string, number[]> {
  return Object.fromEntries(
    points.map(({ id, disks }) => [
      id,
      blocks.filter((block) =>
        disks.some(({ ranges }) =>
          ranges.some(
            ({ offset, length }) => block * BLOCK_SIZE >= offset && block * BLOCK_SIZE < offset + length,
          ),
        ),
      ),
    ]),
  );
}

describe('verify', () => {
  it('finds nothing wrong with what is whole, and reads what points share once', async () => {
    const { storage, disks } = await series();
    const report = await check(storage);
    expect(report).toMatchObject({
      isWhole: true,
      damagedManifests: [],
      damagedPacks: [],
      missingPrevious: [],
      checked: { blocks: 12 },
    });
    expect(report.points.map(({ id }) => id)).toEqual([...disks.keys()]);
    expect(await check(storage, 'quick')).toMatchObject({ isWhole: true, checked: { blocks: 0 } });
    expect([...storage.objects.keys()].filter((name) => name.startsWith('leases/'))).toEqual([]);
  });

  it(
    'names exactly the ranges that cannot be read back, whatever is damaged',
    { timeout: 120_000 },
    async () => {
      const { storage } = await series();
      const blocks = [0, 1, 2, 3, 4, 5, 6, 8, 1023, 1024, 1030, 1031, 1032, 1039];
      for (const [name, bytes] of storage.objects) {
        if (!name.startsWith('packs/')) continue;
        const table = bytes.readUInt32BE(bytes.length - TRAILER_BYTES + 20);
        const places = [table, bytes.length - 1, bytes.length - TRAILER_BYTES];
        for (let row = table; row < bytes.length - TRAILER_BYTES; row += ENTRY_BYTES) {
          const { offset, length } = decodeEntry(bytes, row);
          places.push(offset, offset + length - 1);
        }
        for (const at of places) {
          bytes[at] = (bytes[at] as number) ^ 0x10;
          const report = await check(storage);
          expect(reported(report, blocks), `${name} at ${at}`).toEqual(await unreadable(storage, blocks));
          expect(report.isWhole).toBe(false);
          bytes[at] = bytes[at] ^ 0x10;
        }
      }
    },
  );

  it('says of a pack that is gone, cut or another one which points it harms', async () => {
    const { storage } = await series();
    const [name = '', other = ''] = [...storage.objects.keys()].filter((each) => each.startsWith('packs/'));
    const bytes = storage.objects.get(name) as Buffer;
    for (const instead of [undefined, bytes.subarray(0, 70_000), storage.objects.get(other)]) {
      if (instead === undefined) storage.objects.delete(name);
      else storage.objects.set(name, instead);
      const quick = await check(storage, 'quick');
      expect(quick.points.map(({ disks }) => disks[0]?.state)).toEqual(['damaged', 'damaged', 'whole']);
      expect(quick.damagedPacks).toMatchObject([{ pack: name.slice(6, -2) }]);
    }
  });

  it('lists manifests that are damaged and predecessors that are gone', async () => {
    const { storage } = await series();
    const [first = '', second = ''] = [...storage.objects.keys()].filter((name) =>
      name.startsWith('points/'),
    );
    storage.objects.delete(first);
    const report = await check(storage, 'quick');
    expect(report.isWhole).toBe(true);
    expect(report.missingPrevious).toMatchObject([{ previous: { id: first.slice(44, 70) } }]);
    storage.objects.set(second, Buffer.from('{}'));
    const worse = await check(storage, 'quick');
    expect(worse.isWhole).toBe(false);
    expect(worse.damagedManifests).toMatchObject([{ name: second }]);
    expect(worse.points).toHaveLength(1);
  });

  it('reads about the share that is asked for, and chosen points alone', async () => {
    const kept = new KeptSeries(new TestStorage(), { blocks: 400 });
    const id = await kept.take([{ first: 0, count: 400, fill: 'random' }]);
    const { checked } = await check(kept.storage, { sample: 0.5 });
    expect(checked.blocks).toBeGreaterThan(120);
    expect(checked.blocks).toBeLessThan(280);
    const store = openStore(kept.storage);
    await expect(
      verify(store, owners, { mode: 'quick', points: [id.replace(/.$/, 'X')] }),
    ).rejects.toMatchObject({ reason: 'point' });
    expect(() => verify(store, owners, { mode: { sample: 2 } })).toThrow(/share of 2/);
  });

  it('sees what is stored now, not what it has read before', async () => {
    const { storage } = await series();
    const store = openStore(storage);
    expect((await verify(store, owners, { mode: 'deep' })).isWhole).toBe(true);
    for (const name of storage.objects.keys()) if (name.startsWith('packs/')) storage.objects.delete(name);
    const { points } = await verify(store, owners, { mode: 'quick' });
    expect(points.map(({ disks }) => disks[0]?.state)).toEqual(['damaged', 'damaged', 'damaged']);
  });

  it('reads packed and encrypted blocks, and next generations', async () => {
    const storage = new TestStorage();
    const key = randomBytes(32);
    await createRepositoryFile(storage, { compression: 'deflate', encryption: { key } });
    const file = await openRepositoryFile(storage, { key });
    const kept = new KeptSeries(storage, { file });
    await kept.take([
      { first: 0, count: 20, fill: 'random' },
      { first: 20, count: 9, fill: 7 },
    ]);
    await kept.take([{ first: 3, count: 17, fill: 5 }]);
    const store = openStore(storage, file);
    await prune(store, owners, { policy: { keepLast: 1 }, patienceMs: 0 });
    const name = [...storage.objects.keys()].find((each) => each.endsWith('.1')) ?? expect.fail();
    expect(await verify(store, owners, { mode: 'deep' })).toMatchObject({
      isWhole: true,
      checked: { blocks: 29 },
    });
    const bytes = storage.objects.get(name) ?? expect.fail();
    bytes[70_000] = (bytes[70_000] as number) ^ 1;
    expect((await verify(store, owners, { mode: 'deep' })).points[0]?.disks[0]?.ranges).toMatchObject([
      { offset: BLOCK_SIZE, length: BLOCK_SIZE },
    ]);
  });
});
