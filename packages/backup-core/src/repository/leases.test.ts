import { describe, expect, it } from 'vitest';
import type { Storage } from '../ports/storage.ts';
import { faultAt, faultyStorage } from '../testing/faulty-storage.ts';
import { memoryStorage } from '../testing/memory-storage.ts';
import { RepositoryError } from '../words/errors.ts';
import type { Owner, Owners, OwnerState } from '../words/owner.ts';
import { domainUuid } from '../words/peer-names.ts';
import { commit } from './commit.ts';
import { Intent, sealedObjects } from './intents.ts';
import { encode, endName, leaseName, type Work } from './lease-records.ts';
import { outlast, takeOver } from './lease-watch.ts';
import { takeLease } from './leases.ts';

const LEASE_MS = 300;
const OPTIONS = { leaseMs: LEASE_MS };
const DOMAIN = domainUuid('00000000-0000-4000-8000-000000000001');
const OTHER = domainUuid('00000000-0000-4000-8000-000000000002');
const BACKUP: Work = { kind: 'backup', domain: DOMAIN };
const BYTES = Buffer.from('bytes');
const PACK = 'packs/01J00000000000000000000000.0';
const POINT = 'points/p';

/** Owners as process `pid` of `host` sees them. */
function processes(pid: number, host = 'here', dead: readonly number[] = []): Owners {
  const owner = (of: number): Owner => ({
    host,
    machine: host,
    boot: host,
    pidNamespace: '1',
    pid: of,
    startTime: '1',
  });
  const state = (other: Owner): OwnerState => {
    if (other.host !== host) return 'elsewhere';
    return dead.includes(other.pid) ? 'dead' : 'alive';
  };
  return {
    self: () => Promise.resolve(owner(pid)),
    state: (other) => Promise.resolve(state(other)),
  };
}

async function names(storage: Storage): Promise<string[]> {
  const all: string[] = [];
  for await (const { name } of storage.list('')) all.push(name);
  return all.sort();
}

/** A lease that nobody renews, as a crash leaves it. */
async function abandoned(
  storage: Storage,
  id: string,
  pid: number,
  host: string,
  since: string,
): Promise<void> {
  const owner = await processes(pid, host).self();
  await storage.put(leaseName(id), encode({ ...BACKUP, owner, since, isAsking: false, renewal: 3 }));
}

const FUTURE = '7ZZZZZZZZZZZZZZZZZZZZZZZZZ';
const PAST = '00000000000000000000000000';

