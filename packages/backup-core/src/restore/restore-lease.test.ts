import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { ownerState, processIdentity } from '../adapters/process-identity.ts';
import { StorageError } from '../ports/storage.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { TreeStore } from '../repository/tree/tree-store.ts';
import { withRestoreLease } from './restore-lease.ts';

const owners = { self: processIdentity, state: ownerState };
const POINT = '01ARZ3NDEKTSV4RRFFQ69G5FAV';

const repositoryOn = (storage: TestStorage): OpenRepository => ({
  id: '0badcafe',
  owners,
  store: new TreeStore(storage, {
    format: 2,
    id: '0badcafe',
    blockSize: 65536,
    compression: 'none',
    keys: undefined,
  }),
});

const leases = (storage: TestStorage): string[] =>
  [...storage.objects.keys()].filter((name) => name.startsWith('leases/'));

it('the point is named in a lease while it is read, and not longer, however that ends', async () => {
  const storage = new TestStorage();
  const work = async (): Promise<string> => {
    const [name = ''] = leases(storage);
    expect(storage.objects.get(name)?.toString()).toMatch(/"restore".*01ARZ3NDEKTSV4RRFFQ69G5FAV/);
    return Promise.resolve('done');
  };
  expect(await withRestoreLease(repositoryOn(storage), POINT, {}, work)).toBe('done');
  const failing = withRestoreLease(repositoryOn(storage), POINT, {}, () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(leases(storage)).toEqual([]);
});

it('the work ends with the signal, and when the lease is lost', async () => {
  const storage = new TestStorage();
  const untilAborted = async (signal: AbortSignal | undefined): Promise<void> => {
    await setTimeout(10_000, undefined, { signal: signal as AbortSignal }).catch(() => undefined);
    signal?.throwIfAborted();
  };
  const stop = new AbortController();
  const stopped = withRestoreLease(repositoryOn(storage), POINT, { signal: stop.signal }, async (signal) => {
    stop.abort(new Error('enough'));
    await untilAborted(signal);
  });
  await expect(stopped).rejects.toThrow('enough');
  const lost = withRestoreLease(repositoryOn(storage), POINT, { leaseMs: 600 }, async (signal) => {
    for (const name of leases(storage)) storage.objects.delete(name);
    await untilAborted(signal);
  });
  await expect(lost).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY', reason: 'busy' });
});

it('a repository that cannot be written is read without a lease', async () => {
  const storage = new TestStorage();
  storage.put = () => Promise.reject(new StorageError('denied', 'read-only file system'));
  expect(await withRestoreLease(repositoryOn(storage), POINT, {}, () => Promise.resolve('done'))).toBe(
    'done',
  );
});
