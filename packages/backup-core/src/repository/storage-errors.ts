import type { RepositoryReason } from '../words/errors.ts';
import { BackupError, messageOf, RepositoryError } from '../words/errors.ts';
import { StorageError } from '../ports/storage.ts';

/** Whether a storage says that there is no such object, or not so much of it. */
export function isMissing(error: unknown): boolean {
  return error instanceof StorageError && (error.reason === 'not-found' || error.reason === 'short');
}

/** Whether a storage says that an object of that name is there already. */
export function isTaken(error: unknown): boolean {
  return error instanceof StorageError && error.reason === 'exists';
}

/** What a storage failed with, in the repository's words; an abort and our own errors stay what they are. */
export function storageFailure(doing: string, error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof BackupError || (signal?.aborted === true && error === signal.reason)) return error;
  return new RepositoryError(reasonOf(error), `cannot ${doing}: ${messageOf(error)}`, { cause: error });
}

function reasonOf(error: unknown): RepositoryReason {
  if (!(error instanceof StorageError)) return 'storage';
  return error.reason === 'denied' || error.reason === 'full' ? error.reason : 'storage';
}
