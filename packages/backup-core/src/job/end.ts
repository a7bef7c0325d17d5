import { setTimeout as delay } from 'node:timers/promises';
import type { CallOptions, HypervisorDomain } from '../ports/domain.ts';
import type { JobFiles } from '../ports/job-files.ts';
import { messageOf } from '../words/errors.ts';
import { shown } from '../words/peer-names.ts';

const POLL_MS = 20;
/** What has not ended by then will not. */
const END_LIMIT_MS = 30_000;
/** How long an abort waits for what is usually done in a fraction of that. */
const ABORT_GRACE_MS = 200;

/** What has to go when a job ends. */
export interface JobRemains {
  /** Recognises the job: nobody else's is ever ended. */
  readonly socket: string;
  /** Also dropped, if given. */
  readonly checkpoint?: string | undefined;
}

/** For `endJob`. */
export interface EndOptions {
  /** Once it is aborted only a moment is waited for: what is still to be done then goes on by itself. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for all of it; default 30,000. */
  readonly limitMs?: number | undefined;
}

/**
 * Ends a job and waits until it is gone, then drops the checkpoint and what it left of its socket. Each step is
 * tried, whatever became of the others. Never rejects, and never takes longer than the limit.
 *
 * @returns what failed
 */
export async function endJob(
  domain: HypervisorDomain,
  files: JobFiles,
  remains: JobRemains,
  { signal, limitMs = END_LIMIT_MS }: EndOptions = {},
): Promise<readonly Error[]> {
  const ended = end(domain, files, remains, limitMs);
  if (signal === undefined) return ended;
  const settled = new AbortController();
  try {
    return await Promise.race([ended, afterAbort(domain, signal, settled.signal)]);
  } finally {
    settled.abort();
  }
}

async function end(
  domain: HypervisorDomain,
  files: JobFiles,
  { socket, checkpoint }: JobRemains,
  limitMs: number,
): Promise<readonly Error[]> {
  const deadline = AbortSignal.timeout(limitMs);
  const errors: Error[] = [];
  const attempt = async (what: string, step: (options: CallOptions) => Promise<void>): Promise<void> => {
    try {
      await step({ signal: deadline });
    } catch (error) {
      const late = deadline.aborted && error === deadline.reason;
      const message = late ? `${what}, within ${limitMs} ms` : messageOf(error);
      errors.push(error instanceof Error && !late ? error : new Error(message, { cause: error }));
    }
  };
  await attempt(`the backup job of domain ${shown(domain.name)} does not end`, (options) =>
    abortAndWait(domain, socket, options),
  );
  if (checkpoint !== undefined)
    await attempt(`checkpoint ${checkpoint} of domain ${shown(domain.name)} cannot be deleted`, (options) =>
      domain.deleteCheckpoint(checkpoint, options),
    );
  // QEMU removes it, unless it was killed. On another host there is nothing by that name here.
  await attempt(`the socket ${socket} cannot be removed`, () => files.remove(socket));
  return errors;
}

async function afterAbort(
  domain: HypervisorDomain,
  signal: AbortSignal,
  settled: AbortSignal,
): Promise<readonly Error[]> {
  if (!signal.aborted)
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true, signal: settled });
    });
  await delay(ABORT_GRACE_MS, undefined, { signal: settled }).catch(() => undefined); // it has ended: nobody waits
  return [new Error(`the backup job of domain ${shown(domain.name)} is still being ended`)];
}

async function abortAndWait(domain: HypervisorDomain, socket: string, options: CallOptions): Promise<void> {
  if (!(await isRunning(domain, socket, options))) return;
  await domain.abortJob(options);
  while (await isRunning(domain, socket, options)) await delay(POLL_MS, undefined, options as object);
}

/** Whether the domain's job is the one with that socket. */
export async function isRunning(
  domain: HypervisorDomain,
  socket: string,
  options: CallOptions = {},
): Promise<boolean> {
  return (await domain.runningJob(options))?.socket === socket;
}
