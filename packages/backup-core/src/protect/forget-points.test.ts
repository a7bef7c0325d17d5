import { beforeEach, describe, expect, it } from 'vitest';
import type { BackupRepository } from '../backup-repository.ts';
import type { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { Point } from '../repository/point.ts';
import { contentOf, domainOf, failure, openFor, readBack, writeBlock } from './protected-domain.fixture.ts';

let domain: FakeHypervisor;
let storage: TestStorage;

beforeEach(() => {
  domain = domainOf(4);
  storage = new TestStorage();
});

async function takeThree(repository: BackupRepository): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const byte of [1, 2, 3]) {
    writeBlock(domain, byte, byte);
    ids.push((await repository.backup(domain, { audit: 0 })).point.id);
  }
  return ids;
}

const readingOf = ({ disks }: Point): unknown => disks[0]?.reading;

describe('a newest point that was forgotten', () => {
  it.each([false, true])(
    'is replaced by a full, and its checkpoint goes (encrypted: %s)',
    async (isEncrypted) => {
      const encryption = isEncrypted ? { key: Buffer.alloc(32, 7) } : undefined;
      await using repository = await openFor(domain, storage, { encryption });
      const [first = '', second = '', third = ''] = await takeThree(repository);
      const [forgotten] = [...domain.checkpoints.keys()];
      await repository.forgetPoints([third]);
      expect((await repository.points()).map(({ id }) => id)).toEqual([first, second]);
      writeBlock(domain, 0, 9);
      const { point, remarks } = await repository.backup(domain, { audit: 0 });
      expect(remarks).toEqual([]);
      expect(readingOf(point)).toMatchObject({ mode: 'full', reason: 'checkpoint-missing' });
      expect(point.previous?.id).toBe(second);
      expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(true);
      expect([...domain.checkpoints.keys()]).toEqual([point.checkpoint?.name]);
      expect(domain.checkpoints.has(forgotten ?? '')).toBe(false);
      expect([...storage.objects.keys()].filter((name) => name.startsWith('jobs/'))).toEqual([]);
      const next = await repository.backup(domain, { audit: 0 });
      expect(readingOf(next.point)).toMatchObject({ mode: 'incremental' });
    },
  );

  it('leaves no checkpoint behind even where no point is left', async () => {
    await using repository = await openFor(domain, storage);
    await repository.forgetPoints(await takeThree(repository));
    expect(await repository.points()).toEqual([]);
    const { point } = await repository.backup(domain);
    expect([...domain.checkpoints.keys()]).toEqual([point.checkpoint?.name]);
  });

  it('of which only the plan was asked changes nothing', async () => {
    await using repository = await openFor(domain, storage);
    const ids = await takeThree(repository);
    const before = [...storage.objects.keys()];
    await repository.forgetPoints(ids.slice(2), { dryRun: true });
    expect([...storage.objects.keys()]).toEqual(before);
    const { point } = await repository.backup(domain, { audit: 0 });
    expect(readingOf(point)).toMatchObject({ mode: 'incremental' });
  });
});

it('an older point that was forgotten is no matter to the next backup', async () => {
  await using repository = await openFor(domain, storage);
  const ids = await takeThree(repository);
  await repository.forgetPoints(ids.slice(0, 2));
  expect([...storage.objects.keys()].filter((name) => name.startsWith('jobs/'))).toEqual([]);
  const { point } = await repository.backup(domain, { audit: 0 });
  expect(readingOf(point)).toMatchObject({ mode: 'incremental' });
});

it('prune leaves no checkpoint behind of a disk whose newest point it removes', async () => {
  await using repository = await openFor(domain, storage);
  domain.addDisk('vdb', contentOf(domain));
  const { point } = await repository.backup(domain, { audit: 0 });
  domain.disks.delete('vdb');
  await repository.backup(domain, { audit: 0 });
  expect(domain.checkpoints.has(point.checkpoint?.name ?? '')).toBe(true);
  expect((await repository.prune({ keepLast: 1 })).remove).toEqual([point.id]);
  const { point: last } = await repository.backup(domain, { audit: 0 });
  expect(readingOf(last)).toMatchObject({ mode: 'incremental' });
  expect([...domain.checkpoints.keys()]).toEqual([last.checkpoint?.name]);
});

it('only ids of points are taken', async () => {
  await using repository = await openFor(domain, storage);
  for (const points of ['x', [1], undefined])
    expect(await failure(repository.forgetPoints(points as never))).toMatchObject({
      code: 'ERR_BACKUP_USAGE',
    });
});