describe('leases', () => {
  it('one backup of a domain at a time, and the other hears who it is', async () => {
    const storage = memoryStorage();
    const first = await takeLease(storage, processes(11), BACKUP, OPTIONS);
    const second = takeLease(storage, processes(12), BACKUP, OPTIONS);
    await expect(second).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY', reason: 'busy' });
    await expect(second).rejects.toThrow(/process 11 on here \(backup, since 20\d\d-/);
    expect(await names(storage)).toEqual([leaseName(first.id)]);
    await first.release();
    await (await takeLease(storage, processes(12), BACKUP, OPTIONS)).release();
    expect(await names(storage)).toEqual([]);
  });

  it('other domains, readers and a sweep go side by side; two sweeps do not', async () => {
    const storage = memoryStorage();
    const work: Work[] = [
      BACKUP,
      { kind: 'backup', domain: OTHER },
      { kind: 'read' },
      { kind: 'read' },
      { kind: 'sweep' },
    ];
    const leases = await Promise.all(
      work.map((each, index) => takeLease(storage, processes(index), each, OPTIONS)),
    );
    await expect(takeLease(storage, processes(9), { kind: 'sweep' }, OPTIONS)).rejects.toMatchObject({
      reason: 'busy',
    });
    for (const lease of leases) await lease.release();
  });

  it.each(['here', 'there'])(
    'of many who ask at once (the others from %s) exactly one gets it',
    async (host) => {
      for (let round = 0; round < 5; round++) {
        const storage = memoryStorage();
        const asking = Array.from({ length: 6 }, (_, index) =>
          takeLease(storage, processes(index, index % 2 === 0 ? 'here' : host), BACKUP, OPTIONS),
        );
        const results = await Promise.allSettled(asking);
        const taken = results.filter((result) => result.status === 'fulfilled');
        expect(taken).toHaveLength(1);
        for (const { value } of taken) await value.release();
        expect(await names(storage)).toEqual([]);
      }
    },
  );

  it.each([FUTURE, PAST])(
    'whoever is dead on this host is taken over at once, whatever the clock said (%s)',
    async (id) => {
      const storage = memoryStorage();
      await abandoned(storage, id, 11, 'here', '2999-01-01T00:00:00Z');
      const start = performance.now();
      const lease = await takeLease(storage, processes(12, 'here', [11]), BACKUP, OPTIONS);
      expect(performance.now() - start).toBeLessThan(LEASE_MS / 2);
      expect(await names(storage)).toEqual([leaseName(lease.id)]);
      await lease.release();
    },
  );

  it.each([FUTURE, PAST])(
    'whoever is elsewhere is watched for the time of a lease, by our own clock (%s)',
    async (id) => {
      const storage = memoryStorage();
      await abandoned(storage, id, 11, 'there', '1999-01-01T00:00:00Z');
      const start = performance.now();
      const lease = await takeLease(storage, processes(12), BACKUP, OPTIONS);
      expect(performance.now() - start).toBeGreaterThanOrEqual(LEASE_MS);
      await lease.release();
      // Should it wake up, it finds that it cannot commit any more.
      expect(await names(storage)).toEqual([endName(id)]);
    },
  );

  it.each([FUTURE, PAST])(
    'whoever lives elsewhere is not robbed, whatever its clock says (%s)',
    async (id) => {
      const storage = memoryStorage();
      const bytes = (renewal: number): Uint8Array =>
        encode({ ...BACKUP, owner, since: '1999-01-01T00:00:00Z', isAsking: false, renewal });
      const owner = await processes(11, 'there').self();
      await storage.put(leaseName(id), bytes(0));
      let renewal = 0;
      const timer = setInterval(() => {
        void storage.replace(leaseName(id), bytes(renewal + 1), bytes(renewal++));
      }, LEASE_MS / 3);
      await expect(takeLease(storage, processes(12), BACKUP, OPTIONS)).rejects.toMatchObject({
        reason: 'busy',
      });
      clearInterval(timer);
    },
  );

  it('a lease that cannot be read is given its time too', async () => {
    const storage = memoryStorage();
    await storage.put(leaseName(PAST), Buffer.from('{"kind":'));
    const lease = await takeLease(storage, processes(12), BACKUP, OPTIONS);
    await lease.release();
    expect(await names(storage)).toEqual([endName(PAST)]);
  });

  it('an abort ends the waiting and leaves nothing', async () => {
    const storage = memoryStorage();
    await abandoned(storage, PAST, 11, 'there', '1999-01-01T00:00:00Z');
    const reason = new Error('enough');
    const waiting = takeLease(storage, processes(12), BACKUP, {
      leaseMs: 60_000,
      signal: abortAfter(50, reason),
    });
    await expect(waiting).rejects.toBe(reason);
    expect(await names(storage)).toEqual([leaseName(PAST)]);
  });

  it('a lease that was taken over is lost, and commits nothing', async () => {
    const storage = memoryStorage();
    const lease = await takeLease(storage, processes(11), BACKUP, OPTIONS);
    const intent = new Intent(storage, lease.id, POINT);
    await intent.add([PACK]);
    await storage.put(PACK, BYTES);
    const stalled = await storage.get(leaseName(lease.id));
    const taken = { id: lease.id, bytes: stalled, record: undefined, state: 'expired' as const };
    expect(await takeOver(storage, taken)).toBe(true);
    expect(await names(storage)).toEqual([endName(lease.id)]);
    // A renewal that was on its way brings the lease back: it is not believed.
    await storage.put(leaseName(lease.id), stalled);
    await expect(commit(storage, { lease, intent }, POINT, BYTES)).rejects.toMatchObject({ reason: 'busy' });
    expect(lease.lost.reason).toBeInstanceOf(RepositoryError);
    await lease.release();
    expect(await names(storage)).toEqual([endName(lease.id)]);
  });

  it('one that is sealed is not taken by those who only think that its owner is dead', async () => {
    const storage = memoryStorage();
    await abandoned(storage, PAST, 11, 'there', '1999-01-01T00:00:00Z');
    await storage.put(endName(PAST), encode({ end: 'commit', object: POINT }));
    await expect(takeLease(storage, processes(12), BACKUP, OPTIONS)).rejects.toThrow(
      /in the middle of its commit/,
    );
    expect(await names(storage)).toEqual([leaseName(PAST), endName(PAST)]);
    expect(await sealedObjects(storage)).toEqual(new Set([POINT]));
    // On its own host it is known.
    await (await takeLease(storage, processes(12, 'there', [11]), BACKUP, OPTIONS)).release();
    expect(await names(storage)).toEqual([]);
  });

  it('is lost when it cannot be renewed in time', async () => {
    const inner = memoryStorage();
    const storage = faultyStorage(inner, ({ kind, number }) =>
      kind === 'replace' && number > 8 ? { type: 'fail' } : undefined,
    );
    const lease = await takeLease(storage, processes(11), BACKUP, OPTIONS);
    await new Promise((done) => {
      lease.lost.addEventListener('abort', done);
    });
    expect(lease.lost.reason).toMatchObject({ reason: 'busy' });
  });

  it('a renewal that was reported as failed, and was done, does no harm', async () => {
    const inner = memoryStorage();
    let failures = 0;
    const storage = faultyStorage(inner, ({ kind, number }) =>
      kind === 'replace' && number > 8 && failures++ === 0 ? { type: 'fail-after' } : undefined,
    );
    const lease = await takeLease(storage, processes(11), BACKUP, OPTIONS);
    await new Promise((done) => setTimeout(done, LEASE_MS));
    expect(failures).toBeGreaterThan(1);
    await lease.confirm();
    expect(lease.lost.aborted).toBe(false);
    await lease.release();
  });

  it('waits for others until they have ended, and says who has not', async () => {
    const storage = memoryStorage();
    const reader = await takeLease(storage, processes(11), { kind: 'read' }, OPTIONS);
    const ids = new Set([reader.id]);
    const patience = { ...OPTIONS, patienceMs: 50 };
    expect(await outlast(storage, processes(12), ids, patience)).toMatchObject([
      { id: reader.id, state: 'alive' },
    ]);
    const waiting = outlast(storage, processes(12), ids, { ...OPTIONS, patienceMs: 5_000 });
    await reader.release();
    expect(await waiting).toEqual([]);
  });
});

function abortAfter(delayMs: number, reason: Error): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => {
    controller.abort(reason);
  }, delayMs);
  return controller.signal;
}

