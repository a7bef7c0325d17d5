import { beforeEach, describe, expect, it } from 'vitest';
import type { BackupRepository } from '../backup-repository.ts';
import type { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import type { CallOptions } from '../ports/domain.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { Point } from '../repository/point.ts';
import { HypervisorError } from '../words/errors.ts';
import {
  contentOf,
  diskOf,
  domainOf,
  failure,
  openFor,
  readBack,
  watched,
  writeBlock,
} from './protected-domain.fixture.ts';

let domain: FakeHypervisor;
let storage: TestStorage;

beforeEach(() => {
  domain = domainOf(4);
  storage = new TestStorage();
});

const open = (): Promise<BackupRepository> => openFor(domain, storage);
const reasons = (remarks: readonly { readonly reason: string }[]): string[] =>
  remarks.map(({ reason }) => reason);
const nameOf = ({ checkpoint }: Point): string => checkpoint?.name ?? expect.fail('no checkpoint');

describe('a point that is stored is a success', () => {
  it('although somebody deletes the new checkpoint', async () => {
    await using repository = await open();
    const theirs = watched(domain, ({ name }) => {
      if (name === 'abortJob') domain.checkpoints.clear();
    });
    const { point, remarks } = await repository.backup(theirs);
    expect(reasons(remarks)).toEqual(['checkpoint-lost']);
    expect((await repository.points()).map(({ id }) => id)).toEqual([point.id]);
    expect([...storage.objects.keys()].filter((name) => name.startsWith('jobs/'))).toEqual([]);
  });

  it('although the job cannot be ended: the next backup ends it', async () => {
    await using repository = await open();
    domain.failures.set('abortJob', new HypervisorError('failed', 'no'));
    const { point, remarks } = await repository.backup(domain);
    expect(reasons(remarks)).toEqual(['job-left']);
    expect(domain.job).toBeDefined();
    const next = await repository.backup(domain, { mode: 'incremental' });
    expect([reasons(next.remarks), next.point.previous?.id]).toEqual([['leftovers'], point.id]);
    expect(domain.job).toBeUndefined();
  });

  it('although a superseded checkpoint cannot be removed: it goes with the next backup', async () => {
    await using repository = await open();
    await repository.backup(domain);
    domain.failures.set('deleteCheckpoint', new HypervisorError('failed', 'no'));
    expect(reasons((await repository.backup(domain)).remarks)).toEqual(['checkpoint-left']);
    expect(domain.checkpoints.size).toBe(2);
    const { point, remarks } = await repository.backup(domain);
    expect(remarks).toEqual([]);
    expect([...domain.checkpoints.keys()]).toEqual([nameOf(point)]);
  });
});

it('looks at a domain once, unless that changes something', async () => {
  await using repository = await open();
  await repository.backup(domain);
  const count = async (): Promise<number[]> => {
    const calls: string[] = [];
    await repository.backup(watched(domain, ({ name }) => void calls.push(name)));
    return ['describe', 'checkpointNames', 'imageBitmaps'].map(
      (call) => calls.filter((name) => name === call).length,
    );
  };
  // The second look is at what the superseded checkpoint left.
  expect(await count()).toEqual([1, 1, 2]);
  domain.checkpoints.clear();
  expect(await count(), 'made known again').toEqual([2, 2, 3]);
});

it('an abort while a superseded checkpoint is removed is obeyed, though the hypervisor says nothing', async () => {
  await using repository = await open();
  await repository.backup(domain);
  const abort = new AbortController();
  domain.deleteCheckpoint = (_: string, { signal }: CallOptions = {}) =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        reject(signal.reason as Error);
      });
      abort.abort(new Error('enough'));
    });
  const { remarks } = await repository.backup(domain, { signal: abort.signal });
  expect(reasons(remarks)).toEqual(['checkpoint-left', 'aborted-late']);
});

it('a hypervisor that is gone once the job has begun is a failure of the job', async () => {
  await using repository = await open();
  await repository.backup(domain);
  let hasBegun = false;
  const failing = watched(domain, ({ name }) => {
    if (hasBegun && name === 'checkpoint') throw new HypervisorError('connection-lost', 'gone');
    hasBegun ||= name === 'beginBackup';
  });
  expect(await failure(repository.backup(failing))).toMatchObject({
    code: 'ERR_BACKUP_JOB',
    reason: 'connection-lost',
    phase: 'transfer',
  });
});

