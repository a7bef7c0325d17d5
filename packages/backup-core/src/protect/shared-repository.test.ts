import { afterEach, describe, expect, it, vi } from 'vitest';
import { FakeHypervisor } from '../fake-hypervisor.fixture.ts';
import { lonelyProcess, openStore } from '../repository/kept-series.fixture.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { Point } from '../repository/point.ts';
import { prune } from '../repository/prune.ts';
import { faultyStorage } from '../testing/faulty-storage.ts';
import type { Owners } from '../words/owner.ts';
import { domainUuid, type DomainUuid } from '../words/peer-names.ts';
import {
  backupAs,
  contentOf,
  diskOf,
  domainOf,
  onRead,
  openFor,
  readBack,
  writeBlock,
} from './protected-domain.fixture.ts';

const BLOCKS = 4;

/** Processes that all live. */
function oneOfMany(pid: number): Owners {
  return { ...lonelyProcess(pid), state: () => Promise.resolve('alive') };
}

class OtherDomain extends FakeHypervisor {
  override readonly name = 'other';
  override readonly uuid: DomainUuid = domainUuid('99999999-2222-3333-4444-555555555555') ?? expect.fail();
}

function otherDomain(): OtherDomain {
  const domain = new OtherDomain();
  domain.addDisk('vda', diskOf(BLOCKS, 50));
  return domain;
}

async function expectRestored(storage: TestStorage, point: Point, truth: Buffer): Promise<void> {
  await using repository = await openFor(domainOf(1), storage, { create: false });
  expect((await readBack(repository, point)).equals(truth), point.id).toBe(true);
}

