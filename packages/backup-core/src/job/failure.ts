import { setTimeout as delay } from 'node:timers/promises';
import { SourceError, type SourceReason } from '../ports/block-source.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import {
  BackupError,
  BackupJobError,
  HypervisorError,
  type HypervisorReason,
  type JobPhase,
  type JobReason,
  messageOf,
} from '../words/errors.ts';
import { withSignals } from '../words/joined-signal.ts';
import { isRunning } from './end.ts';

/** What failed, and of which job. */
export interface JobContext {
  readonly domain: HypervisorDomain;
  readonly socket: string;
  readonly phase: JobPhase;
  /** `<target dev>`, where it is about one disk. */
  readonly disk?: string | undefined;
  /** For the message, such as `reading disk vda failed`. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

const SOURCE_REASONS: Readonly<Record<SourceReason, JobReason>> = {
  denied: 'denied',
  absent: 'connection-lost',
  closed: 'connection-lost',
  timeout: 'timeout',
  media: 'media',
  failed: 'failed',
};

const HYPERVISOR_REASONS: Readonly<Record<HypervisorReason, JobReason>> = {
  'connection-lost': 'connection-lost',
  timeout: 'timeout',
  denied: 'denied',
  'no-domain': 'job-gone',
  bitmap: 'failed',
  unsupported: 'failed',
  failed: 'failed',
};

const SENTENCES: Readonly<Partial<Record<JobReason, string>>> = {
  'job-gone': 'the job is gone: the guest was stopped, or somebody ended the job',
  'connection-lost': 'the connection was lost',
  timeout: 'nothing was heard for too long',
  media: 'the disk cannot be read',
};

/**
 * What a failure means for the job. Where a connection has ended, the hypervisor is asked whether the job has, too.
 *
 * @returns what to throw: the error itself if it says all already, or the signal's reason
 */
export async function jobFailure(error: unknown, context: JobContext): Promise<unknown> {
  const { phase, disk, what, signal } = context;
  if (isAborted(signal)) return signal?.reason;
  if (error instanceof BackupError && !(error instanceof HypervisorError)) return error;
  const known = reasonOf(error);
  const reason = known === 'connection-lost' && (await isGone(context)) ? 'job-gone' : known;
  // Meanwhile it may have been aborted.
  if (isAborted(signal)) return signal?.reason;
  const meaning = SENTENCES[reason];
  const said = messageOf(error);
  const message = meaning === undefined ? `${what}: ${said}` : `${what}: ${meaning} (${said})`;
  return new BackupJobError(reason, message, { phase, disk, cause: error });
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function reasonOf(error: unknown): JobReason {
  if (error instanceof SourceError) return SOURCE_REASONS[error.reason];
  return error instanceof HypervisorError ? HYPERVISOR_REASONS[error.reason] : 'failed';
}

/** libvirt learns of the end of a QEMU a moment after its sockets have closed. */
const GONE_WITHIN_MS = 1000;
const POLL_MS = 50;

async function isGone({ domain, socket, signal }: JobContext): Promise<boolean> {
  const deadline = AbortSignal.timeout(GONE_WITHIN_MS);
  try {
    return await withSignals([signal, deadline], async (either) => {
      while (await isRunning(domain, socket, { signal: either }))
        await delay(POLL_MS, undefined, { signal: either });
      return true;
    });
  } catch (error) {
    // Otherwise it is still there, or there is nobody to be asked: what is known stays what it was.
    return error instanceof HypervisorError && error.reason === 'no-domain';
  }
}

/**
 * Both in one error; `error` itself if all was cleaned up.
 *
 * @param otherwise - where `error` does not tell them itself
 */
export function withCleanupErrors(
  error: unknown,
  otherwise: { readonly phase: JobPhase; readonly signal?: AbortSignal | undefined },
  cleanupErrors: readonly Error[],
): unknown {
  if (cleanupErrors.length === 0) return error;
  const known = error instanceof BackupJobError ? error : undefined;
  const { phase, signal } = otherwise;
  const isAbort = signal?.aborted === true && error === signal.reason;
  return new BackupJobError(known?.reason ?? (isAbort ? 'aborted' : 'failed'), messageOf(error), {
    phase: known?.phase ?? phase,
    disk: known?.disk,
    cause: error,
    cleanupErrors,
  });
}
