import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BackupRepository, copyPoints } from './backup-repository.ts';
import type { FakeHypervisor } from './fake-hypervisor.fixture.ts';
import {
  contentOf,
  diskOf,
  domainOf,
  failure,
  openFor,
  readBack,
  writeBlock,
} from './protect/protected-domain.fixture.ts';
import { BLOCK_SIZE } from './repository/format.ts';
import type { Point } from './repository/point.ts';
import { memoryStorage } from './testing/memory-storage.ts';

const BLOCKS = 12;
let folder: string;
let domain: FakeHypervisor;
let repository: BackupRepository;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'repository-'));
  domain = domainOf(BLOCKS);
  repository = await openFor(domain, join(folder, 'repo'));
});

afterEach(async () => {
  await repository.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
});

const modes = ({ disks }: Point): readonly (readonly [string, string])[] =>
  disks.map(({ name, reading }) => [name, reading.mode === 'full' ? reading.reason : 'incremental']);

describe('every point restores to what the disk was at that moment', () => {
  const write = fc.record({
    at: fc.integer({ min: 0, max: BLOCKS * BLOCK_SIZE - 1 }),
    length: fc.integer({ min: 1, max: 3 * BLOCK_SIZE }),
    byte: fc.constantFrom(0, 0, 1, 2, 255),
  });

  it('for any writes between any number of points', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(write, { maxLength: 6 }), { minLength: 1, maxLength: 5 }),
        async (rounds) => {
          const guest = domainOf(BLOCKS);
          await using series = await openFor(guest, memoryStorage());
          const truths: Buffer[] = [];
          for (const writes of rounds) {
            for (const { at, length, byte } of writes)
              guest.write('vda', at, Buffer.alloc(Math.min(length, BLOCKS * BLOCK_SIZE - at), byte));
            await series.backup(guest);
            truths.push(contentOf(guest));
          }
          const points = await series.points();
          expect(points.flatMap(modes).map(([, mode]) => mode)).toEqual(
            rounds.map((_, index) => (index === 0 ? 'first' : 'incremental')),
          );
          for (const [index, point] of points.entries())
            expect((await readBack(series, point)).equals(truths[index] as Buffer), `${index}`).toBe(true);
        },
      ),
      { numRuns: 25 },
    );
  }, 120_000);

  it('when the disk grew, shrank and grew again between them', async () => {
    const disk = domain.disks.get('vda') ?? expect.fail();
    const truths: Buffer[] = [];
    for (const bytes of [BLOCKS * BLOCK_SIZE, 4.5 * BLOCK_SIZE, 20 * BLOCK_SIZE]) {
      const grown = Buffer.alloc(Math.max(0, bytes - disk.content.length));
      disk.content = Buffer.concat([disk.content.subarray(0, bytes), grown]);
      await repository.backup(domain);
      truths.push(contentOf(domain));
    }
    for (const [index, point] of (await repository.points()).entries())
      expect((await readBack(repository, point)).equals(truths[index] as Buffer), `${index}`).toBe(true);
  });

  it('and stores zeroes, and what is there already, once or not at all', async () => {
    await repository.backup(domain);
    domain.write('vda', 2 * BLOCK_SIZE, Buffer.alloc(3 * BLOCK_SIZE));
    domain.write('vda', 8 * BLOCK_SIZE, contentOf(domain).subarray(8 * BLOCK_SIZE, 9 * BLOCK_SIZE));
    const { point, ...counts } = await repository.backup(domain, { audit: 0 });
    expect(counts).toMatchObject({
      dirtyBytes: 4 * BLOCK_SIZE,
      readBytes: BLOCK_SIZE,
      zeroBytes: 3 * BLOCK_SIZE,
      reusedBytes: BLOCK_SIZE,
      storedBytes: 0,
    });
    expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
  });

  it('read at random, or into a file that appears when it is whole', async () => {
    const { point } = await repository.backup(domain);
    const reader = repository.openDisk(point, 'vda');
    expect(reader.size).toBe(BLOCKS * BLOCK_SIZE);
    const part = Buffer.from(await reader.read(3 * BLOCK_SIZE - 7, 100));
    expect(part.equals(contentOf(domain).subarray(3 * BLOCK_SIZE - 7, 3 * BLOCK_SIZE + 93))).toBe(true);
    const output = join(folder, 'vda.raw');
    const done: number[] = [];
    await repository.restore(point, 'vda', output, { onProgress: (progress) => done.push(progress.done) });
    expect((await readFile(output)).equals(contentOf(domain))).toBe(true);
    expect(done.at(-1)).toBe(BLOCKS * BLOCK_SIZE);
  });
});

