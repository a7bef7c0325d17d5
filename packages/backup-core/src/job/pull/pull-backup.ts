import { BackupJobError, type JobPhase, messageOf } from '../../words/errors.ts';
import { BASE_ALLOCATION } from '../../transfer/layout.ts';
import type { BlockSource, OpenExport } from '../../ports/block-source.ts';
import type { HypervisorDomain } from '../../ports/hypervisor-domain.ts';
import { beginJob, describePath, exportBitmapOf } from './begin.ts';
import { endJob } from '../end.ts';
import { type ExcludedDisk, type JobPlan, planJob, type PlannedDisk, type PlanOptions } from '../plan.ts';
import { PullBackupDisk } from './pull-backup-disk.ts';

export interface PullBackupOptions extends PlanOptions {
  /** Fails what is waiting with the signal's reason. Cleaning up still takes place. */
  readonly signal?: AbortSignal;
}

type State =
  | { readonly kind: 'running' }
  /** `done` is fulfilled when nothing of the job is left, rejected when something is. */
  | { readonly kind: 'ending'; readonly outcome: 'completed' | 'aborted'; readonly done: Promise<void> };

const QEMU_DIRTY_BITMAP = 'qemu:dirty-bitmap:';

/** Starts a job and connects to its disks; whatever fails, nothing of it stays. */
export async function runPullBackup(
  domain: HypervisorDomain,
  openExport: OpenExport,
  options: PullBackupOptions,
): Promise<PullBackup> {
  const { signal } = options;
  signal?.throwIfAborted();
  const plan = await planJob(domain, options);
  signal?.throwIfAborted();
  const sources: BlockSource[] = [];
  try {
    // Not given the signal: an abandoned begin would leave a job behind. An abort waits for its answer.
    await beginJob(domain, plan);
    const disks: PullBackupDisk[] = [];
    for (const disk of plan.disks) {
      signal?.throwIfAborted();
      const dirtyBitmap = disk.mode === 'full' ? undefined : QEMU_DIRTY_BITMAP + exportBitmapOf(disk);
      const source = await connectDisk(openExport, plan, disk, dirtyBitmap, signal);
      sources.push(source);
      const job = { socket: plan.socket, ...(signal && { signal }), ...(dirtyBitmap && { dirtyBitmap }) };
      disks.push(new PullBackupDisk(disk, source, job));
    }
    signal?.throwIfAborted();
    return new PullBackup(domain, plan, disks, sources);
  } catch (error) {
    for (const source of sources) source.destroy();
    throw withCleanupErrors(error, 'connect', await endJob(domain, remainsOf(plan, 'aborted')));
  }
}

/** Both in one error; `error` itself if all was cleaned up. `phase` counts where `error` tells none. */
function withCleanupErrors(error: unknown, phase: JobPhase, cleanupErrors: readonly Error[]): unknown {
  if (cleanupErrors.length === 0) return error;
  const fields = { phase, cause: error, cleanupErrors };
  if (!(error instanceof BackupJobError)) return new BackupJobError('failed', messageOf(error), fields);
  const { phase: known, disk } = error;
  const where = disk === undefined ? { phase: known } : { phase: known, disk };
  return new BackupJobError('failed', error.message, { ...fields, ...where });
}

async function connectDisk(
  openExport: OpenExport,
  plan: JobPlan,
  disk: PlannedDisk,
  dirtyBitmap: string | undefined,
  signal: AbortSignal | undefined,
): Promise<BlockSource> {
  const metaContexts = dirtyBitmap === undefined ? [BASE_ALLOCATION] : [BASE_ALLOCATION, dirtyBitmap];
  try {
    const address = { socket: plan.socket, exportName: disk.name };
    return await openExport(address, signal === undefined ? { metaContexts } : { metaContexts, signal });
  } catch (error) {
    signal?.throwIfAborted();
    const denied = isAccessDenied(error)
      ? `; we must be able to write to the socket: ${await describePath(plan.socket)}`
      : '';
    throw new BackupJobError(
      'failed',
      `cannot open disk ${disk.name} of the job: ${messageOf(error)}${denied}`,
      {
        phase: 'connect',
        disk: disk.name,
        cause: error,
      },
    );
  }
}

function isAccessDenied(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && (cause.code === 'EACCES' || cause.code === 'EPERM')) return true;
  return false;
}

