import { StorageError, type StorageReason } from '../../ports/storage.ts';
import { messageOf } from '../../words/errors.ts';

const REASONS: Readonly<Record<string, StorageReason>> = {
  ENOENT: 'not-found',
  EEXIST: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  ENOSPC: 'full',
  EDQUOT: 'full',
};

/** The errno's name of whatever was thrown. */
export function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/** What a file system failed with, in a storage's words; an abort and our own errors stay what they are. */
export function storageError(doing: string, error: unknown, object?: string, signal?: AbortSignal): unknown {
  if (error instanceof StorageError || (signal?.aborted === true && error === signal.reason)) return error;
  const reason = REASONS[errnoOf(error) ?? ''] ?? 'failed';
  const cause = messageOf(error).replace(/\/proc\/self\/fd\/\d+\//, '');
  return new StorageError(reason, `cannot ${doing}: ${cause}`, { object, cause: error });
}
