import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { faultAt, faultyStorage } from '../testing/faulty-storage.ts';
import { encode, endName, leaseName } from './lease-records.ts';
import { takeLease } from './leases.ts';
import { checkPoints, cloneOf, KeptSeries, lonelyProcess, openStore } from './kept-series.fixture.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { PieceSet } from './packs/piece-set.ts';
import { UUID } from './point.fixture.ts';
import { markPoints } from './mark.ts';
import { decodeEntry, ENTRY_BYTES, TRAILER_BYTES } from './packs/pack-format.ts';
import { parsePackName } from './packs/pack-name.ts';
import { listPoints } from './points.ts';
import { forgetPoints, prune } from './prune.ts';
import { sweep } from './sweep.ts';

const OPTIONS = { leaseMs: 200, patienceMs: 0 };
const owners = lonelyProcess(1);

const packsOf = (storage: TestStorage): string[] =>
  [...storage.objects.keys()].filter((name) => name.startsWith('packs/')).sort();

/** Three points: the second shares a little with the first, the third nearly all with the second. */
async function threePoints(): Promise<KeptSeries> {
  const series = new KeptSeries(new TestStorage());
  await series.take([{ first: 0, count: 20, fill: 'random' }]);
  await series.take([{ first: 4, count: 16, fill: 'random' }]);
  await series.take([{ first: 30, count: 2, fill: 'random' }]);
  return series;
}

/** Whether each piece of each pack is in use, and the packs alone are there, in one generation. */
async function expectTidy(storage: TestStorage, sparseShare: number): Promise<void> {
  const store = openStore(storage);
  const { points } = await listPoints(storage);
  const pieces = new PieceSet();
  expect(
    await markPoints(
      store,
      points.map(({ point }) => point),
      pieces,
    ),
  ).toEqual([]);
  const names = [...storage.objects.keys()].filter((name) => !name.startsWith('points/'));
  expect(names.map((name) => parsePackName(name)?.pack).sort()).toEqual([...pieces.packs].sort());
  for (const name of names) {
    const bytes = storage.objects.get(name) ?? expect.fail();
    let used = 0;
    let all = 0;
    for (
      let at = bytes.readUInt32BE(bytes.length - TRAILER_BYTES + 20);
      at < bytes.length - TRAILER_BYTES;
      at += ENTRY_BYTES
    ) {
      const { number, length } = decodeEntry(bytes, at);
      all += length;
      if (pieces.has({ pack: parsePackName(name)?.pack ?? '', number })) used += length;
    }
    expect(used, name).toBeGreaterThanOrEqual(all * sparseShare);
  }
}

describe('prune', () => {
  it('says what it will do, does it, and leaves what remains exact', async () => {
    const series = await threePoints();
    const { storage } = series;
    const [first = '', second = '', third = ''] = series.disks.keys();
    const store = openStore(storage);
    const before = cloneOf(storage);
    const plan = await prune(store, owners, { ...OPTIONS, policy: { keepLast: 2 }, dryRun: true });
    expect([...storage.objects.keys()]).toEqual([...before.objects.keys()]);
    expect(plan).toMatchObject({
      keep: [
        { id: third, reasons: ['last', 'newest'] },
        { id: second, reasons: ['last'] },
      ],
      remove: [first],
      removedPacks: 0,
      rewrittenPacks: 1,
      hindrances: [],
    });
    const done = await prune(store, owners, { ...OPTIONS, policy: { keepLast: 2 } });
    expect(done).toMatchObject({ remove: [first], removedPacks: 0, rewrittenPacks: 1, hindrances: [] });
    expect(Math.abs(done.freedBytes - plan.freedBytes)).toBeLessThan(4096);
    expect(await checkPoints(storage, series.disks)).toEqual([second, third]);
    expect(packsOf(storage)[0]).toMatch(/\.1$/);
    await expectTidy(storage, 0.5);
  });

  it('keeps what is protected, and all of a repository without a policy', async () => {
    const series = await threePoints();
    const [first = '', second, third] = series.disks.keys();
    const store = openStore(series.storage);
    expect((await prune(store, owners, { ...OPTIONS, policy: {} })).remove).toEqual([]);
    const options = { ...OPTIONS, policy: { keepLast: 1 }, protected: [first] };
    expect((await prune(store, owners, options)).remove).toEqual([second]);
    expect(await checkPoints(series.storage, series.disks)).toEqual([first, third]);
  });

  it('spares what somebody who lives has named, and who is about to commit', async () => {
    const series = await threePoints();
    const { storage } = series;
    const [first = '', second = ''] = series.disks.keys();
    const reader = await takeLease(storage, owners, { kind: 'read', points: [first] }, OPTIONS);
    const object = [...storage.objects.keys()].find((name) => name.includes(second)) ?? '';
    await storage.put(endName('01J00000000000000000000001'), encode({ end: 'commit', object }));
    const options = { ...OPTIONS, policy: { keepLast: 1 } };
    const { keep, remove } = await prune(openStore(storage), owners, options);
    expect(remove).toEqual([]);
    expect(keep.slice(1)).toEqual([
      { id: first, reasons: ['in-use'] },
      { id: second, reasons: ['in-use'] },
    ]);
    await reader.release();
  });
});