function remainsOf(
  { socket, checkpoint }: JobPlan,
  outcome: 'completed' | 'aborted',
): { socket: string; checkpoint?: string } {
  return outcome === 'completed' || checkpoint === null ? { socket } : { socket, checkpoint };
}

/**
 * A running pull job: every disk as it was at one moment, for as long as the job lasts.
 *
 * Ends with `complete()`, which keeps the new checkpoint, or `abort()`, which drops it so that the parent
 * serves again. Leaving an `await using` block without `complete()` aborts.
 */
export class PullBackup implements AsyncDisposable {
  /** Base of the names of this job's scratch files and socket. */
  readonly name: string;
  /** The checkpoint created with the job: the next incremental names it. */
  readonly checkpoint: string | null;
  /** The checkpoint that incremental disks are relative to. */
  readonly parent: string | null;
  readonly disks: readonly PullBackupDisk[];
  /** The domain's other disks, each with the reason. */
  readonly excluded: readonly ExcludedDisk[];
  /** The live `<domain>` at the time of planning. */
  readonly domainXml: string;
  readonly #domain: HypervisorDomain;
  readonly #plan: JobPlan;
  readonly #sources: readonly BlockSource[];
  #state: State = { kind: 'running' };

  /** Use `startPullBackup`. */
  constructor(
    domain: HypervisorDomain,
    plan: JobPlan,
    disks: readonly PullBackupDisk[],
    sources: readonly BlockSource[],
  ) {
    this.name = plan.name;
    this.checkpoint = plan.checkpoint;
    this.parent = plan.parent;
    this.disks = disks;
    this.excluded = plan.excluded;
    this.domainXml = plan.domainXml;
    this.#domain = domain;
    this.#plan = plan;
    this.#sources = sources;
  }

  /**
   * The data is safe: ends the job and keeps the new checkpoint.
   *
   * @throws BackupJobError (phase `end`) if the job was aborted before, if it does not go away, or if the
   * checkpoint is not there afterwards
   */
  async complete(): Promise<void> {
    if (this.#state.kind === 'ending' && this.#state.outcome === 'aborted')
      throw new BackupJobError('failed', 'the backup was aborted before it was complete', { phase: 'end' });
    await this.#end('completed');
    const { checkpoint } = this;
    if (checkpoint === null) return;
    if (!(await this.#domain.checkpointNames()).includes(checkpoint))
      throw new BackupJobError('failed', `checkpoint ${checkpoint} has vanished during the backup`, {
        phase: 'end',
      });
  }

  /**
   * Gives the backup up: ends the job and drops the new checkpoint. Does nothing after `complete()`.
   *
   * @throws BackupJobError (phase `end`) if something could not be removed
   */
  async abort(): Promise<void> {
    await this.#end('aborted');
  }

  /**
   * Gives the backup up because of `error`.
   *
   * @returns what to throw: `error` itself, or if something could not be removed a BackupJobError that says
   * both, with `error` as its cause
   */
  async abortFor(error: unknown): Promise<unknown> {
    // Whoever ended it was told how that went.
    if (this.#state.kind === 'ending') return error;
    try {
      await this.abort();
      return error;
    } catch (failure) {
      const cleanupErrors = failure instanceof BackupJobError ? failure.cleanupErrors : [failure as Error];
      return withCleanupErrors(error, 'transfer', cleanupErrors);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state.kind === 'running') await this.abort();
    else await this.#state.done.catch(() => undefined); // whoever ended it was told how that went
  }

  #end(outcome: 'completed' | 'aborted'): Promise<void> {
    if (this.#state.kind === 'running') this.#state = { kind: 'ending', outcome, done: this.#close(outcome) };
    return this.#state.done;
  }

  async #close(outcome: 'completed' | 'aborted'): Promise<void> {
    // Clients go before the server does.
    if (outcome === 'completed') await Promise.allSettled(this.#sources.map((source) => source.close()));
    else for (const source of this.#sources) source.destroy();
    const cleanupErrors = await endJob(this.#domain, remainsOf(this.#plan, outcome));
    if (cleanupErrors.length === 0) return;
    const what = outcome === 'completed' ? 'ended' : 'aborted';
    throw new BackupJobError(
      'failed',
      `the backup of domain ${this.#domain.name} could not be ${what} cleanly`,
      {
        phase: 'end',
        cleanupErrors,
      },
    );
  }
}