describe('chains are per disk', () => {
  beforeEach(() => {
    domain.addDisk('vdb', diskOf(3, 50));
  });

  it('a checkpoint stays while one disk starts from it, and goes when none does', async () => {
    await using repository = await open();
    const first = (await repository.backup(domain)).point;
    const second = (await repository.backup(domain, { disks: ['vda'] })).point;
    expect([...domain.checkpoints.keys()]).toEqual([nameOf(first), nameOf(second)]);
    writeBlock(domain, 1, 0x11, 'vdb');
    const third = (await repository.backup(domain, { mode: 'incremental', disks: ['vdb'] })).point;
    expect(third.disks).toMatchObject([{ name: 'vdb', reading: { checkpoint: nameOf(first) } }]);
    expect([...domain.checkpoints.keys()]).toEqual([nameOf(second), nameOf(third)]);
    const fourth = (await repository.backup(domain, { mode: 'incremental' })).point;
    expect(fourth.disks.map(({ reading }) => reading)).toMatchObject([
      { checkpoint: nameOf(second) },
      { checkpoint: nameOf(third) },
    ]);
    expect([...domain.checkpoints.keys()]).toEqual([nameOf(fourth)]);
    for (const disk of ['vda', 'vdb'])
      expect((await readBack(repository, fourth, disk)).equals(contentOf(domain, disk))).toBe(true);
  });

  it('a disk that is called otherwise now shares with what its image was', async () => {
    await using repository = await open();
    await repository.backup(domain);
    const disk = domain.disks.get('vdb') ?? expect.fail();
    domain.disks.delete('vdb');
    domain.disks.set('vdc', {
      ...disk,
      facts: { chain: ['/images/vdb.img'], source: { type: 'file', path: '/images/vdb.img' } },
    });
    const { point, storedBytes } = await repository.backup(domain, { disks: ['vdc'] });
    expect([point.disks[0]?.reading, storedBytes]).toMatchObject([{ reason: 'first' }, 0]);
  });
});

describe('a long series', () => {
  /** Counts the manifests that are read. */
  class CountingStorage extends TestStorage {
    manifests = 0;

    override get(name: string): Promise<Uint8Array> {
      if (name.startsWith('points/')) this.manifests++;
      return super.get(name);
    }
  }

  it('is not read for the next backup but for its newest points', async () => {
    const counting = new CountingStorage();
    await using repository = await openFor(domain, counting);
    const readBy = async (): Promise<number> => {
      const before = counting.manifests;
      await repository.backup(domain, { mode: 'incremental' });
      return counting.manifests - before;
    };
    await repository.backup(domain);
    for (let index = 0; index < 39; index++) await readBy();
    const behind40 = await readBy();
    expect(behind40).toBeLessThan(40);
    expect(await readBy()).toBe(behind40);
    expect(domain.checkpoints.size).toBe(1);
  });

  it('is read as far as it takes to find a disk that was seldom asked for', async () => {
    domain.addDisk('vdb', diskOf(2, 10));
    await using repository = await open();
    const { point: first } = await repository.backup(domain);
    for (let index = 0; index < 35; index++) await repository.backup(domain, { disks: ['vda'] });
    expect([...domain.checkpoints.keys()]).toContain(nameOf(first));
    writeBlock(domain, 1, 7, 'vdb');
    const { point } = await repository.backup(domain, { mode: 'incremental' });
    expect((await readBack(repository, point, 'vdb')).equals(contentOf(domain, 'vdb'))).toBe(true);
    expect(point.disks.map(({ treeSince }) => treeSince)).toEqual([first.id, first.id]);
  });
});

