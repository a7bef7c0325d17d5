import type { LeaseOptions } from '../repository/leases.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { underLease } from '../repository/under-lease.ts';
import { RepositoryError } from '../words/errors.ts';

/**
 * Reads a point while nobody removes it. The point is to be looked up within: before, it could go. In a repository
 * that cannot be written it is read without a lease.
 *
 * @param work - gets a signal that is aborted with the caller's, or when the lease is lost
 * @throws RepositoryError if the lease cannot be taken, or is lost; what the work throws; or the signal's reason
 */
export async function withRestoreLease<Result>(
  { store, owners }: OpenRepository,
  point: string,
  options: LeaseOptions,
  work: (signal: AbortSignal | undefined) => Promise<Result>,
): Promise<Result> {
  const lease = { isHeld: false };
  try {
    return await underLease(
      store.storage,
      owners,
      { kind: 'restore', points: [point] },
      options,
      (_, signal) => {
        lease.isHeld = true;
        return work(signal);
      },
    );
  } catch (error) {
    if (lease.isHeld || !(error instanceof RepositoryError) || error.reason !== 'denied') throw error;
    return work(options.signal);
  }
}
