import { describe, expect, it } from 'vitest';
import type { BackupRepository } from '../backup-repository.ts';
import type { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import { SourceError } from '../ports/block-source.ts';
import type { Storage } from '../ports/storage.ts';
import { type Fault, faultAt, type FaultyStorage, faultyStorage } from '../testing/faulty-storage.ts';
import { memoryStorage } from '../testing/memory-storage.ts';
import { HypervisorError } from '../words/errors.ts';
import { lonelyProcess } from '../repository/kept-series.fixture.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { Point } from '../repository/point.ts';
import type { BackupResult } from './take-backup.ts';
import {
  backupAs,
  contentOf,
  domainOf,
  expectOurs,
  onRead,
  openFor,
  readBack,
  watched,
  writeBlock,
} from './protected-domain.fixture.ts';

const BLOCKS = 6;

/** A domain with one point in a storage, and something written since. */
async function oneBackup(): Promise<{ domain: FakeHypervisor; storage: Storage; first: Buffer }> {
  const domain = domainOf(BLOCKS);
  const storage = memoryStorage();
  await using repository = await openFor(domain, storage);
  await repository.backup(domain);
  const first = contentOf(domain);
  writeBlock(domain, 2, 0x22);
  return { domain, storage, first };
}

/**
 * Whatever came of a backup: if it was fulfilled its point is there and right, every other point is what it was, and
 * the next backup is taken as if nothing had been.
 */
async function expectSound(
  { domain, storage, first }: Awaited<ReturnType<typeof oneBackup>>,
  outcome: PromiseSettledResult<BackupResult>,
): Promise<void> {
  domain.wrapSource = (source) => source;
  const second = contentOf(domain);
  await using repository = await openFor(domain, storage, { create: false });
  await expectPoints(repository, outcome, [first, second]);
  writeBlock(domain, 4, 0x44);
  const { point } = await repository.backup(domain);
  expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
  expect(domain.job).toBeUndefined();
  expect([...domain.checkpoints.keys()]).toEqual([point.checkpoint?.name]);
  expect([...(domain.disks.get('vda')?.bitmaps.keys() ?? [])]).toEqual([point.checkpoint?.name]);
  expect(await namesIn(storage, ['jobs/', 'leases/', 'intents/'])).toEqual([]);
}

async function expectPoints(
  repository: BackupRepository,
  outcome: PromiseSettledResult<BackupResult>,
  truths: readonly Buffer[],
): Promise<void> {
  const points = await repository.points();
  if (outcome.status === 'fulfilled') expect(points.at(-1)?.id).toBe(outcome.value.point.id);
  else expect(points.length, 'what failed is not stored').toBe(1);
  for (const [index, point] of points.entries())
    expect((await readBack(repository, point)).equals(truths[index] as Buffer), `point ${index}`).toBe(true);
}

async function namesIn(storage: Storage, prefixes: readonly string[]): Promise<string[]> {
  const names: string[] = [];
  for (const prefix of prefixes) for await (const { name } of storage.list(prefix)) names.push(name);
  return names;
}

async function settled<Result>(promise: Promise<Result>): Promise<PromiseSettledResult<Result>> {
  return (await Promise.allSettled([promise]))[0];
}

describe('a storage that fails at any one operation', () => {
  const faults: readonly Fault[] = [{ type: 'fail' }, { type: 'fail-after' }, { type: 'tear' }];

  it.each(faults)(
    '$type: an error of ours or a point, and the next backup heals',
    async (fault) => {
      for (let number = 1, isThrough = false; !isThrough; number++) {
        const bench = await oneBackup();
        const { domain, storage } = bench;
        let faulty: FaultyStorage | undefined;
        const outcome = await settled(
          (async () => {
            // Opened before the first fault, which is not what this is about.
            faulty = faultyStorage(storage, (operation) =>
              operation.name === 'repository.json' ? undefined : faultAt(number + 1, fault)(operation),
            );
            await using repository = await openFor(domain, faulty);
            return await repository.backup(domain);
          })(),
        );
        if (outcome.status === 'rejected') expectOurs(outcome.reason);
        const met = faulty?.operations[number];
        await expectSound(bench, outcome).catch((error: unknown) => {
          const what = `${met?.kind ?? ''} ${met?.name ?? ''}, ${String((outcome as PromiseRejectedResult).reason)}`;
          throw new Error(`operation ${number + 1}: ${what}: ${String(error)}`, { cause: error });
        });
        isThrough = met === undefined;
      }
    },
    120_000,
  );

  it.each(['kill', 'kill-after'] as const)(
    '%s: a process that dies costs nothing, and the next one takes over at once',
    async (type) => {
      for (let number = 1, isThrough = false; !isThrough; number++) {
        const domain = domainOf(BLOCKS);
        const storage = new TestStorage();
        await backupAs(lonelyProcess(1), domain, storage);
        const truths = [contentOf(domain)];
        writeBlock(domain, 2, 0x22);
        truths.push(contentOf(domain));
        const faulty = faultyStorage(storage, faultAt(number, { type }));
        const outcome = await settled(backupAs(lonelyProcess(1), domain, faulty));
        isThrough = faulty.operations.length < number;
        const what = `operation ${number}: ${JSON.stringify(faulty.operations[number - 1])}`;
        if (outcome.status === 'rejected') expectOurs(outcome.reason);
        writeBlock(domain, 4, 0x44);
        // What is dead is a process of this host: its lease is not waited for.
        const { point } = await backupAs(lonelyProcess(2), domain, storage);
        await using repository = await openFor(domain, storage, { create: false });
        const points = await repository.points();
        if (points.length === 3)
          expect((await readBack(repository, points[1] as Point)).equals(truths[1] as Buffer), what).toBe(
            true,
          );
        else expect(points.length, what).toBe(2);
        if (outcome.status === 'fulfilled') expect(points.length, what).toBe(3);
        expect((await readBack(repository, points[0] as Point)).equals(truths[0] as Buffer), what).toBe(true);
        expect((await readBack(repository, point)).equals(contentOf(domain)), what).toBe(true);
        expect(domain.job, what).toBeUndefined();
        expect([...domain.checkpoints.keys()], what).toEqual([point.checkpoint?.name]);
        expect(await namesIn(storage, ['jobs/', 'leases/', 'intents/']), what).toEqual([]);
        // Nothing that no point needs is left either.
        expect(await repository.prune({}, { dryRun: true }), what).toMatchObject({
          removedPacks: 0,
          hindrances: [],
        });
      }
    },
    120_000,
  );
});

describe('a hypervisor that fails at any one call', () => {
  it.each(['failed', 'connection-lost', 'denied', 'timeout'] as const)(
    '%s',
    async (reason) => {
      for (let number = 1, isThrough = false; !isThrough; number++) {
        const bench = await oneBackup();
        const { domain, storage } = bench;
        let met = '';
        const failing = watched(domain, (call) => {
          if (call.number !== number) return;
          met = call.name;
          throw new HypervisorError(reason, `${call.name} was made to fail`);
        });
        await using repository = await openFor(domain, storage);
        const outcome = await settled(repository.backup(failing));
        if (outcome.status === 'rejected') expectOurs(outcome.reason);
        await expectSound(bench, outcome).catch((error: unknown) => {
          throw new Error(`call ${number}, ${met}: ${String(error)}`, { cause: error });
        });
        isThrough = met === '';
      }
    },
    120_000,
  );
});

describe('an abort', () => {
  const reason = new Error('enough');

  it('at any call of the hypervisor', async () => {
    for (let number = 1, isThrough = false; !isThrough; number++) {
      const bench = await oneBackup();
      const { domain, storage } = bench;
      const abort = new AbortController();
      const aborting = watched(domain, (call) => {
        if (call.number === number) abort.abort(reason);
      });
      await using repository = await openFor(domain, storage);
      const outcome = await settled(repository.backup(aborting, { signal: abort.signal }));
      isThrough = !abort.signal.aborted;
      if (outcome.status === 'rejected') expect(outcome.reason, `call ${number}`).toBe(reason);
      else {
        const remarks = outcome.value.remarks.map((remark) => remark.reason);
        expect(remarks, `call ${number}`).toEqual(isThrough ? [] : ['aborted-late']);
      }
      await expectSound(bench, outcome);
    }
  }, 120_000);

  it('at any operation of the storage', async () => {
    for (let number = 2, isThrough = false; !isThrough; number++) {
      const bench = await oneBackup();
      const { domain, storage } = bench;
      const abort = new AbortController();
      const aborting = faultyStorage(storage, (operation) => {
        if (operation.number === number) abort.abort(reason);
        return undefined;
      });
      await using repository = await openFor(domain, aborting);
      const outcome = await settled(repository.backup(domain, { signal: abort.signal }));
      isThrough = !abort.signal.aborted;
      const what = `${aborting.operations[number - 1]?.kind ?? ''} ${aborting.operations[number - 1]?.name ?? ''}`;
      if (outcome.status === 'rejected') expect(outcome.reason, what).toBe(reason);
      else if (!isThrough) {
        const remarks = outcome.value.remarks.map((remark) => remark.reason);
        expect(
          remarks.filter((each) => each !== 'aborted-late'),
          what,
        ).toEqual([]);
      }
      await expectSound(bench, outcome);
    }
  }, 120_000);

  it('before it begins, and while a disk is read', async () => {
    for (const when of ['before', 'reading']) {
      const bench = await oneBackup();
      const { domain, storage } = bench;
      const abort = new AbortController();
      if (when === 'before') abort.abort(reason);
      else
        onRead(domain, () => {
          abort.abort(reason);
        });
      await using repository = await openFor(domain, storage);
      const outcome = await settled(repository.backup(domain, { signal: abort.signal }));
      expect(outcome).toEqual({ status: 'rejected', reason });
      await expectSound(bench, outcome);
    }
  });
});

it.each([
  ['media', 'media'],
  ['timeout', 'timeout'],
  ['failed', 'failed'],
] as const)('a disk that cannot be read, %s, costs nothing', async (reason, expected) => {
  const bench = await oneBackup();
  const { domain, storage } = bench;
  const cause = new SourceError(reason, 'broken wire');
  onRead(domain, () => {
    throw cause;
  });
  await using repository = await openFor(domain, storage);
  const outcome = await settled(repository.backup(domain));
  expect(outcome).toMatchObject({
    status: 'rejected',
    reason: { code: 'ERR_BACKUP_JOB', reason: expected, phase: 'transfer', disk: 'vda', cause },
  });
  await expectSound(bench, outcome);
});

it('of several disks the first failure stops the others', async () => {
  const bench = await oneBackup();
  const { domain, storage } = bench;
  for (const disk of ['vdb', 'vdc']) domain.addDisk(disk, contentOf(domain));
  let reads = 0;
  onRead(domain, () => {
    if (++reads === 3) throw new SourceError('media', 'broken');
  });
  await using repository = await openFor(domain, storage);
  const outcome = await settled(repository.backup(domain));
  expect(outcome).toMatchObject({ status: 'rejected', reason: { reason: 'media' } });
  await expectSound(bench, outcome);
});
