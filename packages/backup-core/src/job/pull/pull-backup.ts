import { tellJob } from '../../diagnostics.ts';
import type { BlockSource, OpenExport } from '../../ports/block-source.ts';
import type { CheckpointFacts, DomainFacts, HypervisorDomain } from '../../ports/domain.ts';
import type { JobFiles } from '../../ports/job-files.ts';
import { BASE_ALLOCATION } from '../../transfer/layout.ts';
import { checkOptions, oneOf } from '../../words/check-options.ts';
import type { ExcludedDisk } from '../../words/disk-answers.ts';
import { BackupJobError } from '../../words/errors.ts';
import { endJob } from '../end.ts';
import { jobFailure, withCleanupErrors } from '../failure.ts';
import { gatherFacts, type Survey } from '../gather.ts';
import {
  type BegunJob,
  begunJob,
  committedJob,
  endedJob,
  type JobRecord,
  type PlannedJob,
  plannedJob,
  type TransferringJob,
  transferringJob,
} from '../job-record.ts';
import { type JobPlan, planJob, type PlannedDisk, type PlanOptions } from '../plan.ts';
import { beginJob } from './begin.ts';
import { type DiskJob, dirtyContextOf, PullBackupDisk } from './pull-backup-disk.ts';

/** What a pull backup is to be like. */
export interface PullBackupOptions extends PlanOptions {
  /** The NBD server may be silent for so many milliseconds while an answer is due; 0: for ever. Default 60,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Fails what is waiting with the signal's reason. Cleaning up still takes place. */
  readonly signal?: AbortSignal | undefined;
}

/** For `PullBackup.complete`. */
export interface CompleteOptions {
  /** `accept`: it is fine that not everything was read, or that somebody else read it. Default: an error. */
  readonly unread?: 'accept' | undefined;
}

/** What a job is done with, besides a hypervisor. */
export interface JobTools {
  readonly openExport: OpenExport;
  readonly files: JobFiles;
  /** Told what is about to begin, and waited for: what it writes down survives a crash. */
  readonly note?: ((planned: PlannedJob) => Promise<void>) | undefined;
  /** What the domain is like, where that was looked at just now. */
  readonly survey?: Survey | undefined;
}

/** A job in being. */
interface Job {
  readonly domain: HypervisorDomain;
  readonly tools: JobTools;
  readonly plan: JobPlan;
  readonly facts: DomainFacts;
  readonly signal: AbortSignal | undefined;
  readonly idleTimeoutMs: number | undefined;
}

/** Starts a job and connects to its disks; whatever fails, nothing of it stays. */
export async function runPullBackup(
  domain: HypervisorDomain,
  tools: JobTools,
  options: PullBackupOptions,
): Promise<PullBackup> {
  const { signal, idleTimeoutMs, ...wanted } = options;
  signal?.throwIfAborted();
  const input = await gatherFacts(domain, wanted, signal, tools.survey);
  signal?.throwIfAborted();
  const first = planJob(input, wanted);
  const planned = plannedJob(first, domain);
  tellJob(planned);
  try {
    await tools.note?.(planned);
    signal?.throwIfAborted();
  } catch (error) {
    tellJob(endedJob(planned, []));
    throw error;
  }
  let job: Job = { domain, tools, plan: first, facts: input.facts, signal, idleTimeoutMs };
  let record: BegunJob = begunJob(planned);
  try {
    // Not given the signal: an abandoned begin would leave a job behind. An abort waits for its answer.
    const plan = await beginJob(domain, tools.files, input, wanted, first);
    job = { ...job, plan };
    record = begunJob(plannedJob(plan, domain, new Date(planned.plannedAt)));
    tellJob(record);
    const disks = await connectDisks(job);
    return new PullBackup(job, transferringJob(record), disks);
  } catch (error) {
    const left = await endJob(domain, tools.files, remainsAfter(error, job.plan), { signal });
    tellJob(endedJob(record, left));
    throw withCleanupErrors(error, { phase: 'connect', signal }, left);
  }
}

/** A begin that was refused has created no checkpoint: one that has its name is somebody else's, or of that name. */
function remainsAfter(error: unknown, plan: JobPlan): { socket: string; checkpoint: string | undefined } {
  const { socket, checkpoint, name } = plan;
  const isRefused =
    error instanceof BackupJobError &&
    error.phase === 'begin' &&
    error.reason !== 'connection-lost' &&
    error.reason !== 'timeout';
  return { socket, checkpoint: isRefused && checkpoint !== name ? undefined : (checkpoint ?? undefined) };
}