describe('modes', () => {
  it('reads nothing when nothing was written, and keeps the newest checkpoint alone', async () => {
    await repository.backup(domain);
    const { point, readBytes } = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect(readBytes).toBe(0);
    expect([...domain.checkpoints.keys()]).toEqual([point.checkpoint?.name]);
  });

  it('an incremental without a point before is refused, and auto says why it reads everything', async () => {
    expect(await failure(repository.backup(domain, { mode: 'incremental' }))).toMatchObject({
      code: 'ERR_BACKUP_PLAN',
      reason: 'no-incremental',
    });
    expect([domain.job, domain.checkpoints.size]).toEqual([undefined, 0]);
    expect(modes((await repository.backup(domain)).point)).toEqual([['vda', 'first']]);
  });

  it('full reads everything, and stores what differs', async () => {
    await repository.backup(domain);
    writeBlock(domain, 3, 0xaa);
    const { point, readBytes, storedBytes } = await repository.backup(domain, { mode: 'full' });
    expect(modes(point)).toEqual([['vda', 'asked']]);
    expect([readBytes, storedBytes]).toEqual([BLOCKS * BLOCK_SIZE, BLOCK_SIZE]);
    writeBlock(domain, 4, 0xbb);
    const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect(next.readBytes).toBe(BLOCK_SIZE);
    expect((await readBack(repository, next.point)).equals(contentOf(domain))).toBe(true);
  });

  it('a checkpoint that has vanished with its bitmap costs reading, not storing', async () => {
    await repository.backup(domain);
    domain.checkpoints.clear();
    domain.disks.get('vda')?.bitmaps.clear();
    expect(await failure(repository.backup(domain, { mode: 'incremental' }))).toMatchObject({
      reason: 'no-incremental',
    });
    const { point, storedBytes } = await repository.backup(domain);
    expect([modes(point), storedBytes]).toEqual([[['vda', 'checkpoint-missing']], 0]);
  });

  it('a checkpoint that the hypervisor forgot, with the bitmap there yet, is made known again', async () => {
    await repository.backup(domain);
    domain.checkpoints.clear();
    writeBlock(domain, 1, 0xcc);
    const { point, readBytes } = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect([modes(point), readBytes]).toEqual([[['vda', 'incremental']], BLOCK_SIZE]);
  });

  it('points name the one before, and sort as they were taken even if the clock went back', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2030-01-02') });
    try {
      const first = (await repository.backup(domain)).point;
      vi.setSystemTime(new Date('2030-01-01'));
      const second = (await repository.backup(domain)).point;
      expect((await repository.points()).map(({ id }) => id)).toEqual([first.id, second.id]);
      expect([first.previous, second.previous?.id]).toEqual([null, first.id]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('demotes just the disk whose bitmap is broken', async () => {
    domain.addDisk('vdb', diskOf(3, 100));
    const { point: first } = await repository.backup(domain);
    domain.breakBitmap('vdb', first.checkpoint?.name ?? '');
    writeBlock(domain, 0, 0, 'vdb');
    expect(await failure(repository.backup(domain, { mode: 'incremental' }))).toMatchObject({
      reason: 'no-incremental',
    });
    const { point } = await repository.backup(domain);
    expect(modes(point)).toEqual([
      ['vda', 'incremental'],
      ['vdb', 'bitmap-unusable'],
    ]);
    for (const disk of ['vda', 'vdb'])
      expect((await readBack(repository, point, disk)).equals(contentOf(domain, disk))).toBe(true);
  });
});

describe('opening', () => {
  it('what was made is the same repository the next time, in a folder for its owner alone', async () => {
    await repository.backup(domain);
    const path = join(folder, 'repo');
    await using again = await openFor(domain, path);
    expect([again.id, again.description]).toEqual([repository.id, path]);
    expect((await again.points()).length).toBe(1);
    for (const entry of [
      path,
      ...(await readdir(path, { recursive: true })).map((name) => join(path, name)),
    ]) {
      const found = await stat(entry);
      expect((found.mode & 0o777).toString(8), entry).toBe(found.isDirectory() ? '700' : '600');
    }
  });

  it('a place that is something else, or nothing while nothing is to be made, is refused', async () => {
    await writeFile(join(folder, 'x'), '');
    expect(await failure(BackupRepository.open(folder))).toMatchObject({ reason: 'foreign' });
    const none = join(folder, 'none');
    expect(await failure(BackupRepository.open(none, { create: false }))).toMatchObject({ reason: 'absent' });
    expect(await readdir(folder)).toEqual(['repo', 'x']);
  });

  it('with a key what is not encrypted is refused, and what is encrypted without one', async () => {
    const key = randomBytes(32);
    const path = join(folder, 'repo');
    expect(await failure(openFor(domain, path, { key }))).toMatchObject({ reason: 'key' });
    expect(await failure(openFor(domain, path, { encryption: { key } }))).toMatchObject({ reason: 'key' });
    const sealed = join(folder, 'sealed');
    await using made = await openFor(domain, sealed, { encryption: { key } });
    const { point } = await made.backup(domain);
    expect(await failure(openFor(domain, sealed))).toMatchObject({ reason: 'key' });
    expect(await failure(openFor(domain, sealed, { key: randomBytes(32) }))).toMatchObject({ reason: 'key' });
    await using again = await openFor(domain, sealed, { key });
    expect((await readBack(again, point)).equals(contentOf(domain))).toBe(true);
  });

  it.each([
    ['create', 1],
    ['compression', 'lzma'],
    ['encryption', 'secret'],
    ['privateKey', new Uint8Array(31)],
    ['workers', 65],
    ['openExport', {}],
    ['signal', {}],
    ['folder', '/x'],
  ])('the option %s: %j is refused, and nothing is made', async (name, value) => {
    const opening = BackupRepository.open(join(folder, 'new'), { [name]: value });
    expect(await failure(opening)).toMatchObject({ code: 'ERR_BACKUP_USAGE', reason: 'option' });
    expect(await readdir(folder)).toEqual(['repo']);
  });

  it('no path is no repository', async () => {
    expect(await failure(BackupRepository.open(''))).toMatchObject({ code: 'ERR_BACKUP_USAGE' });
  });
});

describe('calls are checked before anything is done', () => {
  it.each([
    ['mode', 'differential'],
    ['disks', []],
    ['disks', ['vda', 'vda']],
    ['scratchDir', ''],
    ['audit', 1.5],
    ['audit', -1],
    ['idleTimeoutMs', -1],
    ['maxTreeAgeMs', 0],
    ['onProgress', true],
    ['increment', 1],
  ])('backup with %s: %j', async (name, value) => {
    const error = await failure(repository.backup(domain, { [name]: value }));
    expect(error).toMatchObject({ code: 'ERR_BACKUP_USAGE', reason: 'option' });
    expect(domain.calls).toEqual([]);
  });

  it('the others', async () => {
    const { point } = await repository.backup(domain);
    const wrong = { force: true } as object;
    for (const call of [
      repository.restore(point, 'vda', join(folder, 'x'), wrong),
      repository.forgetDomain(domain, wrong),
      repository.inspect(undefined, wrong),
      repository.backup('web1' as never),
      repository.restore(point.id as never, 'vda', join(folder, 'x')),
      repository.restore(point, undefined as never, join(folder, 'x')),
      ...[undefined, '', {}, { existing: 5 }].map((target) =>
        repository.restore(point, 'vda', target as never),
      ),
      repository.salvage(point, 'vda', undefined as never),
      repository.salvage(undefined as never, 'vda', join(folder, 'x')),
      ...[null, 5, {}].map((selector) => repository.points(selector as never)),
      repository.prune({}, { domain: 5 as never }),
      repository.prune(null as never),
      repository.prune({ protected: [5 as never] }),
      repository.verify({ points: [5 as never] }),
      copyPoints(repository, {} as never),
      ...[undefined, 5, {}].map((place) => BackupRepository.open(place as never)),
    ])
      expect(await failure(call)).toMatchObject({ code: 'ERR_BACKUP_USAGE', reason: 'option' });
    expect(await failure(repository.backup(domain, { disks: ['vdz'] }))).toMatchObject({
      code: 'ERR_BACKUP_NOT_FOUND',
      reason: 'disk',
    });
  });
});

describe('looking for what there is none of', () => {
  it('a disk, a domain', async () => {
    const { point } = await repository.backup(domain);
    expect(() => repository.openDisk(point, 'vdz')).toThrow(/no disk vdz, only vda/);
    expect(await failure(repository.points('web9'))).toMatchObject({ reason: 'domain' });
    expect((await repository.points('fake')).length).toBe(1);
    expect((await repository.points(domain)).length).toBe(1);
    expect(await repository.points({ uuid: domain.uuid.replace('1', '2') })).toEqual([]);
  });

  it('an existing output file stays as it is', async () => {
    const { point } = await repository.backup(domain);
    const output = join(folder, 'out.raw');
    await writeFile(output, 'precious');
    expect(await failure(repository.restore(point, 'vda', output))).toMatchObject({
      code: 'ERR_BACKUP_SINK',
      reason: 'exists',
    });
    expect(await readFile(output, 'utf8')).toBe('precious');
  });
});

describe('damage fails closed', () => {
  async function damageAll(place: string, change: (bytes: Buffer) => Buffer): Promise<void> {
    const under = join(folder, 'repo', place);
    for (const entry of await readdir(under, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      await writeFile(path, change(await readFile(path)));
    }
  }

  it.each([
    ['a flipped byte', (bytes: Buffer) => bytes.fill(bytes.readUInt8(700) ^ 1, 700, 701)],
    ['a pack cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    ['an empty pack', () => Buffer.alloc(0)],
  ])('on %s, and makes no file', async (_, damage) => {
    const { point } = await repository.backup(domain);
    await damageAll('packs', damage);
    await using fresh = await openFor(domain, join(folder, 'repo'));
    const output = join(folder, 'out.raw');
    expect(await failure(fresh.restore(point, 'vda', output))).toMatchObject({ code: 'ERR_BACKUP_DAMAGED' });
    expect(await readdir(folder)).toEqual(['repo']);
  });

  it('a changed manifest harms its own point alone, and the next backup says so', async () => {
    await repository.backup(domain);
    await damageAll('points', (bytes) => Buffer.from(bytes.toString().replace('"vda"', '"vdb"')));
    const listing = await repository.inspect();
    expect([listing.points.length, listing.damaged.length]).toEqual([0, 1]);
    const { point, remarks } = await repository.backup(domain);
    expect(remarks.map(({ reason }) => reason)).toContain('earlier-damaged');
    expect((await repository.points()).map(({ id }) => id)).toEqual([point.id]);
    expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
  });
});

it('of two backups of a domain at the same time one is refused, and says who is at work', async () => {
  const outcomes = await Promise.allSettled([repository.backup(domain), repository.backup(domain)]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const refused = outcomes.find((outcome) => outcome.status === 'rejected');
  expect(refused?.reason).toMatchObject({ code: 'ERR_BACKUP_REPOSITORY', reason: 'busy' });
  expect(String(refused?.reason)).toContain(`process ${process.pid}`);
  expect((await repository.points()).length).toBe(1);
});
