import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackupPlanError, DamagedError, RepositoryError, SinkError } from './words/errors.ts';
import { CLUSTER, FakeHypervisor } from './fake-hypervisor.fixture.ts';
import { DomainStore } from './repository/domain-store.ts';
import type { Point } from './repository/manifest.ts';
import { BackupRepository } from './backup-repository.ts';

let folder: string;
let domain: FakeHypervisor;
let repository: BackupRepository;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'repository-'));
  domain = new FakeHypervisor();
  domain.addDisk('vda', Buffer.alloc(100 * CLUSTER, 1));
  repository = await BackupRepository.open(join(folder, 'repo'), { openExport: domain.openExport });
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

function contentOf(disk: string): Buffer {
  return Buffer.from(domain.disks.get(disk)?.content ?? '');
}

async function restored(point: Point, disk = 'vda'): Promise<Buffer> {
  const output = join(folder, 'restored.raw');
  await repository.restore(point, disk, output);
  const bytes = await readFile(output);
  await rm(output);
  return bytes;
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error,
  );
}

describe('every point restores to what the disk was at that moment', () => {
  const write = fc.record({
    at: fc.integer({ min: 0, max: 100 * CLUSTER - 1 }),
    length: fc.integer({ min: 1, max: 9 * CLUSTER }),
    byte: fc.constantFrom(0, 0, 1, 2, 255),
  });

  it('for any writes between any number of points', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(write, { maxLength: 6 }), { minLength: 1, maxLength: 5 }),
        async (rounds) => {
          domain.checkpoints.clear();
          domain.disks.clear();
          domain.addDisk('vda', Buffer.alloc(100 * CLUSTER));
          const target = join(folder, `property-${Math.random()}`);
          repository = await BackupRepository.open(target, { openExport: domain.openExport });
          const truths: Buffer[] = [];
          for (const writes of rounds) {
            for (const { at, length, byte } of writes)
              domain.write('vda', at, Buffer.alloc(Math.min(length, 100 * CLUSTER - at), byte));
            await repository.backup(domain);
            truths.push(contentOf('vda'));
          }
          const points = await repository.points();
          expect(points.map(({ mode }) => mode)).toEqual(
            rounds.map((_, index) => (index === 0 ? 'full' : 'incremental')),
          );
          for (const [index, point] of points.entries())
            expect((await restored(point)).equals(truths[index] as Buffer), `point ${index}`).toBe(true);
          await rm(target, { recursive: true });
        },
      ),
      { numRuns: 40 },
    );
  }, 120_000); // it waits for the disk some hundred times

  it('writes dirty ranges that became zero as zeroes', async () => {
    await repository.backup(domain);
    domain.write('vda', 10 * CLUSTER, Buffer.alloc(20 * CLUSTER));
    const { point } = await repository.backup(domain);
    expect(point.disks[0]).toMatchObject({ mode: 'incremental', dataBytes: 0, zeroBytes: 20 * CLUSTER });
    expect((await restored(point)).equals(contentOf('vda'))).toBe(true);
  });

  it('when the disk grew, shrank and grew again between them', async () => {
    const first = (await repository.backup(domain)).point;
    const before = contentOf('vda');
    const disk = domain.disks.get('vda');
    if (disk === undefined) throw new Error('no disk');
    disk.content = disk.content.subarray(0, 40 * CLUSTER);
    const second = (await repository.backup(domain)).point;
    disk.content = Buffer.concat([disk.content, Buffer.alloc(80 * CLUSTER)]);
    const third = (await repository.backup(domain)).point;
    expect((await restored(first)).equals(before)).toBe(true);
    expect((await restored(second)).equals(before.subarray(0, 40 * CLUSTER))).toBe(true);
    expect((await restored(third)).equals(disk.content)).toBe(true);
  });
});