describe('points that are to be forgotten', () => {
  it('go, the newest and all of them too, and leave the others exact', async () => {
    const series = await threePoints();
    const { storage } = series;
    const [first = '', second = '', third = ''] = series.disks.keys();
    const store = openStore(storage);
    const before = cloneOf(storage);
    const points = [third, first, third];
    const plan = await forgetPoints(store, owners, { ...OPTIONS, points, dryRun: true });
    expect([...storage.objects.keys()]).toEqual([...before.objects.keys()]);
    expect(plan).toMatchObject({ keep: [], remove: [first, third], hindrances: [] });
    const done = await forgetPoints(store, owners, { ...OPTIONS, points });
    expect(done).toMatchObject({ keep: [], remove: [first, third], hindrances: [] });
    expect(Math.abs(done.freedBytes - plan.freedBytes)).toBeLessThan(4096);
    expect(await checkPoints(storage, series.disks)).toEqual([second]);
    await expectTidy(storage, 0.5);
    await forgetPoints(store, owners, { ...OPTIONS, points: [second] });
    expect([...storage.objects.keys()]).toEqual([]);
  });

  it('stay all, if one of them is not there', async () => {
    const series = await threePoints();
    const [first = ''] = series.disks.keys();
    const points = [first, '01J00000000000000000000000'];
    const forgetting = forgetPoints(openStore(series.storage), owners, { ...OPTIONS, points });
    await expect(forgetting).rejects.toMatchObject({ code: 'ERR_BACKUP_NOT_FOUND', reason: 'point' });
    expect(await checkPoints(series.storage, series.disks)).toHaveLength(3);
  });

  it('stay while somebody reads them', async () => {
    const series = await threePoints();
    const { storage } = series;
    const [first = '', second = ''] = series.disks.keys();
    const reader = await takeLease(storage, owners, { kind: 'restore', points: [first] }, OPTIONS);
    const options = { ...OPTIONS, points: [first, second] };
    const { keep, remove } = await forgetPoints(openStore(storage), owners, options);
    expect([keep, remove]).toEqual([[{ id: first, reasons: ['in-use'] }], [second]]);
    await reader.release();
  });

  it('go when they are damaged, after which a sweep knows again what is needed', async () => {
    const series = await threePoints();
    const { storage } = series;
    const [first = '', second = '', third = ''] = series.disks.keys();
    const object = [...storage.objects.keys()].find((name) => name.includes(second)) ?? '';
    storage.objects.set(object, Buffer.from('no manifest'));
    const done = await forgetPoints(openStore(storage), owners, { ...OPTIONS, points: [second] });
    expect(done).toMatchObject({ remove: [second], hindrances: [] });
    expect(await checkPoints(storage, series.disks)).toEqual([first, third]);
    await expectTidy(storage, 0.5);
  });
});