/** A backup as far as leases and intents see it. */
async function backup(storage: Storage, owners: Owners): Promise<void> {
  const lease = await takeLease(storage, owners, BACKUP, OPTIONS);
  const intent = new Intent(storage, lease.id, POINT);
  try {
    for (const pack of [PACK, PACK.replace('0.0', '1.0')]) {
      await intent.add([pack]);
      await storage.put(pack, BYTES);
    }
    await commit(storage, { lease, intent }, POINT, BYTES);
  } catch (error) {
    await intent.undo();
    throw error;
  } finally {
    await lease.release();
  }
}

const WHOLE = [PACK, PACK.replace('0.0', '1.0'), POINT].sort();

describe('a backup that is cut off', () => {
  it.each(['kill', 'kill-after', 'fail', 'fail-after'] as const)(
    '%s at each operation: the point is there with all its packs, or nothing is, after the next run',
    async (type) => {
      for (let number = 1; ; number++) {
        const inner = memoryStorage();
        await inner.put('packs/foreign', BYTES);
        const faulty = faultyStorage(inner, faultAt(number, { type }));
        const isDone = await backup(faulty, processes(11)).then(
          () => true,
          () => false,
        );
        if (faulty.operations.length < number) break;
        const isStored = (await inner.size(POINT)) !== undefined;
        if (isDone) expect(isStored).toBe(true);
        // The next run, of another domain, on the same host.
        const next = await takeLease(
          inner,
          processes(12, 'here', [11]),
          { kind: 'backup', domain: OTHER },
          OPTIONS,
        );
        await next.release();
        expect([number, await names(inner)]).toEqual([
          number,
          [...WHOLE.filter(() => isStored), 'packs/foreign'].sort(),
        ]);
      }
    },
  );
});