describe('two processes on one repository', () => {
  it('back different domains up side by side, whichever is ahead', async () => {
    const storage = new TestStorage();
    const guests = [domainOf(BLOCKS), otherDomain()] as const;
    for (let round = 0; round < 5; round++) {
      for (const [index, guest] of guests.entries())
        writeBlock(guest, round % BLOCKS, 16 * round + index + 1);
      const results = await Promise.all(
        guests.map((guest, index) => {
          // Neither is always first at anything.
          const slow = faultyStorage(storage, ({ number }) =>
            (number + round) % 3 === index ? { type: 'delay', delayMs: 1 } : undefined,
          );
          return backupAs(oneOfMany(index + 1), guest, slow);
        }),
      );
      for (const [index, { point, remarks }] of results.entries()) {
        expect(remarks).toEqual([]);
        await expectRestored(storage, point, contentOf(guests[index as 0 | 1]));
      }
    }
    expect([...storage.objects.keys()].filter((name) => /^(jobs|leases|intents)/.test(name))).toEqual([]);
  });

  it('do not back one domain up twice at a time: the second is told who is at it', async () => {
    const storage = new TestStorage();
    const domain = domainOf(BLOCKS);
    let second: Promise<unknown> | undefined;
    onRead(domain, async () => {
      second ??= backupAs(oneOfMany(2), domain, storage).catch((error: unknown) => error);
      await second;
    });
    const { point } = await backupAs(oneOfMany(1), domain, storage);
    expect(await second).toMatchObject({
      code: 'ERR_BACKUP_REPOSITORY',
      reason: 'busy',
      message: expect.stringMatching(/process 1 on here \(backup, since/) as string,
    });
    await expectRestored(storage, point, contentOf(domain));
  });

  it('a note that goes while it is looked at is of a job that has ended', async () => {
    const storage = new TestStorage();
    const domain = domainOf(BLOCKS);
    await backupAs(oneOfMany(1), domain, storage);
    const note = 'jobs/tsbackup-00000000-01J00000000000000000000000';
    storage.objects.set(note, Buffer.from('{}'));
    const watched = faultyStorage(storage, ({ kind, name }) => {
      if (kind === 'get' && name === note) storage.objects.delete(note);
      return undefined;
    });
    await backupAs(oneOfMany(2), domain, watched);
    expect(storage.objects.has(note)).toBe(false);
  });
});

describe('a copy of a repository', () => {
  it('that was made file by file while a backup committed is whole', async () => {
    const storage = new TestStorage();
    const domain = domainOf(BLOCKS);
    await backupAs(oneOfMany(1), domain, storage);
    writeBlock(domain, 1, 0x11);
    const early = new Map<string, Buffer>();
    // Everything but the points is copied before the commit, and before its seal.
    const copying = faultyStorage(storage, ({ kind, name }) => {
      if (kind === 'put' && name.endsWith('.end'))
        for (const [each, bytes] of storage.objects) if (!each.startsWith('points/')) early.set(each, bytes);
      return undefined;
    });
    const { point } = await backupAs(oneOfMany(1), domain, copying);
    expect([...early.keys()].filter((name) => /^(leases|intents)/.test(name))).toHaveLength(2);
    const copy = new TestStorage();
    for (const [name, bytes] of early) copy.objects.set(name, bytes);
    for (const [name, bytes] of storage.objects)
      if (name.startsWith('points/')) copy.objects.set(name, bytes);
    const truth = contentOf(domain);
    await expectRestored(copy, point, truth);
    // Whose the lease is does not live any more.
    writeBlock(domain, 2, 0x22);
    const next = await backupAs(lonelyProcess(3), domain, copy);
    await expectRestored(copy, point, truth);
    await expectRestored(copy, next.point, contentOf(domain));
    expect([...copy.objects.keys()].filter((name) => /^(jobs|leases|intents)/.test(name))).toEqual([]);
  });

  it('beside its original: whichever is backed up into, every point of both is exact', async () => {
    const original = new TestStorage();
    const domain = domainOf(BLOCKS);
    const truths = new Map<string, Buffer>();
    const take = async (storage: TestStorage): Promise<void> => {
      const { point } = await backupAs(lonelyProcess(1), domain, storage);
      truths.set(point.id, contentOf(domain));
    };
    await take(original);
    const copy = new TestStorage();
    for (const [name, bytes] of original.objects) copy.objects.set(name, Buffer.from(bytes));
    for (const [index, storage] of [copy, original, original, copy, copy, original].entries()) {
      writeBlock(domain, index % BLOCKS, 0x20 + index);
      await take(storage);
    }
    for (const storage of [original, copy]) {
      await using repository = await openFor(domain, storage, { create: false });
      const points = await repository.points();
      expect(points).toHaveLength(4);
      for (const point of points) await expectRestored(storage, point, truths.get(point.id) ?? expect.fail());
    }
  });
});

describe('clocks an hour apart', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('change neither the order of points, nor what is incremental, nor what a prune keeps', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const storage = new TestStorage();
    const domain = domainOf(BLOCKS);
    const taken: { readonly point: Point; readonly truth: Buffer }[] = [];
    for (const [index, time] of ['12:00', '11:00', '13:01', '11:02', '12:03'].entries()) {
      vi.setSystemTime(new Date(`2027-01-01T${time}:00Z`));
      writeBlock(domain, index % BLOCKS, 0x30 + index);
      const mode = index === 0 ? 'auto' : 'incremental';
      const { point } = await backupAs(oneOfMany(index), domain, storage, { mode });
      taken.push({ point, truth: contentOf(domain) });
    }
    const ids = taken.map(({ point }) => point.id);
    expect([...ids].sort()).toEqual(ids);
    expect(taken.map(({ point }) => point.previous?.id)).toEqual([undefined, ...ids.slice(0, -1)]);
    const options = { leaseMs: 200, patienceMs: 0, policy: { keepLast: 2 } };
    // By a clock before all of them every point is young.
    vi.setSystemTime(new Date('2027-01-01T10:00:00Z'));
    expect((await prune(openStore(storage), oneOfMany(8), options)).remove).toEqual([]);
    vi.setSystemTime(new Date('2027-01-01T14:00:00Z'));
    expect((await prune(openStore(storage), oneOfMany(9), options)).remove).toEqual(ids.slice(0, 3));
    for (const { point, truth } of taken.slice(3)) await expectRestored(storage, point, truth);
  });

  it('do not end a lease: who works for an hour, or was started an hour from now, works on', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const storage = new TestStorage();
    const domain = domainOf(BLOCKS);
    const seen: unknown[] = [];
    let isLooking = false;
    onRead(domain, async () => {
      if (isLooking) return;
      isLooking = true;
      for (const time of ['11:00', '13:00']) {
        vi.setSystemTime(new Date(`2027-01-01T${time}:00Z`));
        seen.push(await backupAs(oneOfMany(2), domain, storage).catch((error: unknown) => error));
      }
    });
    vi.setSystemTime(new Date('2027-01-01T12:00:00Z'));
    const { point } = await backupAs(oneOfMany(1), domain, storage);
    expect(seen).toMatchObject([{ reason: 'busy' }, { reason: 'busy' }]);
    await expectRestored(storage, point, contentOf(domain));
  });
});