describe('a sweep', () => {
  it('removes nothing while it is not known what a point needs', async () => {
    const series = await threePoints();
    const { storage } = series;
    const store = openStore(storage);
    const [first = ''] = series.disks.keys();
    const manifest = [...storage.objects.keys()].find((name) => name.includes(first)) ?? '';
    await storage.put('packs/01J00000000000000000000000.0', Buffer.from('nobody’s'));
    const bytes = storage.objects.get(manifest) ?? expect.fail();
    bytes[5] = (bytes[5] as number) ^ 1;
    const hindered = await sweep(store, owners, OPTIONS);
    expect(hindered).toMatchObject({ removedPacks: 0, freedBytes: 0 });
    expect(hindered.hindrances[0]).toMatch(/it is not known what points\/.* needs: .*damaged/);
    bytes[5] = bytes[5] ^ 1;
    expect(packsOf(storage)).toHaveLength(4);
    expect(await sweep(store, owners, OPTIONS)).toMatchObject({ removedPacks: 1, hindrances: [] });
    // The same with a page.
    await storage.put('packs/01J00000000000000000000000.0', Buffer.from('nobody’s'));
    const pack = storage.objects.get(packsOf(storage).at(-1) ?? '') ?? expect.fail();
    const table = pack.readUInt32BE(pack.length - TRAILER_BYTES + 20);
    const page = decodeEntry(pack, pack.length - TRAILER_BYTES - ENTRY_BYTES);
    expect(page.offset).toBeLessThan(table);
    pack[page.offset] = (pack[page.offset] as number) ^ 1;
    const doubtful = await sweep(openStore(storage), owners, OPTIONS);
    expect(doubtful.hindrances[0]).toMatch(/it is not known what point .* needs: page .* is damaged/);
    expect(packsOf(storage)).toHaveLength(4);
  });

  it('waits for who is at work, and removes nothing if that one does not end', async () => {
    const series = await threePoints();
    const { storage } = series;
    await storage.put('packs/01J00000000000000000000000.0', Buffer.from('nobody’s'));
    const writer = await takeLease(storage, owners, { kind: 'backup', domain: UUID }, OPTIONS);
    const hindered = await sweep(openStore(storage), owners, OPTIONS);
    expect(hindered.hindrances).toEqual([expect.stringMatching(/^process 1 on here is at work \(backup, /)]);
    expect(packsOf(storage)).toHaveLength(4);
    // What is committed while it waits stays, though its packs were there before.
    const id = await series.take([{ first: 1, count: 3, fill: 'random' }]);
    const manifest = [...storage.objects.keys()].find((name) => name.includes(id)) ?? '';
    const bytes = storage.objects.get(manifest) ?? expect.fail();
    storage.objects.delete(manifest);
    const sweeping = sweep(openStore(storage), owners, { leaseMs: 200, patienceMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    storage.objects.set(manifest, bytes);
    await writer.release();
    expect(await sweeping).toMatchObject({ removedPacks: 1, hindrances: [] });
    expect(await checkPoints(storage, series.disks)).toContain(id);
  });

  it('removes what says that a lease was taken over long ago', async () => {
    const storage = new TestStorage();
    const taken = encode({ end: 'taken' });
    await storage.put(endName('01J00000000000000000000000'), taken);
    await storage.put(endName('7ZZZZZZZZZZZZZZZZZZZZZZZZZ'), taken);
    await sweep(openStore(storage), owners, OPTIONS);
    expect([...storage.objects.keys()]).toEqual([endName('7ZZZZZZZZZZZZZZZZZZZZZZZZZ')]);
  });

  it('says in a dry run what it would do', async () => {
    const series = await threePoints();
    const { storage } = series;
    await storage.put('packs/01J00000000000000000000000.0', Buffer.alloc(1000));
    expect(await sweep(openStore(storage), owners, { ...OPTIONS, dryRun: true })).toEqual({
      removedPacks: 1,
      rewrittenPacks: 0,
      freedBytes: 1000,
      hindrances: [],
    });
    expect(packsOf(storage)).toHaveLength(4);
    expect([...storage.objects.keys()].some((name) => name.startsWith(leaseName('')))).toBe(false);
  });
});

describe('forgetting the newest point, killed at any operation,', () => {
  it.each(['kill', 'kill-after'] as const)(
    'leaves the others whole, and nothing behind the next run (%s)',
    { timeout: 120_000 },
    async (type) => {
      const series = await threePoints();
      const [first, second, third = ''] = series.disks.keys();
      let number = 1;
      for (let isThrough = false; !isThrough; number++) {
        const storage = cloneOf(series.storage);
        const faulty = faultyStorage(storage, faultAt(number, { type }));
        const options = { ...OPTIONS, points: [third] };
        await forgetPoints(openStore(faulty), lonelyProcess(1), options).catch(() => undefined);
        isThrough = faulty.operations.length < number;
        const left = await checkPoints(storage, series.disks);
        expect(left.slice(0, 2), `at ${number}`).toEqual([first, second]);
        await (left.includes(third)
          ? forgetPoints(openStore(storage), lonelyProcess(2), options)
          : sweep(openStore(storage), lonelyProcess(2), OPTIONS));
        expect(await checkPoints(storage, series.disks)).toEqual([first, second]);
        await expectTidy(storage, 0.5);
      }
      expect(number).toBeGreaterThan(15);
    },
  );
});

describe('prune, killed at any operation,', () => {
  it.each(['kill', 'kill-after', 'fail', 'fail-after'] as const)(
    'leaves whole points, and nothing behind the next run (%s)',
    { timeout: 120_000 },
    async (type) => {
      const series = await threePoints();
      await series.storage.put('packs/01J00000000000000000000000.0', Buffer.from('nobody’s'));
      const options = { ...OPTIONS, policy: { keepLast: 1 }, sparseShare: 0.9 };
      const [, , third] = series.disks.keys();
      let number = 1;
      for (let isThrough = false; !isThrough; number++) {
        const storage = cloneOf(series.storage);
        const faulty = faultyStorage(storage, faultAt(number, { type }));
        await prune(openStore(faulty), lonelyProcess(1), options).catch(() => undefined);
        isThrough = faulty.operations.length < number;
        expect(await checkPoints(storage, series.disks), `at ${number}`).toContain(third);
        const next = await prune(openStore(storage), lonelyProcess(2), options);
        expect(next.hindrances).toEqual([]);
        expect(await checkPoints(storage, series.disks)).toEqual([third]);
        await expectTidy(storage, 0.9);
      }
      expect(number).toBeGreaterThan(40);
    },
  );
});

describe('any series of points, prunes and sweeps', () => {
  const change = fc.record({
    first: fc.nat(30),
    count: fc.integer({ min: 1, max: 9 }),
    fill: fc.oneof(fc.nat(3), fc.constant('random' as const)),
  });
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.array(change, { maxLength: 4 }) },
    { weight: 1, arbitrary: fc.record({ keepLast: fc.integer({ min: 1, max: 3 }), keepMonthly: fc.nat(1) }) },
  );

  it('leaves the points that are kept exact, and nothing else', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.boolean(), async (steps, isGreedy) => {
        const series = new KeptSeries(new TestStorage());
        const sparseShare = isGreedy ? 1 : 0.5;
        let kept: string[] = [];
        for (const each of steps) {
          if (Array.isArray(each)) {
            kept.push(await series.take(each));
            continue;
          }
          const store = openStore(series.storage);
          const { keep } = await prune(store, owners, { ...OPTIONS, policy: each, sparseShare });
          kept = keep.map(({ id }) => id).sort();
          await expectTidy(series.storage, sparseShare);
        }
        expect(await checkPoints(series.storage, series.disks)).toEqual(kept);
      }),
      { numRuns: 60 },
    );
  });
});
