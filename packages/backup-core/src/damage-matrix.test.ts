import { beforeAll, describe, expect, it } from 'vitest';
import type { BackupRepository } from './backup-repository.ts';
import {
  type Bench,
  FLAVOURS,
  type Flavour,
  isRestored,
  type KnownPoint,
  makeBench,
  openAs,
  piecesOf,
  storeAs,
  truthOf,
} from './damaged-repository.fixture.ts';
import {
  changesOfManifests,
  changesOfPacks,
  packsOf,
  type Damage,
  flipsInManifests,
  flipsInPacks,
  flipped,
  someOfEachKind,
  strays,
} from './damages.fixture.ts';
import { contentOf } from './protect/protected-domain.fixture.ts';
import { lonelyProcess } from './repository/kept-series.fixture.ts';
import { prune } from './repository/prune.ts';
import { TestStorage } from './repository/memory-storage.fixture.ts';
import type { Point } from './repository/point.ts';
import { RepositoryError } from './words/errors.ts';

/** So many next backups are taken after damages of each kind; all if every place is damaged. */
const BACKUPS_OF_A_KIND: number = process.env.DAMAGE_MATRIX === 'all' ? Infinity : 1;
/** So many damages of each kind. */
const MOST_OF_A_KIND: Readonly<Record<Flavour, number>> = { plain: 3, deflate: 1, encrypted: 1, sealed: 1 };

/** The same objects: they are replaced, never changed in place. */
function cloneOf({ objects }: TestStorage): TestStorage {
  const clone = new TestStorage();
  for (const [name, bytes] of objects) clone.objects.set(name, bytes);
  return clone;
}

const idsOf = (points: Iterable<{ readonly point: Point }>): string[] =>
  [...points].map(({ point }) => point.id).sort();

/** What a damage must do to the points, by what they consisted of before. */
function expected({ known }: Bench, { lost = () => false, lostManifests = [] }: Damage) {
  const listed = known.filter(({ object }) => !lostManifests.includes(object));
  const harmed = listed.filter(({ pieces }) => [...pieces].some(lost));
  return { listed, harmed, whole: listed.filter((point) => !harmed.includes(point)) };
}

async function restoredOf(
  repository: BackupRepository,
  known: readonly KnownPoint[],
  what: string,
): Promise<KnownPoint[]> {
  const restored: KnownPoint[] = [];
  for (const each of known)
    if (await isRestored(repository, each.point, each.truth, what)) restored.push(each);
  return restored;
}

/** Exactly the points that hold what was damaged cannot be restored, and are named by a deep verify. */
async function checkPoints(bench: Bench, damage: Damage, storage: TestStorage): Promise<void> {
  const { listed, harmed, whole } = expected(bench, damage);
  const { what, lostManifests = [], namedManifests = lostManifests } = damage;
  await using repository = await openAs(bench.flavour, storage, bench.domain);
  expect(
    (await repository.points()).map(({ id }) => id),
    what,
  ).toEqual(idsOf(listed));
  expect(idsOf(await restoredOf(repository, listed, what)), what).toEqual(idsOf(whole));
  const report = await repository.verify({ mode: 'deep' });
  const named = report.points.filter(({ disks }) => disks.some(({ state }) => state === 'damaged'));
  expect(named.map(({ id }) => id).sort(), what).toEqual(idsOf(harmed));
  expect(report.damagedManifests.map(({ name }) => name).sort(), what).toEqual([...namedManifests].sort());
  expect(report.isWhole, what).toBe(harmed.length + namedManifests.length === 0);
}

