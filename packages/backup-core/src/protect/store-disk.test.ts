import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { BackupRepository } from '../backup-repository.ts';
import type { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import type { Storage } from '../ports/storage.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import type { Point } from '../repository/point.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import {
  contentOf,
  diskOf,
  domainOf,
  openFor,
  readBack,
  watched,
  writeBlock,
} from './protected-domain.fixture.ts';

const BLOCKS = 10;
let domain: FakeHypervisor;
let storage: TestStorage;

beforeEach(() => {
  domain = domainOf(BLOCKS);
  storage = new TestStorage();
});

const open = (place: Storage = storage): Promise<BackupRepository> => openFor(domain, place);

/** What nobody can know: the guest wrote, and the bitmap says that it did not. */
function writeUnseen(block: number, byte: number): void {
  writeBlock(domain, block, byte);
  for (const { dirty } of domain.disks.get('vda')?.bitmaps.values() ?? []) dirty.clear();
}

const readingOf = (point: Point, disk = 'vda'): string => {
  const reading = point.disks.find(({ name }) => name === disk)?.reading ?? expect.fail();
  return reading.mode === 'full' ? reading.reason : 'incremental';
};

describe('a bitmap that lies', () => {
  it.each([0.1, 0.3, 0.5, 1])('is found within 1/%d backups, and heals in the same job', async (share) => {
    for (const block of [0, 4, BLOCKS - 1]) {
      domain = domainOf(BLOCKS);
      await using repository = await openFor(domain, new TestStorage());
      await repository.backup(domain);
      writeUnseen(block, 0x99);
      let turns = 0;
      let found = false;
      for (; !found; turns++) {
        expect(turns, `block ${block}`).toBeLessThan(Math.ceil(1 / share));
        const { point, remarks } = await repository.backup(domain, { mode: 'incremental', audit: share });
        found = remarks.some(({ reason }) => reason === 'bitmap-wrong');
        expect(readingOf(point)).toBe(found ? 'bitmap-wrong' : 'incremental');
        expect((await readBack(repository, point)).equals(contentOf(domain)), `block ${block}`).toBe(found);
        if (found)
          expect(remarks[0]).toMatchObject({
            disk: 'vda',
            message: expect.stringMatching(/65536 of/) as string,
          });
      }
    }
  });

  it('also where it is a block that was there and became zeroes, or was zeroes and has become data', async () => {
    for (const [before, after] of [
      [1, 0],
      [0, 1],
    ] as const) {
      domain = domainOf(BLOCKS);
      writeBlock(domain, 3, before);
      await using repository = await openFor(domain, new TestStorage());
      await repository.backup(domain);
      writeUnseen(3, after);
      const { point, remarks } = await repository.backup(domain, { audit: 1 });
      // Zeroes are stored whatever the bitmap says: there is nothing to be found.
      expect(remarks.map(({ reason }) => reason)).toEqual(after === 0 ? [] : ['bitmap-wrong']);
      expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
    }
  });

  it('costs reading the disk, and storing what differs once', async () => {
    await using repository = await open();
    await repository.backup(domain);
    writeUnseen(2, 0x77);
    writeBlock(domain, 5, 0x55);
    const { storedBytes, readBytes, point } = await repository.backup(domain, { audit: 1 });
    expect([storedBytes, readBytes]).toEqual([2 * BLOCK_SIZE, 2 * BLOCKS * BLOCK_SIZE]);
    const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect([next.readBytes, next.point.previous?.id]).toEqual([0, point.id]);
  });

  it('one that tells the truth is believed, however much is audited', async () => {
    await using repository = await open();
    await repository.backup(domain);
    writeBlock(domain, 5, 0x55);
    const { remarks, point } = await repository.backup(domain, { audit: 1 });
    expect([remarks, readingOf(point), point.disks[0]?.auditedBytes]).toEqual([
      [],
      'incremental',
      (BLOCKS - 1) * BLOCK_SIZE,
    ]);
  });
});

describe('a base that is damaged', () => {
  async function backupOn(damage: (bytes: Buffer) => void): Promise<void> {
    {
      await using repository = await open();
      await repository.backup(domain);
    }
    for (const [name, bytes] of storage.objects) if (name.startsWith('packs/')) damage(bytes);
    writeBlock(domain, 5, 0x55);
    await using repository = await open();
    const { point, remarks } = await repository.backup(domain);
    expect(remarks).toMatchObject([{ reason: 'earlier-damaged', disk: 'vda' }]);
    expect(readingOf(point)).toBe('earlier-damaged');
    expect(point.disks[0]?.treeSince, 'it shares with nothing').toBe(point.id);
    expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
    writeBlock(domain, 1, 0x11);
    const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect([next.remarks, next.readBytes]).toEqual([[], BLOCK_SIZE]);
    expect((await readBack(repository, next.point)).equals(contentOf(domain))).toBe(true);
  }

  it.each([
    ['pages and all', 0],
    ['its table of contents', 0.999],
  ])('%s: the disk is read and stored in full, in the same job', async (_, from) => {
    await backupOn((bytes) => bytes.fill(0xee, Math.floor(bytes.length * from)));
    expect(domain.calls.filter((call) => call === 'beginBackup').length).toBe(3);
  });

  it('and harms just the disk that it is of', async () => {
    domain.addDisk('vdb', diskOf(4, 50));
    await using repository = await open();
    await repository.backup(domain, { disks: ['vda'] });
    const old = new Set(storage.objects.keys());
    await repository.backup(domain, { disks: ['vdb'] });
    for (const [name, bytes] of storage.objects)
      if (name.startsWith('packs/') && old.has(name)) bytes.fill(0);
    writeBlock(domain, 0, 1);
    writeBlock(domain, 0, 1, 'vdb');
    await using fresh = await open();
    const { point } = await fresh.backup(domain);
    expect([readingOf(point, 'vda'), readingOf(point, 'vdb')]).toEqual(['earlier-damaged', 'incremental']);
    for (const disk of ['vda', 'vdb'])
      expect((await readBack(fresh, point, disk)).equals(contentOf(domain, disk))).toBe(true);
  });
});

it.each([
  ['grows', BLOCKS * BLOCK_SIZE + 512, 0],
  ['shrinks', BLOCKS * BLOCK_SIZE - 512, BLOCKS * BLOCK_SIZE - 512],
])('a disk that %s after its backup was planned is stored as it is shown', async (_, size, from) => {
  await using repository = await open();
  await repository.backup(domain);
  const resized = watched(domain, ({ name }) => {
    const disk = domain.disks.get('vda') ?? expect.fail();
    if (name !== 'beginBackup') return;
    const content = Buffer.alloc(size, 0x99);
    disk.content.copy(content, 0, 0, from === 0 ? disk.content.length : from);
    disk.content = content;
  });
  const { point } = await repository.backup(resized, { mode: 'incremental' });
  expect(point.disks[0]?.size).toBe(size);
  expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
});

describe('a tree that is too old', () => {
  it('is begun anew, and says so; the one after shares again', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2030-01-01') });
    try {
      await using repository = await open();
      const { point: first } = await repository.backup(domain, { maxTreeAgeMs: 1000 });
      vi.setSystemTime(new Date('2030-01-02'));
      writeBlock(domain, 1, 0x11);
      const { point: second, storedBytes } = await repository.backup(domain, {
        mode: 'incremental',
        maxTreeAgeMs: 1000,
      });
      expect([readingOf(second), storedBytes]).toEqual(['too-old', BLOCKS * BLOCK_SIZE]);
      expect([first.disks[0]?.treeSince, second.disks[0]?.treeSince]).toEqual([first.id, second.id]);
      const third = await repository.backup(domain, { maxTreeAgeMs: 1000, mode: 'incremental' });
      expect([readingOf(third.point), third.storedBytes, third.point.disks[0]?.treeSince]).toEqual([
        'incremental',
        0,
        second.id,
      ]);
      expect((await readBack(repository, third.point)).equals(contentOf(domain))).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});

it('progress goes up to the size of each disk', async () => {
  await using repository = await open();
  domain.addDisk('vdb', diskOf(3, 50));
  const last = new Map<string, number>();
  await repository.backup(domain, {
    onProgress: ({ phase, disk = '', done, total }) => {
      expect(phase).toBe('transfer');
      expect(done).toBeGreaterThanOrEqual(last.get(disk) ?? 0);
      expect(done).toBeLessThanOrEqual(total);
      last.set(disk, done);
    },
  });
  expect([last.get('vda'), last.get('vdb')]).toEqual([BLOCKS * BLOCK_SIZE, 3 * BLOCK_SIZE]);
});

it('an encrypted image is stored as its guest sees it, and a remark says so', async () => {
  domain.addDisk('vdb', diskOf(2, 50), { isEncrypted: true });
  await using repository = await open();
  const { remarks } = await repository.backup(domain);
  expect(remarks).toMatchObject([{ reason: 'plaintext', disk: 'vdb' }]);
});
