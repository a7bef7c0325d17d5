import { type Storage, StorageError, type StorageOptions } from '../ports/storage.ts';
import type { Intent } from './intents.ts';
import type { Lease } from './leases.ts';
import { storageFailure } from './storage-errors.ts';

/**
 * Puts the object that makes everything under an intent count: a point's manifest. Done, or not done; where the
 * storage cannot say which, it is asked.
 *
 * @throws RepositoryError if it was not done, and the intent can be undone
 */
export async function commit(
  storage: Storage,
  { lease, intent }: { readonly lease: Lease; readonly intent: Intent },
  object: string,
  bytes: Uint8Array,
  { signal }: StorageOptions = {},
): Promise<void> {
  await lease.seal(object, { signal });
  try {
    // What is begun here is not given up: an answer that is not waited for would be an open question.
    await storage.put(object, bytes);
  } catch (error) {
    const isTaken = error instanceof StorageError && error.reason === 'exists';
    if (isTaken || (await storage.size(object)) === undefined)
      throw storageFailure(`put ${object}`, error, signal);
  }
  await intent.finish();
}
