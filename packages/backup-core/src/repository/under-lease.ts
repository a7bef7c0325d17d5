import type { Storage } from '../ports/storage.ts';
import { withSignals } from '../words/joined-signal.ts';
import type { Owners } from '../words/owner.ts';
import type { Work } from './lease-records.ts';
import { type Lease, type LeaseOptions, takeLease } from './leases.ts';
import { storageFailure } from './storage-errors.ts';

/**
 * Does a piece of work under a lease, which is given back behind it.
 *
 * @param run - `signal` is aborted when the caller's is, or when the lease is lost
 * @throws what `run` throws, and RepositoryError
 */
export async function underLease<Result>(
  storage: Storage,
  owners: Owners,
  work: Work,
  options: LeaseOptions,
  run: (lease: Lease, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const lease = await takeLease(storage, owners, work, options);
  return await withSignals([options.signal, lease.lost], async (signal) => {
    let result: Result;
    try {
      result = await run(lease, signal);
    } catch (error) {
      // The first failure is the one to tell; a lease that cannot be removed now runs out.
      await lease.release().catch(() => undefined);
      throw storageFailure(`work in ${storage.description}`, error, signal);
    }
    await lease.release();
    return result;
  });
}
