import { StorageError, type StorageReason } from '../../ports/storage.ts';
import { messageOf, SinkError, type SinkReason } from '../../words/errors.ts';

const REASONS: Readonly<Record<string, StorageReason>> = {
  ENOENT: 'not-found',
  EEXIST: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  ENOSPC: 'full',
  EDQUOT: 'full',
};

const SINK_REASONS: Readonly<Record<string, SinkReason>> = {
  EEXIST: 'exists',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  // A device that the kernel has given to somebody else.
  EBUSY: 'denied',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EFBIG: 'size',
};

/** The errno's name of whatever was thrown. */
export function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/** What a file system failed with, in a storage's words; an abort and our own errors stay what they are. */
export function storageError(doing: string, error: unknown, object?: string, signal?: AbortSignal): unknown {
  if (error instanceof StorageError || (signal?.aborted === true && error === signal.reason)) return error;
  const reason = REASONS[errnoOf(error) ?? ''] ?? 'failed';
  return new StorageError(reason, `cannot ${doing}: ${causeOf(error)}`, { object, cause: error });
}

/** What a file system failed with, in a sink's words; an abort and a sink's own errors stay what they are. */
export function sinkError(doing: string, error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof SinkError || (signal?.aborted === true && error === signal.reason)) return error;
  const reason = SINK_REASONS[errnoOf(error) ?? ''] ?? 'failed';
  return new SinkError(reason, `cannot ${doing}: ${causeOf(error)}`, { cause: error });
}

function causeOf(error: unknown): string {
  return messageOf(error).replaceAll(/\/proc\/self\/fd\/\d+\//g, '');
}