interface ConnectedDisk {
  readonly disk: PullBackupDisk;
  readonly source: BlockSource;
}

/** All at once: a server that waits in the middle of a handshake keeps the hypervisor from ending the job. */
async function connectDisks(job: Job): Promise<readonly ConnectedDisk[]> {
  job.signal?.throwIfAborted();
  const outcomes = await Promise.allSettled(job.plan.disks.map((disk) => connectDisk(job, disk)));
  const connected = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined && job.signal?.aborted !== true) return connected;
  for (const { source } of connected) source.destroy();
  job.signal?.throwIfAborted();
  throw failed?.reason;
}

async function connectDisk(job: Job, disk: PlannedDisk): Promise<ConnectedDisk> {
  const { domain, tools, plan, signal, idleTimeoutMs } = job;
  const dirtyContext = dirtyContextOf(disk);
  const metaContexts = dirtyContext === undefined ? [BASE_ALLOCATION] : [BASE_ALLOCATION, dirtyContext];
  const context = { domain, socket: plan.socket, signal };
  let source: BlockSource;
  try {
    const address = { socket: plan.socket, exportName: disk.exportName };
    source = await tools.openExport(address, { metaContexts, idleTimeoutMs, signal });
  } catch (error) {
    const what = `disk ${disk.name} of the job cannot be opened`;
    const failure = await jobFailure(error, { ...context, phase: 'connect', disk: disk.name, what });
    throw failure instanceof BackupJobError && failure.reason === 'denied'
      ? await withSocket(failure, tools.files, plan.socket)
      : failure;
  }
  const diskJob: DiskJob = {
    name: plan.name,
    socket: plan.socket,
    signal,
    failure: (error, name, reading) => {
      const what = `reading disk ${name} failed`;
      return jobFailure(error, { ...context, signal: reading, phase: 'transfer', disk: name, what });
    },
  };
  return { source, disk: new PullBackupDisk(disk, source, diskJob) };
}

async function withSocket(failure: BackupJobError, files: JobFiles, socket: string): Promise<BackupJobError> {
  const { phase, disk, cause } = failure;
  const message = `${failure.message}; we must be able to write to the socket: ${await files.describe(socket)}`;
  return new BackupJobError('denied', message, { phase, disk, cause });
}

/**
 * A running pull job: every disk as it was at one moment, for as long as the job lasts.
 *
 * Ends with `complete()`, which keeps the new checkpoint, or `abort()`, which drops it so that the earlier one serves
 * again. Leaving an `await using` block without `complete()` aborts.
 */
export class PullBackup implements AsyncDisposable {
  /** Base of the names of this job's scratch files and socket. */
  readonly name: string;
  /** The checkpoint created with the job: the next incremental names it. */
  readonly checkpoint: string | null;
  /** The disks that the job serves, in the order of the domain's definition. */
  readonly disks: readonly PullBackupDisk[];
  /** The domain's other disks, each with the reason. */
  readonly excluded: readonly ExcludedDisk[];
  /** The domain as it was when the job was planned. */
  readonly facts: DomainFacts;
  readonly #job: Job;
  readonly #sources: readonly BlockSource[];
  #record: JobRecord;
  /** Fulfilled with what could not be removed. */
  #ending: Promise<readonly Error[]> | undefined;

  /** Use `startPullBackup`. */
  constructor(job: Job, record: TransferringJob, connected: readonly ConnectedDisk[]) {
    this.name = job.plan.name;
    this.checkpoint = job.plan.checkpoint;
    this.disks = connected.map(({ disk }) => disk);
    this.excluded = job.plan.excluded;
    this.facts = job.facts;
    this.#job = job;
    this.#sources = connected.map(({ source }) => source);
    this.#record = record;
    tellJob(record);
  }

  /** Where the job is in its life, as a value that survives JSON. */
  get record(): JobRecord {
    return this.#record;
  }

  /**
   * What the hypervisor knows of the new checkpoint; null: there is none, or it is gone already.
   *
   * @throws BackupJobError (phase `transfer`), or the signal's reason
   */
  async checkpointFacts(): Promise<CheckpointFacts | null> {
    const { domain, plan, signal } = this.#job;
    if (plan.checkpoint === null) return null;
    try {
      return await domain.checkpoint(plan.checkpoint, { signal });
    } catch (error) {
      const what = `the checkpoint ${plan.checkpoint} of the job cannot be read`;
      throw await jobFailure(error, { domain, socket: plan.socket, phase: 'transfer', what, signal });
    }
  }

