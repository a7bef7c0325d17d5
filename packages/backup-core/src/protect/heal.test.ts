import { beforeEach, describe, expect, it } from 'vitest';
import { type BackupRepository, copyPoints } from '../backup-repository.ts';
import type { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import { decodeEntry, ENTRY_BYTES, KIND, TRAILER_BYTES } from '../repository/packs/pack-format.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { VerifyReport } from '../repository/verify/verify.ts';
import { DamagedError } from '../words/errors.ts';
import { contentOf, domainOf, failure, openFor, readBack, writeBlock } from './protected-domain.fixture.ts';

const BLOCKS = 10;
let domain: FakeHypervisor;
let storage: TestStorage;

beforeEach(() => {
  domain = domainOf(BLOCKS);
  storage = new TestStorage();
});

const namesIn = (prefix: string): string[] =>
  [...storage.objects.keys()].filter((name) => name.startsWith(prefix));

const packs = (): string[] => namesIn('packs/');

/** Flips a bit of a stored piece. */
function damage(pack: string, which: (entry: ReturnType<typeof decodeEntry>) => boolean): void {
  const bytes = storage.objects.get(pack) ?? expect.fail();
  const trailer = bytes.length - TRAILER_BYTES;
  // Behind the key slot.
  const table = bytes.readUInt32BE(trailer + 20) + bytes.readUInt32BE(trailer + 12);
  let found = 0;
  for (let row = table; row < trailer; row += ENTRY_BYTES) {
    const entry = decodeEntry(bytes, row);
    if (!which(entry)) continue;
    bytes[entry.offset] = (bytes[entry.offset] as number) ^ 1;
    found++;
  }
  expect(found).toBeGreaterThan(0);
}

const stateOf = (report: VerifyReport): string[] =>
  report.points.flatMap(({ disks }) => disks.map(({ state }) => state));

/** What nothing in memory hides. */
const fresh = (): Promise<BackupRepository> => openFor(domain, storage);

describe('what is written down as damaged', () => {
  it('is read anew by the next backup, and nothing else is; the older points stay damaged', async () => {
    await using repository = await fresh();
    const { point: first } = await repository.backup(domain);
    damage(packs()[0] ?? '', ({ number }) => number === 3);
    writeBlock(domain, 7, 0x77);
    const { point: second } = await repository.backup(domain, { mode: 'incremental', audit: 0 });

    const planned = await repository.repair({ mode: 'deep', dryRun: true });
    expect([planned.quarantined, namesIn('damaged/')]).toEqual([{ packs: 0, pieces: 1 }, []]);
    const report = await repository.repair({ mode: 'deep' });
    expect([report.quarantined, report.isWhole, stateOf(report)]).toEqual([
      { packs: 0, pieces: 1 },
      false,
      ['damaged', 'damaged'],
    ]);
    expect(namesIn('damaged/')).toHaveLength(1);

    const { point, remarks, readBytes, storedBytes } = await repository.backup(domain, {
      mode: 'incremental',
      audit: 0,
    });
    expect(remarks).toMatchObject([{ reason: 'healed', disk: 'vda' }]);
    expect([readBytes, storedBytes, point.disks[0]?.healedBytes]).toEqual([
      BLOCK_SIZE,
      BLOCK_SIZE,
      BLOCK_SIZE,
    ]);
    expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
    for (const mode of ['quick', 'deep'] as const) {
      const now = await repository.verify({ mode });
      expect([stateOf(now), now.isWhole], mode).toEqual([['damaged', 'damaged', 'whole'], false]);
    }
    for (const old of [first, second])
      expect(await failure(readBack(repository, old))).toBeInstanceOf(DamagedError);
    const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect([next.remarks, next.readBytes, next.point.disks[0]?.healedBytes]).toEqual([[], 0, undefined]);
  });

  it('is shared with by no backup that reads everything either', async () => {
    await using repository = await fresh();
    await repository.backup(domain);
    damage(packs()[0] ?? '', ({ number }) => number === 3);
    await repository.repair({ mode: 'deep' });
    const { point, storedBytes } = await repository.backup(domain, { mode: 'full' });
    expect(storedBytes).toBe(BLOCK_SIZE);
    expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
  });

  it('may have become zeroes, or have been cut off, by then', async () => {
    for (const change of ['zero', 'cut'] as const) {
      domain = domainOf(BLOCKS);
      storage = new TestStorage();
      await using repository = await fresh();
      await repository.backup(domain);
      damage(packs()[0] ?? '', ({ number }) => number === 8);
      await repository.repair({ mode: 'deep' });
      if (change === 'zero') writeBlock(domain, 8, 0);
      const disk = domain.disks.get('vda') ?? expect.fail();
      if (change === 'cut') disk.content = disk.content.subarray(0, 7 * BLOCK_SIZE + 512);
      const { point } = await repository.backup(domain, { mode: 'incremental', audit: 1 });
      expect((await readBack(repository, point)).equals(contentOf(domain)), change).toBe(true);
      expect(stateOf(await repository.verify({ mode: 'deep' })), change).toEqual(['damaged', 'whole']);
    }
  });

  it('where it is a page, all that is under it is read; where it is the root or a pack, the disk', async () => {
    for (const [what, lose] of [
      [
        'root',
        () => {
          damage(packs()[0] ?? '', ({ kind }) => kind === KIND.page);
        },
      ],
      ['pack', () => storage.objects.delete(packs()[0] ?? '')],
    ] as const) {
      domain = domainOf(BLOCKS);
      storage = new TestStorage();
      {
        await using repository = await fresh();
        await repository.backup(domain);
      }
      lose();
      await using repository = await fresh();
      await repository.repair();
      const { point, remarks } = await repository.backup(domain);
      expect([remarks.map(({ reason }) => reason), point.disks[0]?.reading], what).toMatchObject([
        ['earlier-damaged'],
        { mode: 'full', reason: 'earlier-damaged' },
      ]);
      expect((await readBack(repository, point)).equals(contentOf(domain)), what).toBe(true);
      const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
      expect([next.remarks, next.readBytes], what).toEqual([[], 0]);
    }
  });

  it('is told to nobody without the key of an encrypted repository, and is believed with it', async () => {
    const key = Buffer.alloc(32, 7);
    await using repository = await openFor(domain, storage, { encryption: { key } });
    await repository.backup(domain);
    damage(packs()[0] ?? '', ({ number }) => number === 3);
    await repository.repair({ mode: 'deep' });
    const record = storage.objects.get(namesIn('damaged/')[0] ?? '') ?? expect.fail();
    expect(record.includes('hash')).toBe(false);
    const { point, storedBytes } = await repository.backup(domain, { audit: 0 });
    expect([storedBytes < 2 * BLOCK_SIZE, point.disks[0]?.healedBytes]).toEqual([true, BLOCK_SIZE]);
    expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
  });

  it('is shared with by no point that is copied to where it is', async () => {
    const origin = new TestStorage();
    await using from = await openFor(domain, origin);
    await from.backup(domain);
    await using repository = await fresh();
    await copyPoints(from, repository);
    damage(packs()[0] ?? '', ({ number }) => number === 3);
    await repository.repair({ mode: 'deep' });
    const { point } = await from.backup(domain);
    const { copied, damaged } = await copyPoints(from, repository);
    expect([copied.map(({ id }) => id), damaged]).toEqual([[point.id], []]);
    expect(stateOf(await repository.verify({ mode: 'deep' }))).toEqual(['damaged', 'whole']);
    const [, stored] = await repository.points();
    expect(stored?.disks[0]?.freeOf).toHaveLength(1);
  });

  it('is not written down again by a later repair', async () => {
    await using repository = await fresh();
    await repository.backup(domain);
    damage(packs()[0] ?? '', ({ number }) => number === 3);
    await repository.repair({ mode: 'deep' });
    const again = await repository.repair({ mode: 'deep' });
    expect([again.quarantined, again.releasedRecords, namesIn('damaged/').length]).toEqual([
      { packs: 0, pieces: 0 },
      [],
      1,
    ]);
  });

  it('goes with the last point that has it, and so does what is damaged', async () => {
    await using repository = await fresh();
    await repository.backup(domain);
    damage(packs()[0] ?? '', () => true);
    await repository.repair({ mode: 'deep' });
    await repository.backup(domain);
    const { hindrances } = await repository.prune({ keepLast: 2 });
    expect([hindrances.length, namesIn('damaged/').length]).toEqual([1, 1]);
    await repository.prune({ keepLast: 1 });
    expect(namesIn('damaged/')).toEqual([]);
    expect((await repository.verify({ mode: 'deep' })).isWhole).toBe(true);
  });

  it('is released where what was damaged is whole again', async () => {
    await using repository = await fresh();
    await repository.backup(domain);
    const [pack = ''] = packs();
    damage(pack, ({ number }) => number === 3);
    await repository.repair({ mode: 'deep' });
    damage(pack, ({ number }) => number === 3);
    expect((await repository.repair()).releasedRecords, 'a quick look does not know').toEqual([]);
    await repository.backup(domain, { audit: 0 });
    const points = (await repository.points()).slice(1).map(({ id }) => id);
    const { releasedRecords, isWhole } = await repository.repair({ mode: 'deep', points });
    expect([releasedRecords, isWhole], 'nor does a look at another point').toEqual([[], true]);
    const report = await repository.repair({ mode: 'deep' });
    expect([report.isWhole, report.releasedRecords.length, namesIn('damaged/')]).toEqual([true, 1, []]);
    const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect([next.remarks, next.readBytes]).toEqual([[], 0]);
  });

  it('a record that cannot be read costs a whole disk once, until a deep repair takes its place', async () => {
    await using repository = await fresh();
    await repository.backup(domain);
    damage(packs()[0] ?? '', ({ number }) => number === 3);
    await repository.repair({ mode: 'deep' });
    const record = storage.objects.get(namesIn('damaged/')[0] ?? '') ?? expect.fail();
    record[9] = (record[9] as number) ^ 1;
    expect(await repository.verify()).toMatchObject({ isWhole: false, damagedRecords: [{}] });
    const healed = await repository.backup(domain);
    expect(healed.storedBytes).toBe(BLOCKS * BLOCK_SIZE);
    expect(healed.remarks.map(({ reason }) => reason)).toEqual(['earlier-damaged', 'earlier-damaged']);
    const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect([next.remarks.length, next.readBytes]).toEqual([1, 0]);
    expect((await repository.repair()).releasedRecords).toEqual([]);
    const report = await repository.repair({ mode: 'deep' });
    expect([report.releasedRecords.length, report.quarantined.pieces, namesIn('damaged/').length]).toEqual([
      1, 1, 1,
    ]);
    expect(stateOf(await repository.verify())).toEqual(['damaged', 'whole', 'whole']);
  });
});

describe('a manifest that is damaged', () => {
  it('is set aside if it is named, and hinders no sweep from then on', async () => {
    await using repository = await fresh();
    const { point } = await repository.backup(domain);
    writeBlock(domain, 1, 0x11);
    await repository.backup(domain);
    const name = namesIn('points/').find((each) => each.includes(point.id)) ?? expect.fail();
    const bytes = storage.objects.get(name) ?? expect.fail();
    bytes[100] = (bytes[100] as number) ^ 1;
    const { points, damaged } = await repository.inspect();
    expect([points.length, damaged.map((each) => each.name)]).toEqual([1, [name]]);
    expect((await repository.repair({ mode: 'deep' })).setAside).toEqual([]);
    expect(namesIn(name), 'not unless it is named').toEqual([name]);
    expect((await repository.prune({ keepLast: 1 })).hindrances).toHaveLength(1);

    expect(await failure(repository.repair({ manifests: ['points/x'] }))).toMatchObject({ reason: 'point' });
    const other = namesIn('points/').find((each) => each !== name) ?? expect.fail();
    expect(await failure(repository.repair({ manifests: [other] }))).toMatchObject({ reason: 'point' });
    await repository.repair({ manifests: [name], dryRun: true });
    expect(namesIn(name)).toEqual([name]);
    const seal = `leases/${point.id}.end`;
    storage.objects.set(seal, Buffer.from(JSON.stringify({ end: 'commit', object: name })));
    expect(await failure(repository.repair({ manifests: [name] }))).toMatchObject({ reason: 'busy' });
    expect(namesIn(name), 'its writer has to find it').toEqual([name]);
    storage.objects.delete(seal);
    const report = await repository.repair({ manifests: [name] });
    expect([report.setAside, report.isWhole, report.damagedManifests]).toEqual([[name], true, []]);
    const [copy = ''] = namesIn(`damaged/${name}`);
    expect([namesIn(name), storage.objects.get(copy)?.equals(bytes)]).toEqual([[], true]);
    expect((await repository.prune({ keepLast: 1 })).hindrances).toEqual([]);
  });
});
