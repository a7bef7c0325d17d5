import { beforeEach, describe, expect, it } from 'vitest';
import { type FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import { diskOf, domainOf, failure, onRead, openFor, writeBlock } from './protected-domain.fixture.ts';
import type { LiveReport } from './verify-live.ts';

const BLOCKS = 10;
let domain: FakeHypervisor;
let storage: TestStorage;

beforeEach(() => {
  domain = domainOf(BLOCKS);
  storage = new TestStorage();
});

/** What nobody can know: the guest wrote, and the bitmap says that it did not. */
function writeUnseen(block: number, byte: number): void {
  const bitmaps = [...(domain.disks.get('vda')?.bitmaps.values() ?? [])];
  const before = bitmaps.map(({ dirty }) => new Set(dirty));
  writeBlock(domain, block, byte);
  for (const [index, { dirty }] of bitmaps.entries()) {
    dirty.clear();
    for (const at of before[index] ?? []) dirty.add(at);
  }
}

const rangesOf = ({ disks }: LiveReport): (readonly [number, number])[] =>
  disks.flatMap(({ ranges }) =>
    ranges.map(({ offset, length }) => [offset / BLOCK_SIZE, length / BLOCK_SIZE] as const),
  );

describe('a running domain compared with its newest point', () => {
  it('is the same where nothing changed; what is dirty since is not looked at', async () => {
    writeBlock(domain, 4, 0);
    await using repository = await openFor(domain, storage);
    const { point } = await repository.backup(domain);
    writeBlock(domain, 2, 0x22);
    writeBlock(domain, 4, 0x44);
    writeBlock(domain, 6, 0);
    const objects = [...storage.objects.keys()];
    const checkpoints = [...domain.checkpoints.keys()];
    const report = await repository.verifyLive(domain);
    expect(report).toEqual({
      isWhole: true,
      domain: { name: 'fake', uuid: domain.uuid },
      disks: [
        {
          name: 'vda',
          point: point.id,
          state: 'whole',
          comparedBytes: (BLOCKS - 3) * BLOCK_SIZE,
          ranges: [],
        },
      ],
      excluded: [],
      remarks: [],
    });
    expect([[...storage.objects.keys()], [...domain.checkpoints.keys()], domain.job]).toEqual([
      objects,
      checkpoints,
      undefined,
    ]);
    const next = await repository.backup(domain, { mode: 'incremental', audit: 0 });
    expect(next.remarks).toEqual([]);
  });

  it('says where the bitmap lies: data that is other data, or zeroes, or was zeroes', async () => {
    writeBlock(domain, 4, 0);
    await using repository = await openFor(domain, storage);
    await repository.backup(domain);
    writeBlock(domain, 8, 0x88);
    writeUnseen(1, 0x11);
    writeUnseen(2, 0x22);
    writeUnseen(4, 0x44);
    writeUnseen(6, 0);
    const report = await repository.verifyLive(domain);
    expect([report.isWhole, report.disks[0]?.state, rangesOf(report)]).toEqual([
      false,
      'different',
      [
        [1, 2],
        [4, 1],
        [6, 1],
      ],
    ]);
    await repository.backup(domain, { mode: 'full' });
    expect((await repository.verifyLive(domain)).isWhole).toBe(true);
  });

  it('by a share: windows of that size find it in the end', async () => {
    await using repository = await openFor(domain, storage);
    await repository.backup(domain);
    writeUnseen(5, 0x55);
    for (let turn = 0; ; turn++) {
      expect(turn).toBeLessThan(200);
      const { disks, isWhole } = await repository.verifyLive(domain, { share: 0.3 });
      expect(disks[0]?.comparedBytes).toBe(3 * BLOCK_SIZE);
      if (!isWhole) break;
    }
  });

  it('skips disks of which it is not known what changed, and is not whole if all of them are', async () => {
    domain.addDisk('vdb', diskOf(3, 50), { format: 'raw' });
    await using repository = await openFor(domain, storage);
    await repository.backup(domain);
    const report = await repository.verifyLive(domain);
    expect([report.isWhole, report.disks.map(({ state }) => state)]).toEqual([true, ['whole', 'skipped']]);
    expect(report.disks[1]?.message).toMatch(/raw/);
    const only = await repository.verifyLive(domain, { disks: ['vdb'] });
    expect([only.isWhole, only.disks.map(({ state }) => state)]).toEqual([false, ['skipped']]);
  });

  it('is damaged where pages of the point cannot be read, and says so of that disk alone', async () => {
    {
      await using repository = await openFor(domain, storage);
      await repository.backup(domain);
    }
    for (const [name, bytes] of storage.objects) if (name.startsWith('packs/')) bytes.fill(0);
    await using repository = await openFor(domain, storage);
    const { isWhole, disks } = await repository.verifyLive(domain);
    expect([isWhole, disks[0]?.state]).toEqual([false, 'damaged']);
    expect(disks[0]?.message).toMatch(/pack/);
  });

  it('needs a point; fails as a backup does, and leaves nothing', async () => {
    await using repository = await openFor(domain, storage);
    expect(await failure(repository.verifyLive(domain))).toMatchObject({ reason: 'point' });
    await repository.backup(domain);
    const objects = [...storage.objects.keys()];
    const reason = new Error('enough');
    const abort = new AbortController();
    onRead(domain, () => {
      abort.abort(reason);
    });
    expect(await failure(repository.verifyLive(domain, { signal: abort.signal }))).toBe(reason);
    onRead(domain, () => {
      throw new Error('EIO');
    });
    expect(await failure(repository.verifyLive(domain))).toMatchObject({ code: 'ERR_BACKUP_JOB' });
    expect([[...storage.objects.keys()], domain.job]).toEqual([objects, undefined]);
  });
});