  /**
   * The data is safe: ends the job and keeps the new checkpoint. May be called again after `incomplete`, and then
   * tells the same as before.
   *
   * @throws BackupUsageError; BackupJobError (phase `end`): `incomplete`, nothing was done; `aborted`, it had been
   * given up before; `left-behind`, the data is safe and the checkpoint kept, see `cleanupErrors`; `checkpoint-lost`,
   * the data is safe and the next backup cannot build on it
   */
  async complete(options: CompleteOptions = {}): Promise<void> {
    checkOptions('complete', options, { unread: oneOf('accept') });
    if (this.#record.state === 'transferring') this.#commit(options);
    if (this.#record.state === 'ended' && this.#record.outcome === 'aborted')
      throw this.#failure('aborted', 'was aborted before it was complete');
    const cleanupErrors = await this.#end();
    if (cleanupErrors.length > 0)
      throw this.#failure(
        'left-behind',
        'is complete, but its job could not be ended cleanly',
        cleanupErrors,
      );
    if (await this.#isCheckpointLost())
      throw this.#failure(
        'checkpoint-lost',
        `is complete, but its checkpoint ${this.checkpoint ?? ''} has vanished`,
      );
  }

  /**
   * Gives the backup up: ends the job and drops the new checkpoint. Does nothing after `complete()`.
   *
   * @throws BackupJobError (phase `end`, `left-behind`) if something could not be removed
   */
  async abort(): Promise<void> {
    const cleanupErrors = await this.#end();
    if (cleanupErrors.length > 0 && this.#isAborted)
      throw this.#failure('left-behind', 'could not be aborted cleanly', cleanupErrors);
  }

  /**
   * Gives the backup up because of `error`.
   *
   * @returns what to throw: `error` itself, or if something could not be removed a BackupJobError that says
   * both, with `error` as its cause
   */
  async abortFor(error: unknown): Promise<unknown> {
    // Whoever ended it was told how that went.
    if (this.#ending !== undefined) return error;
    return withCleanupErrors(error, { phase: 'transfer', signal: this.#job.signal }, await this.#end());
  }

  /** Aborts, unless it has ended. @throws as `abort` */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ending === undefined) await this.abort();
    else await this.#ending; // whoever ended it was told how that went
  }

  get #isAborted(): boolean {
    return this.#record.state === 'ended' && this.#record.outcome === 'aborted';
  }

  #commit({ unread }: CompleteOptions): void {
    const left = this.disks.filter((disk) => !disk.isRead).map((disk) => disk.name);
    if (left.length > 0 && unread !== 'accept')
      throw this.#failure('incomplete', `is not complete: ${left.join(', ')} not read to the end`);
    if (this.#record.state === 'transferring') this.#become(committedJob(this.#record));
  }

  #end(): Promise<readonly Error[]> {
    return (this.#ending ??= this.#close());
  }

  async #close(): Promise<readonly Error[]> {
    const { domain, tools, plan, signal } = this.#job;
    const isCommitted = this.#record.state === 'committed';
    // Clients go before the server does, and never wait for it.
    for (const source of this.#sources) source.destroy();
    const checkpoint = isCommitted ? undefined : (plan.checkpoint ?? undefined);
    const left = await endJob(domain, tools.files, { socket: plan.socket, checkpoint }, { signal });
    if (this.#record.state !== 'ended') this.#become(endedJob(this.#record, left));
    return left;
  }

  async #isCheckpointLost(): Promise<boolean> {
    const { checkpoint } = this;
    if (checkpoint === null) return false;
    const { domain, signal } = this.#job;
    try {
      return (await domain.checkpoint(checkpoint, { signal })) === null;
    } catch (error) {
      const cleanupErrors = [error instanceof Error ? error : new Error(String(error))];
      throw this.#failure('left-behind', 'is complete, but its checkpoint cannot be checked', cleanupErrors);
    }
  }

  #become(record: JobRecord): void {
    this.#record = record;
    tellJob(record);
  }

  #failure(
    reason: 'incomplete' | 'aborted' | 'left-behind' | 'checkpoint-lost',
    what: string,
    cleanupErrors: readonly Error[] = [],
  ): BackupJobError {
    const message = `the backup of domain ${this.#job.domain.name} ${what}`;
    return new BackupJobError(reason, message, { phase: 'end', cleanupErrors });
  }
}
