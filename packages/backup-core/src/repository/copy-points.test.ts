import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { faultAt, faultyStorage } from '../testing/faulty-storage.ts';
import { copyPoints } from './copy-points.ts';
import { BLOCK_SIZE } from './format.ts';
import { checkPoints, cloneOf, KeptSeries, lonelyProcess, openStore } from './kept-series.fixture.ts';
import { takeLease } from './leases.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import type { Point } from './point.ts';
import { UUID } from './point.fixture.ts';
import { listPoints } from './points.ts';
import { prune } from './prune.ts';
import {
  type Compression,
  createRepositoryFile,
  type OpenRepositoryFile,
  openRepositoryFile,
} from './repository-file.ts';
import { sweep } from './sweep.ts';

const owners = lonelyProcess(1);
const OPTIONS = { leaseMs: 200, patienceMs: 0 };

async function threePoints(): Promise<KeptSeries> {
  const series = new KeptSeries(new TestStorage());
  await series.take([{ first: 0, count: 20, fill: 'random' }]);
  await series.take([
    { first: 4, count: 2, fill: 'random' },
    { first: 10, count: 1, fill: 0 },
  ]);
  await series.take([{ first: 30, count: 2, fill: 'random' }]);
  return series;
}

async function pointsOf(storage: TestStorage, file?: OpenRepositoryFile): Promise<readonly Point[]> {
  return (await listPoints(storage, { keys: file?.keys })).points.map(({ point }) => point);
}

async function encrypted(storage: TestStorage, compression: Compression): Promise<OpenRepositoryFile> {
  const key = randomBytes(32);
  await createRepositoryFile(storage, { compression, encryption: { key } });
  return openRepositoryFile(storage, { key });
}

describe('copyPoints', () => {
  it('copies what is missing and nothing else, and keeps what the manifests say', async () => {
    const series = await threePoints();
    const { storage } = series;
    const [first = '', second = '', third = ''] = series.disks.keys();
    const from = openStore(storage);
    const to = new TestStorage();
    const part = await copyPoints(from, openStore(to), owners, { points: [first] });
    expect(part).toEqual({
      copied: [{ id: first, readBytes: 20 * BLOCK_SIZE, storedBytes: 20 * BLOCK_SIZE }],
      present: [],
      damaged: [],
    });
    const rest = await copyPoints(from, openStore(to), owners);
    expect(rest).toEqual({
      copied: [
        { id: second, readBytes: 2 * BLOCK_SIZE, storedBytes: 2 * BLOCK_SIZE },
        { id: third, readBytes: 2 * BLOCK_SIZE, storedBytes: 2 * BLOCK_SIZE },
      ],
      present: [first],
      damaged: [],
    });
    expect(await checkPoints(to, series.disks)).toEqual([first, second, third]);
    const originals = await pointsOf(storage);
    for (const [index, point] of (await pointsOf(to)).entries()) {
      const original = originals[index] ?? expect.fail();
      expect(point.disks[0]?.root?.hash).toEqual(original.disks[0]?.root?.hash);
      const { disks, previous, ...facts } = original;
      expect(point).toMatchObject(facts);
      expect(point.previous?.id).toBe(previous?.id);
      expect(disks).toHaveLength(1);
    }
    // Links are those of the copies.
    const copies = (await listPoints(to)).points;
    expect(copies[2]?.point.previous).toEqual(copies[1]?.reference);
    for (const each of [storage, to])
      expect([...each.objects.keys()].filter((name) => /^(leases|intents)/.test(name))).toEqual([]);
  });

  it('shares with a newer point where the older one comes later', async () => {
    const series = await threePoints();
    const [first = '', , third = ''] = series.disks.keys();
    const to = openStore(new TestStorage());
    const from = openStore(series.storage);
    await copyPoints(from, to, owners, { points: [third] });
    const { copied } = await copyPoints(from, to, owners, { points: [first] });
    expect(copied).toEqual([{ id: first, readBytes: 3 * BLOCK_SIZE, storedBytes: 3 * BLOCK_SIZE }]);
  });

  it.each(['none', 'deflate'] as const)(
    'copies into a repository with other keys (%s), and back',
    async (compression) => {
      const series = await threePoints();
      const storage = new TestStorage();
      const file = await encrypted(storage, compression);
      const [first = '', second = ''] = series.disks.keys();
      const from = openStore(series.storage);
      await copyPoints(from, openStore(storage, file), owners, { points: [first] });
      const { copied } = await copyPoints(from, openStore(storage, file), owners);
      // Hashes say nothing about the first: all of the second is read, and of the third what differs from it.
      expect(copied.map(({ readBytes }) => readBytes / BLOCK_SIZE)).toEqual([19, 2]);
      expect(copied[0]?.storedBytes).toBeLessThan(2.1 * BLOCK_SIZE);
      expect(await checkPoints(storage, series.disks, file)).toEqual([...series.disks.keys()]);
      const back = new TestStorage();
      await copyPoints(openStore(storage, file), openStore(back), owners, { points: [second] });
      const [point] = await pointsOf(back);
      expect(point?.disks[0]?.root?.hash).toEqual((await pointsOf(series.storage))[1]?.disks[0]?.root?.hash);
    },
  );

  it('copies the points that are whole, and says of the others why not', async () => {
    const series = await threePoints();
    const [first, second, third] = series.disks.keys();
    const [, pack = ''] = [...series.storage.objects.keys()].filter((name) => name.startsWith('packs/'));
    const bytes = series.storage.objects.get(pack) ?? expect.fail();
    bytes[70_000] = (bytes[70_000] as number) ^ 1;
    const to = new TestStorage();
    const report = await copyPoints(openStore(series.storage), openStore(to), owners);
    expect(report.copied.map(({ id }) => id)).toEqual([first]);
    expect(report.damaged).toMatchObject([
      {
        name: second,
        reason: expect.stringContaining('65536 bytes of the disk at 327680 are damaged') as string,
      },
      { name: third },
    ]);
    expect((await sweep(openStore(to), owners, OPTIONS)).removedPacks).toBe(0);
    expect(await checkPoints(to, series.disks)).toEqual([first]);
  });

  it('says what it cannot do: a point that is not there, a domain that is backed up meanwhile', async () => {
    const series = await threePoints();
    const from = openStore(series.storage);
    const to = openStore(new TestStorage());
    const none = copyPoints(from, to, owners, { points: ['01J00000000000000000000000'] });
    await expect(none).rejects.toMatchObject({ code: 'ERR_BACKUP_NOT_FOUND', reason: 'point' });
    const lease = await takeLease(to.storage, owners, { kind: 'backup', domain: UUID });
    await expect(copyPoints(from, to, owners)).rejects.toMatchObject({ reason: 'busy' });
    await lease.release();
  });
});