describe('modes', () => {
  it('reads nothing in a second incremental with nothing written', async () => {
    await repository.backup(domain);
    await repository.backup(domain);
    const { point, readBytes } = await repository.backup(domain, { mode: 'incremental' });
    expect(readBytes).toBe(0);
    expect((await restored(point)).equals(contentOf('vda'))).toBe(true);
  });

  it('keeps only the checkpoint of the newest point', async () => {
    await repository.backup(domain);
    const { point } = await repository.backup(domain);
    expect([...domain.checkpoints.keys()]).toEqual([point.checkpoint]);
  });

  it('refuses an incremental without a parent, and auto takes a full and says why', async () => {
    expect(await failure(repository.backup(domain, { mode: 'incremental' }))).toBeInstanceOf(BackupPlanError);
    expect((await repository.backup(domain)).point).toMatchObject({
      mode: 'full',
      parent: null,
      reason: /no point/,
    });
  });

  it('refuses a mode that there is none of, which would pass for auto', async () => {
    const mode = 'differential' as never;
    expect(await failure(repository.backup(domain, { mode }))).toBeInstanceOf(BackupPlanError);
    expect(domain.calls).toEqual([]);
  });

  it('takes a full when the checkpoint has vanished, and says why', async () => {
    await repository.backup(domain);
    domain.checkpoints.clear();
    expect(await failure(repository.backup(domain, { mode: 'incremental' }))).toBeInstanceOf(BackupPlanError);
    expect((await repository.backup(domain)).point).toMatchObject({
      mode: 'full',
      reason: /has no checkpoint/,
    });
  });

  it('keeps every point that was taken before another full', async () => {
    const taken: { point: Point; truth: Buffer }[] = [];
    const take = async (mode: 'auto' | 'full'): Promise<void> => {
      domain.write('vda', taken.length * CLUSTER, Buffer.alloc(CLUSTER, 0x40 + taken.length));
      taken.push({ truth: contentOf('vda'), point: (await repository.backup(domain, { mode })).point });
    };
    await take('auto');
    await take('auto');
    await take('full');
    await take('auto');
    domain.checkpoints.clear();
    await take('auto');
    await take('auto');
    const ids = taken.map(({ point }) => point.id);
    expect(taken.map(({ point }) => [point.mode, point.parent?.id, point.previous?.id])).toEqual([
      ['full', undefined, undefined],
      ['incremental', ids[0], ids[0]],
      ['full', undefined, ids[1]],
      ['incremental', ids[2], ids[2]],
      ['full', undefined, ids[3]],
      ['incremental', ids[4], ids[4]],
    ]);
    expect((await repository.points()).map(({ id }) => id)).toEqual(ids);
    for (const { point, truth } of taken) expect((await restored(point)).equals(truth)).toBe(true);
  });

  it('lists the points in order even if the clock went back between them', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2030-01-02') });
    try {
      const first = (await repository.backup(domain)).point;
      vi.setSystemTime(new Date('2030-01-01'));
      const second = (await repository.backup(domain)).point;
      expect((await repository.points()).map(({ id }) => id)).toEqual([first.id, second.id]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('demotes just the disk whose bitmap is broken', async () => {
    domain.addDisk('vdb', Buffer.alloc(10 * CLUSTER, 7));
    const first = (await repository.backup(domain)).point;
    domain.breakBitmap('vdb', first.checkpoint);
    domain.write('vdb', 0, Buffer.alloc(CLUSTER));
    expect(await failure(repository.backup(domain, { mode: 'incremental' }))).toBeInstanceOf(BackupPlanError);
    const { point } = await repository.backup(domain);
    expect(point.disks.map(({ name, mode }) => [name, mode])).toEqual([
      ['vda', 'incremental'],
      ['vdb', 'full'],
    ]);
    expect(point.reason).toMatch(/vdb/);
    for (const disk of ['vda', 'vdb'])
      expect((await restored(point, disk)).equals(contentOf(disk))).toBe(true);
  });
});

describe('a backup that fails costs nothing', () => {
  const broken = new Error('broken wire');

  it.each(['beginBackup', 'openExport'])('in %s', async (call) => {
    const { point } = await repository.backup(domain);
    domain.write('vda', 0, Buffer.alloc(CLUSTER, 9));
    domain.failures.set(call, broken);
    await failure(repository.backup(domain));
    await expectUntouched(point);
  });

  it('in the middle of the transfer', async () => {
    const { point } = await repository.backup(domain);
    domain.write('vda', 0, Buffer.alloc(CLUSTER, 9));
    domain.wrapSource = (source) => ({ ...source, read: () => Promise.reject(broken) });
    expect(await failure(repository.backup(domain))).toMatchObject({
      phase: 'transfer',
      disk: 'vda',
      cause: broken,
    });
    await expectUntouched(point);
  });

  it('on an abort in the middle of the transfer', async () => {
    const { point } = await repository.backup(domain);
    domain.write('vda', 0, Buffer.alloc(CLUSTER, 9));
    const abort = new AbortController();
    const reason = new Error('enough');
    domain.wrapSource = (source) => ({
      ...source,
      read: (offset, length) => {
        abort.abort(reason);
        return source.read(offset, length);
      },
    });
    expect(await failure(repository.backup(domain, { signal: abort.signal }))).toBe(reason);
    await expectUntouched(point);
  });

  it('of the very first point, and leaves no folder', async () => {
    domain.wrapSource = (source) => ({ ...source, read: () => Promise.reject(broken) });
    await failure(repository.backup(domain));
    expect(await readdir(join(repository.path, 'domains'))).toEqual([]);
    expect(domain.checkpoints.size).toBe(0);
  });

  async function expectUntouched(parent: Point): Promise<void> {
    domain.wrapSource = (source) => source;
    expect(domain.job).toBeUndefined();
    expect([...domain.checkpoints.keys()]).toEqual([parent.checkpoint]);
    expect((await repository.points()).map(({ id }) => id)).toEqual([parent.id]);
    const { point } = await repository.backup(domain, { mode: 'incremental' });
    expect(point.parent?.id).toBe(parent.id);
    expect((await restored(point)).equals(contentOf('vda'))).toBe(true);
  }
});

describe('once the point is stored', () => {
  it('a failure to make that durable keeps both checkpoints: either serves the next incremental', async () => {
    const { point: first } = await repository.backup(domain);
    domain.write('vda', 0, Buffer.alloc(CLUSTER, 9));
    const commit = Reflect.get<DomainStore, 'commit'>(DomainStore.prototype, 'commit');
    const full = new Error('EIO: fsync');
    const spy = vi.spyOn(DomainStore.prototype, 'commit').mockImplementation(async function (
      this: DomainStore,
      ...args: Parameters<DomainStore['commit']>
    ) {
      await commit.apply(this, args);
      throw full;
    });
    expect(await failure(repository.backup(domain))).toBe(full);
    spy.mockRestore();
    expect(domain.job).toBeUndefined();
    expect(domain.checkpoints.size).toBe(2);
    const [, second] = await repository.points();
    domain.write('vda', CLUSTER, Buffer.alloc(CLUSTER, 8));
    const { point: third } = await repository.backup(domain, { mode: 'incremental' });
    expect([second?.parent?.id, third.parent?.id]).toEqual([first.id, second?.id]);
    expect((await restored(third)).equals(contentOf('vda'))).toBe(true);
    expect([...domain.checkpoints.keys()]).toEqual([third.checkpoint]);
  });

  it('a superseded checkpoint that cannot be removed is told, and goes with the next backup', async () => {
    await repository.backup(domain);
    const gone = new Error('connection lost');
    domain.failures.set('deleteCheckpoint', gone);
    const { point, cleanupErrors } = await repository.backup(domain, { mode: 'incremental' });
    expect(cleanupErrors).toEqual([gone]);
    expect(domain.checkpoints.size).toBe(2);
    const next = await repository.backup(domain, { mode: 'incremental' });
    expect(next.point.parent?.id).toBe(point.id);
    expect(next.cleanupErrors).toEqual([]);
    expect([...domain.checkpoints.keys()]).toEqual([next.point.checkpoint]);
  });
});

describe('what a crash left is removed by the next backup', () => {
  it('a running job of this repository with its checkpoint, and a half-written point', async () => {
    const { point } = await repository.backup(domain);
    const name = `tsbackup-${repository.id}-01ARZ3NDEKTSV4RRFFQ69G5FAV`;
    domain.addCheckpoint(name, 'vda');
    domain.job = { mode: 'pull', socket: `/s/${name}.sock`, disks: [], exports: new Map() };
    const left = join(
      repository.path,
      'domains',
      domain.uuid,
      'points',
      '01ARZ3NDEKTSV4RRFFQ69G5FAV.partial',
    );
    await (await import('node:fs/promises')).mkdir(left);
    const next = (await repository.backup(domain, { mode: 'incremental' })).point;
    expect(next.parent?.id).toBe(point.id);
    expect([...domain.checkpoints.keys()]).toEqual([next.checkpoint]);
    expect((await readdir(join(left, '..'))).sort()).toEqual([point.id, next.id].sort());
  });

  it("but never somebody else's job or checkpoint", async () => {
    domain.addCheckpoint('theirs');
    const theirs = { mode: 'pull' as const, socket: '/s/theirs.sock', disks: [], exports: new Map() };
    domain.job = theirs;
    expect(await failure(repository.backup(domain))).toBeInstanceOf(BackupPlanError);
    expect(domain.job).toBe(theirs);
    domain.job = undefined;
    await repository.backup(domain);
    expect(domain.checkpoints.has('theirs')).toBe(true);
  });
});

describe('fails closed', () => {
  it.each([
    ['a flipped byte of data', 'vda.data', (bytes: Buffer) => bytes.fill(0xee, 700, 701)],
    ['data cut short', 'vda.data', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    ['a run removed', 'vda.runs', (bytes: Buffer) => bytes.subarray(bytes.indexOf('\n') + 1)],
    [
      'a changed manifest',
      'manifest.json',
      (bytes: Buffer) => Buffer.from(bytes.toString().replace('"vda"', '"vdb"')),
    ],
  ])('on %s, and makes no file', async (_title, file, damage) => {
    await repository.backup(domain);
    domain.write('vda', 0, Buffer.alloc(CLUSTER, 9));
    const { point } = await repository.backup(domain);
    const [first] = await repository.points();
    const path = join(repository.path, 'domains', domain.uuid, 'points', first?.id ?? '', file);
    await writeFile(path, damage(await readFile(path)));
    const output = join(folder, 'out.raw');
    expect(await failure(repository.restore(point, 'vda', output))).toBeInstanceOf(DamagedError);
    expect(await readdir(folder)).toEqual(['repo']);
  });

  it('on a missing ancestor', async () => {
    await repository.backup(domain);
    const { point } = await repository.backup(domain);
    await rm(join(repository.path, 'domains', domain.uuid, 'points', point.parent?.id ?? ''), {
      recursive: true,
    });
    expect(await failure(repository.points())).toBeInstanceOf(DamagedError);
    expect(await failure(repository.restore(point, 'vda', join(folder, 'out.raw')))).toBeInstanceOf(
      DamagedError,
    );
  });

  it('on an existing output file, which stays as it is', async () => {
    const { point } = await repository.backup(domain);
    const output = join(folder, 'out.raw');
    await writeFile(output, 'precious');
    expect(await failure(repository.restore(point, 'vda', output))).toBeInstanceOf(SinkError);
    expect(await readFile(output, 'utf8')).toBe('precious');
  });

  it('on a second backup of the same domain at the same time', async () => {
    const outcomes = await Promise.allSettled([repository.backup(domain), repository.backup(domain)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    expect(refused?.reason).toBeInstanceOf(RepositoryError);
    expect((await repository.points()).length).toBe(1);
  });

  it('on a folder that is something else', async () => {
    await writeFile(join(folder, 'x'), '');
    expect(await failure(BackupRepository.open(folder))).toBeInstanceOf(RepositoryError);
    expect(await failure(BackupRepository.open(join(folder, 'none'), { create: false }))).toBeInstanceOf(
      RepositoryError,
    );
  });
});
