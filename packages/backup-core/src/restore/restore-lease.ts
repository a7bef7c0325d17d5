import type { Storage } from '../ports/storage.ts';
import { type LeaseOptions, takeLease } from '../repository/leases.ts';
import type { Owners } from '../words/owner.ts';

/**
 * Reads a point while nobody removes it. The point is to be looked up within: before, it could go.
 *
 * @param work - gets a signal that is aborted with the caller's, or when the lease is lost
 * @throws RepositoryError if the lease cannot be taken, or is lost; what the work throws; or the signal's reason
 */
export async function withRestoreLease<Result>(
  storage: Storage,
  owners: Owners,
  point: string,
  options: LeaseOptions,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { signal } = options;
  await using lease = await takeLease(storage, owners, { kind: 'restore', points: [point] }, options);
  return await work(signal === undefined ? lease.lost : AbortSignal.any([signal, lease.lost]));
}