/** The next backup is stored; it is exact unless it shares what was damaged. The whole points stay. */
async function checkNextBackup(bench: Bench, damage: Damage, storage: TestStorage): Promise<void> {
  const { what, lost = (): boolean => false } = damage;
  const before = new Set(storage.objects.keys());
  const domain = bench.domain.clone();
  await using repository = await openAs(bench.flavour, storage, domain);
  const { point } = await repository.backup(domain);
  const truth = truthOf(contentOf(domain));
  const pieces = await piecesOf(await storeAs(bench.flavour, storage), point);
  const isWhole = pieces !== undefined && ![...pieces].some(lost);
  expect(await isRestored(repository, point, truth, what), `${what}: the next point`).toBe(isWhole);
  const { harmed, whole } = expected(bench, damage);
  if (harmed.every((each) => each.point.domain.uuid !== domain.uuid)) expect(isWhole, what).toBe(true);
  expect(idsOf(await restoredOf(repository, whole, what)), what).toEqual(idsOf(whole));
  const left = [...storage.objects.keys()].filter((name) => /^(jobs|leases|intents)\//.test(name));
  expect(
    left.filter((name) => !before.has(name)),
    what,
  ).toEqual([]);
}

describe.each(Object.keys(FLAVOURS) as Flavour[])('a repository that is damaged (%s)', (flavour) => {
  let bench: Bench;
  let other: Bench;
  const backups = new Map<string, number>();

  beforeAll(async () => {
    bench = await makeBench(flavour);
    other = await makeBench(flavour);
  });

  async function check(damages: Iterable<Damage>): Promise<void> {
    let count = 0;
    for (const damage of someOfEachKind(damages, MOST_OF_A_KIND[flavour])) {
      const storage = cloneOf(bench.storage);
      damage.do(storage.objects);
      await checkPoints(bench, damage, storage);
      const taken = backups.get(damage.kind) ?? 0;
      if (taken < BACKUPS_OF_A_KIND) await checkNextBackup(bench, damage, storage);
      backups.set(damage.kind, taken + 1);
      count++;
    }
    expect(count).toBeGreaterThan(0);
  }

  it('one byte of a pack, at each structural place and anywhere', { timeout: 600_000 }, () =>
    check(flipsInPacks(bench)),
  );

  it('one byte of a manifest', { timeout: 120_000 }, () => check(flipsInManifests(bench)));

  it('a pack cut, longer, removed, exchanged, of another repository', { timeout: 120_000 }, () =>
    check(changesOfPacks(bench, other)),
  );

  it('a manifest cut, removed, exchanged, of another repository', { timeout: 120_000 }, () =>
    check(changesOfManifests(bench, other)),
  );

  it('what is put beside it harms nothing', { timeout: 120_000 }, () => check(strays(bench, other)));

  it('points of another repository among its own', async () => {
    const storage = cloneOf(bench.storage);
    for (const { object } of other.known)
      storage.objects.set(object, other.storage.objects.get(object) ?? expect.fail());
    await using repository = await openAs(flavour, storage, bench.domain);
    expect(idsOf(await restoredOf(repository, bench.known, 'its own'))).toEqual(idsOf(bench.known));
    const foreign = (await repository.points()).filter(({ id }) => !idsOf(bench.known).includes(id));
    for (const point of foreign)
      expect(await isRestored(repository, point, { size: -1, blocks: new Map() }, 'foreign')).toBe(false);
    const report = await repository.verify({ mode: 'deep' });
    const isEncrypted = keyed(flavour);
    const named = report.points.filter(({ disks }) => disks.some(({ state }) => state === 'damaged'));
    expect(named.map(({ id }) => id).sort()).toEqual(isEncrypted ? [] : idsOf(other.known));
    expect(report.damagedManifests).toHaveLength(isEncrypted ? other.known.length : 0);
    const domain = bench.domain.clone();
    await using next = await openAs(flavour, storage, domain);
    const { point } = await next.backup(domain);
    expect(await isRestored(next, point, truthOf(contentOf(domain)), 'the next')).toBe(true);
  });

  it(
    'any byte of repository.json: a clear error, or it is as good as before',
    { timeout: 120_000 },
    async () => {
      const bytes = bench.storage.objects.get('repository.json') ?? expect.fail();
      const reasons = new Set<string>();
      for (let at = 0; at < bytes.length; at++) {
        const storage = cloneOf(bench.storage);
        storage.objects.set('repository.json', flipped(bytes, at, 1 << (at % 7)));
        const domain = bench.domain.clone();
        let repository: BackupRepository;
        try {
          repository = await openAs(flavour, storage, domain);
        } catch (error) {
          if (!(error instanceof RepositoryError)) throw error;
          reasons.add(error.reason);
          continue;
        }
        const what = `byte ${at} of repository.json`;
        expect(idsOf(await restoredOf(repository, bench.known, what)), what).toEqual(idsOf(bench.known));
        const { point } = await repository.backup(domain);
        expect(await isRestored(repository, point, truthOf(contentOf(domain)), what), what).toBe(true);
        await repository.close();
      }
      expect(['foreign', 'format', 'key']).toEqual(expect.arrayContaining([...reasons]));
      expect(reasons.size).toBeGreaterThan(1);
    },
  );

  it('repository.json gone, cut or of another repository: nothing is made, nothing is changed', async () => {
    const bytes = bench.storage.objects.get('repository.json') ?? expect.fail();
    for (const [instead, reason] of [
      [undefined, 'foreign'],
      [Buffer.alloc(0), 'foreign'],
      [bytes.subarray(0, bytes.length >> 1), 'foreign'],
      [other.storage.objects.get('repository.json'), undefined],
    ] as const) {
      const storage = cloneOf(bench.storage);
      if (instead === undefined) storage.objects.delete('repository.json');
      else storage.objects.set('repository.json', instead);
      const before = new Map(storage.objects);
      const opening = openAs(flavour, storage, bench.domain, { create: true });
      if (reason !== undefined) {
        await expect(opening).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY', reason });
        expect([...storage.objects].every(([name, content]) => before.get(name) === content)).toBe(true);
        expect(storage.objects.size).toBe(before.size);
        continue;
      }
      await using repository = await opening;
      const points = await repository.points();
      // With other keys nothing can be read; without any all is there.
      expect(points.map(({ id }) => id)).toEqual(keyed(flavour) ? [] : idsOf(bench.known));
    }
  });

  it('put back as it was after any of its points: the next backup is exact', async () => {
    const series = bench.known.slice(0, 3);
    for (const [index, { point }] of series.entries()) {
      const storage = cloneOf(bench.storage);
      const then = series.slice(0, index + 1);
      const packs = new Set(
        then.flatMap(({ pieces }) => [...pieces].map((piece) => `packs/${piece.slice(0, 26)}.0`)),
      );
      for (const { object } of bench.known.slice(index + 1)) storage.objects.delete(object);
      for (const [name] of packsOf(bench)) if (!packs.has(name)) storage.objects.delete(name);
      const domain = bench.domain.clone();
      await using repository = await openAs(flavour, storage, domain);
      const { point: next } = await repository.backup(domain);
      expect(await isRestored(repository, next, truthOf(contentOf(domain)), 'the next')).toBe(true);
      expect(await isRestored(repository, point, knownOf(bench, point.id).truth, 'the newest')).toBe(true);
    }
  });

  it('generations of packs beside each other, older ones too', async () => {
    const storage = cloneOf(bench.storage);
    const options = { leaseMs: 200, patienceMs: 0, sparseShare: 1, policy: { keepLast: 1 } };
    const { keep } = await prune(await storeAs(flavour, storage), lonelyProcess(1), options);
    const kept = bench.known.filter(({ point }) => keep.some(({ id }) => id === point.id));
    expect([...storage.objects.keys()].filter((name) => /\.1$/.test(name)).length).toBeGreaterThan(0);
    for (const goes of ['none', 'the newer ones'] as const) {
      const both = cloneOf(storage);
      for (const [name, bytes] of packsOf(bench)) both.objects.set(name, bytes);
      if (goes !== 'none')
        for (const name of both.objects.keys()) if (/^packs.*\.1$/.test(name)) both.objects.delete(name);
      await using repository = await openAs(flavour, both, bench.domain);
      expect(idsOf(await restoredOf(repository, kept, goes))).toEqual(idsOf(kept));
      expect((await repository.verify({ mode: 'deep' })).isWhole).toBe(true);
    }
  });
});

const keyed = (flavour: Flavour): boolean => flavour === 'encrypted' || flavour === 'sealed';
const knownOf = ({ known }: Bench, id: string): KnownPoint =>
  known.find(({ point }) => point.id === id) ?? expect.fail(id);
