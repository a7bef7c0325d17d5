import { describe, expect, it } from 'vitest';
import type { BackupRepository } from './backup-repository.ts';
import { FakeHypervisor } from './fake-hypervisor.fixture.ts';
import { StorageError, type StorageReason } from './ports/storage.ts';
import {
  contentOf,
  domainOf,
  expectOurs,
  openFor,
  readBack,
  writeBlock,
} from './protect/protected-domain.fixture.ts';
import { cloneOf } from './repository/kept-series.fixture.ts';
import { TestStorage } from './repository/memory-storage.fixture.ts';
import { type FaultyStorage, faultyStorage } from './testing/faulty-storage.ts';
import { RepositoryError } from './words/errors.ts';

const BLOCKS = 4;
const REASONS: readonly StorageReason[] = ['failed', 'full', 'denied'];

interface Bench {
  readonly storage: TestStorage;
  readonly domain: FakeHypervisor;
  readonly truths: readonly Buffer[];
}

async function twoPoints(): Promise<Bench> {
  const storage = new TestStorage();
  const domain = domainOf(BLOCKS);
  const truths: Buffer[] = [];
  await using repository = await openFor(domain, storage);
  for (const byte of [0x11, 0x22]) {
    writeBlock(domain, 1, byte);
    await repository.backup(domain);
    truths.push(contentOf(domain));
  }
  return { storage, domain, truths };
}

/** What is done with a repository; it checks what it gets. */
type Work = (repository: BackupRepository, bench: Bench) => Promise<void>;

const WORK: Readonly<Record<string, Work>> = {
  opening: () => Promise.resolve(),
  listing: async (repository) => {
    expect(await repository.points()).toHaveLength(2);
  },
  restore: async (repository, { truths }) => {
    const [first] = await repository.points();
    expect((await readBack(repository, first ?? expect.fail())).equals(truths[0] as Buffer)).toBe(true);
  },
  'deep verify': async (repository) => {
    const report = await repository.verify({ mode: 'deep' });
    // What cannot be read is no damage, and what was not looked at is not whole.
    expect(report.isWhole).toBe(true);
  },
  'quick verify': async (repository) => {
    expect((await repository.verify()).isWhole).toBe(true);
  },
  prune: async (repository) => {
    await repository.prune({ keepLast: 1 });
    expect(await repository.points()).toHaveLength(1);
  },
};

describe.each(Object.keys(WORK))('%s, when any one operation of the storage fails', (name) => {
  it.each(REASONS)(
    '(%s): an error that says so, or all is well, and nothing is lost',
    { timeout: 120_000 },
    async (reason) => {
      const bench = await twoPoints();
      for (let number = 1, isThrough = false; !isThrough; number++) {
        const storage = cloneOf(bench.storage);
        let faulty: FaultyStorage | undefined;
        try {
          faulty = faultyStorage(storage, (operation) =>
            operation.number === number
              ? { type: 'fail', error: new StorageError(reason, 'EIO, as was wanted') }
              : undefined,
          );
          await using repository = await openFor(bench.domain, faulty, { create: false });
          await WORK[name]?.(repository, bench);
        } catch (error) {
          expectOurs(error);
          expect(error, `operation ${number}`).toBeInstanceOf(RepositoryError);
        }
        isThrough = (faulty?.operations.length ?? 0) < number;
        await using after = await openFor(bench.domain, storage, { create: false });
        const points = await after.points();
        expect(points.length).toBeGreaterThan(name === 'prune' ? 0 : 1);
        for (const [index, point] of points.entries()) {
          const truth = bench.truths[index + bench.truths.length - points.length] as Buffer;
          expect((await readBack(after, point)).equals(truth), `operation ${number}`).toBe(true);
        }
      }
    },
  );
});

it('creation, when any one operation of the storage fails: the next one makes it', async () => {
  for (const type of ['fail', 'fail-after', 'tear', 'kill', 'kill-after'] as const)
    for (let number = 1, isThrough = false; !isThrough; number++) {
      const storage = new TestStorage();
      const faulty = faultyStorage(storage, (operation) =>
        operation.number === number ? { type } : undefined,
      );
      const opened = await openFor(domainOf(1), faulty).catch((error: unknown) => {
        expect(error).toBeInstanceOf(RepositoryError);
        return undefined;
      });
      isThrough = faulty.operations.length < number;
      await using repository = await openFor(domainOf(1), storage);
      if (opened !== undefined) expect(repository.id, `${type} ${number}`).toBe(opened.id);
      expect([...storage.objects.keys()].sort()).toEqual(['README.txt', 'repository.json', 'restore.py']);
    }
});
