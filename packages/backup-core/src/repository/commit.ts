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
    if (isTaken || !(await isThere(storage, object))) throw storageFailure(`put ${object}`, error, signal);
  }
  // It is done: an intent that cannot be removed now is found to be by whoever takes the next lease.
  await intent.finish().catch(() => undefined);
}

/** A storage that does not even answer that: not done, as far as anybody knows; the seal says what was meant. */
async function isThere(storage: Storage, object: string): Promise<boolean> {
  try {
    return (await storage.size(object)) !== undefined;
  } catch {
    return false;
  }
}