describe('a copy, killed at any operation,', () => {
  it.each(['kill', 'kill-after', 'fail', 'fail-after'] as const)(
    'leaves whole points, and nothing behind the next one (%s)',
    { timeout: 120_000 },
    async (type) => {
      const series = await threePoints();
      const begun = new TestStorage();
      const [first = ''] = series.disks.keys();
      await copyPoints(openStore(series.storage), openStore(begun), owners, { points: [first] });
      let number = 1;
      for (let isThrough = false; !isThrough; number++) {
        const to = cloneOf(begun);
        const faulty = faultyStorage(to, faultAt(number, { type }));
        const from = openStore(series.storage);
        await copyPoints(from, openStore(faulty), lonelyProcess(1)).catch(() => undefined);
        isThrough = faulty.operations.length < number;
        expect(await checkPoints(to, series.disks), `at ${number}`).toContain(first);
        await copyPoints(from, openStore(to), lonelyProcess(2));
        expect(await checkPoints(to, series.disks)).toEqual([...series.disks.keys()]);
        expect([...to.objects.keys()].filter((name) => /^(leases|intents)/.test(name))).toEqual([]);
        expect(await sweep(openStore(to), lonelyProcess(3), OPTIONS)).toMatchObject({
          removedPacks: 0,
          hindrances: [],
        });
      }
      expect(number).toBeGreaterThan(40);
    },
  );
});

describe('any series, pruned and copied piece by piece,', () => {
  const change = fc.record({
    first: fc.nat(1040),
    count: fc.integer({ min: 1, max: 9 }),
    fill: fc.oneof(fc.nat(3), fc.constant('random' as const)),
  });
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.array(change, { maxLength: 4 }) },
    {
      weight: 1,
      arbitrary: fc.record({ copiesAll: fc.boolean(), keepLast: fc.integer({ min: 1, max: 3 }) }),
    },
  );

  it('is exactly what it was', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 9 }), fc.boolean(), async (steps, isEncrypted) => {
        const series = new KeptSeries(new TestStorage(), { blocks: 1050 });
        const to = new TestStorage();
        const file = isEncrypted ? await encrypted(to, 'deflate') : undefined;
        const expected = new Set<string>();
        for (const each of steps) {
          if (Array.isArray(each)) {
            await series.take(each);
            continue;
          }
          const from = openStore(series.storage);
          const ids = (await pointsOf(series.storage)).map(({ id }) => id);
          const points = each.copiesAll ? ids : ids.slice(0, 1);
          for (const id of points) expected.add(id);
          await copyPoints(from, openStore(to, file), owners, { points });
          await prune(from, owners, { ...OPTIONS, policy: { keepLast: each.keepLast } });
        }
        expect(await checkPoints(to, series.disks, file)).toEqual([...expected].sort());
      }),
      { numRuns: 25 },
    );
  });
});