describe('what a crash left', () => {
  /** A backup that is killed in the middle: nothing of it is cleaned up. */
  async function crash(): Promise<string> {
    const before = new Set(domain.checkpoints.keys());
    const job = domain.job;
    await using other = await openFor(domain, storage);
    domain.failures.set('abortJob', new HypervisorError('connection-lost', 'killed'));
    domain.failures.set('deleteCheckpoint', new HypervisorError('connection-lost', 'killed'));
    domain.failures.set('openExport', new Error('killed'));
    const error = await failure(other.backup(domain));
    expect(error).toMatchObject({ code: 'ERR_BACKUP_JOB' });
    expect(domain.job).not.toBe(job);
    return [...domain.checkpoints.keys()].find((name) => !before.has(name)) ?? expect.fail('no checkpoint');
  }

  it('is removed by the next backup, which starts from where that one did, and says so', async () => {
    await using repository = await open();
    const { point } = await repository.backup(domain);
    writeBlock(domain, 2, 0x22);
    const left = await crash();
    const next = await repository.backup(domain, { mode: 'incremental' });
    expect(next.remarks).toMatchObject([
      { reason: 'leftovers', message: expect.stringContaining(left) as string },
    ]);
    expect([next.point.previous?.id, domain.job]).toEqual([point.id, undefined]);
    expect([...domain.checkpoints.keys()]).toEqual([nameOf(next.point)]);
    expect((await readBack(repository, next.point)).equals(contentOf(domain))).toBe(true);
    expect([...storage.objects.keys()].filter((name) => name.startsWith('jobs/'))).toEqual([]);
  });

  it.each([
    ['cannot be looked for', 'checkpointNames'],
    ['cannot be removed', 'deleteCheckpoint'],
  ] as const)('and %s at first, goes with a later one', async (_, call) => {
    await using repository = await open();
    await repository.backup(domain);
    const left = await crash();
    let isFirst = true;
    const failing = watched(domain, ({ name }) => {
      if (name !== call || !isFirst) return;
      isFirst = false;
      throw new HypervisorError('failed', 'not now');
    });
    const { remarks } = await repository.backup(failing);
    expect(remarks).toMatchObject([
      { reason: 'leftovers', message: expect.stringContaining('not now') as string },
    ]);
    expect(domain.checkpoints.has(left)).toBe(true);
    const { point } = await repository.backup(domain);
    expect([...domain.checkpoints.keys()]).toEqual([nameOf(point)]);
    expect([...storage.objects.keys()].filter((name) => name.startsWith('jobs/'))).toEqual([]);
  });

  it('is no matter where a backup of another domain has tidied up since it was looked for', async () => {
    await using repository = await open();
    const name = `tsbackup-${repository.id}-01ARZ3NDEKTSV4RRFFQ69G5FAV`;
    await storage.put(`jobs/${name}`, Buffer.from('{}'));
    const get = storage.get.bind(storage);
    storage.get = (object) => {
      if (object.startsWith('jobs/')) storage.objects.delete(object);
      return get(object);
    };
    expect((await repository.backup(domain)).remarks).toEqual([]);
  });

  it("but never somebody else's job, checkpoint or bitmap", async () => {
    await using repository = await open();
    domain.addCheckpoint('theirs', 'vda');
    const theirs = { mode: 'pull' as const, socket: '/s/theirs.sock', disks: [], exports: new Map() };
    domain.job = theirs;
    expect(await failure(repository.backup(domain))).toMatchObject({ reason: 'domain-busy' });
    expect(domain.job).toBe(theirs);
    domain.job = undefined;
    await repository.backup(domain);
    expect(domain.checkpoints.has('theirs')).toBe(true);
    expect(domain.disks.get('vda')?.bitmaps.has('theirs')).toBe(true);
  });

  it('a note that makes no sense, or leads elsewhere, is left alone', async () => {
    await using repository = await open();
    await repository.backup(domain);
    const name = `tsbackup-${repository.id}-01ARZ3NDEKTSV4RRFFQ69G5FAV`;
    const note = { uuid: domain.uuid, socket: '/etc/passwd', checkpoint: null, scratch: [] };
    await storage.put(`jobs/${name}`, Buffer.from(JSON.stringify(note)));
    await storage.put('jobs/x', Buffer.from('{'));
    expect((await repository.backup(domain)).remarks).toEqual([]);
    expect(storage.objects.has(`jobs/${name}`)).toBe(true);
  });
});

describe('a domain that is forgotten', () => {
  it('has nothing of this repository any more, after a rehearsal that did nothing', async () => {
    await using repository = await open();
    const { point } = await repository.backup(domain);
    domain.addCheckpoint('theirs', 'vda');
    const rehearsed = await repository.forgetDomain(domain, { dryRun: true });
    expect([rehearsed.steps, domain.checkpoints.size]).toEqual([
      [{ type: 'delete-checkpoint', name: nameOf(point) }],
      2,
    ]);
    expect(await repository.forgetDomain(domain)).toEqual({ ...rehearsed, remarks: [] });
    expect([...domain.checkpoints.keys()]).toEqual(['theirs']);
    expect([...(domain.disks.get('vda')?.bitmaps.keys() ?? [])]).toEqual(['theirs']);
    const { point: next, storedBytes } = await repository.backup(domain);
    expect([next.disks[0]?.reading, storedBytes]).toMatchObject([{ reason: 'checkpoint-missing' }, 0]);
  });

  it('what cannot be removed is a remark', async () => {
    await using repository = await open();
    await repository.backup(domain);
    domain.failures.set('deleteCheckpoint', new HypervisorError('failed', 'no'));
    expect(reasons((await repository.forgetDomain(domain)).remarks)).toEqual(['leftovers']);
  });

  it('that the bitmaps of one that is off stay is a remark, in the rehearsal too', async () => {
    await using repository = await open();
    await repository.backup(domain);
    domain.active = false;
    for (const dryRun of [true, false])
      expect(reasons((await repository.forgetDomain(domain, { dryRun })).remarks)).toEqual(['leftovers']);
    expect((await repository.forgetDomain(domain)).remarks).toEqual([]);
  });
});
