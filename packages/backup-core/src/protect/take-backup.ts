import pLimit from 'p-limit';
import { BackupPlanError } from '../words/errors.ts';
import { jobName } from '../words/names.ts';
import type { PlanOptions } from '../job/plan.ts';
import { type JobTools, type PullBackup, runPullBackup } from '../job/pull/pull-backup.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import { ulid } from '../words/ulid.ts';
import type { DomainStore, PartialPoint } from '../repository/domain-store.ts';
import { lockFolder } from '../repository/lock.ts';
import type { Point, PointReference, StoredDisk } from '../repository/manifest.ts';
import { reconcileDomain } from './reconcile.ts';
import { type BackupProgress, storeDisk } from '../repository/store-disk.ts';

const MODES = ['auto', 'full', 'incremental'] as const;

/** How much is read: see `TakeBackupOptions`. */
export type BackupMode = (typeof MODES)[number];

export interface TakeBackupOptions extends Pick<PlanOptions, 'disks' | 'scratchDir'> {
  /**
   * `incremental`: an error where it is not possible. `auto`, the default: incremental where there is a
   * parent, in full otherwise, disk by disk, with the reason in the result.
   */
  readonly mode?: BackupMode;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BackupProgress) => void;
}

/** A backup that was taken. */
export interface BackupResult {
  readonly point: Point;
  /** Bytes read from the job's server. */
  readonly readBytes: number;
  /** Bytes dirty since the parent, of all incremental disks, as the hypervisor counted them before. */
  readonly dirtyBytes: number;
  /** Why the superseded checkpoint could not be removed; the next backup tries again. Usually empty. */
  readonly cleanupErrors: readonly Error[];
}

/** Disks that are transferred at the same time. */
const PARALLEL_DISKS = 2;

interface Newest {
  readonly head: PointReference;
  readonly point: Point;
}

type Decision =
  | { readonly mode: 'full'; readonly reason: string }
  | { readonly mode: 'incremental'; readonly parent: Newest };

interface Context {
  readonly store: DomainStore;
  /** The repository's id, part of the names of its jobs and checkpoints. */
  readonly owner: string;
  readonly domain: HypervisorDomain;
  readonly tools: JobTools;
}

/** Takes one backup of a domain into its folder. */
export async function takeBackup(context: Context, options: TakeBackupOptions): Promise<BackupResult> {
  const { store, owner, domain } = context;
  const mode = checkedMode(options.mode ?? 'auto');
  await using lock = await lockFolder(store.path);
  const signal = options.signal === undefined ? lock.lost : AbortSignal.any([lock.lost, options.signal]);
  const newest = await store.head();
  await reconcileDomain(domain, owner, newest?.point.checkpoint, context.tools.files, { signal });
  await store.removeUnreachable();
  const decision = await decide(domain, newest, mode, signal);
  const id = ulid(newest?.point.id);
  const backup = await runPullBackup(domain, context.tools, {
    name: jobName(owner, id),
    ...(options.disks && { disks: options.disks }),
    ...(options.scratchDir !== undefined && { scratchDir: options.scratchDir }),
    ...(decision.mode === 'incremental' && { incremental: decision.parent.point.checkpoint }),
    demote: mode !== 'incremental',
    signal,
  });
  let point: Point;
  try {
    point = await storePoint(store, id, async (partial) => {
      const disks = await storeDisks(backup, partial, { ...options, signal });
      signal.throwIfAborted();
      return describePoint({ id, domain, backup, decision, previous: newest?.head ?? null, disks });
    });
    await backup.complete();
  } catch (error) {
    // Once the head names the point its checkpoint stays, whatever became of making that durable: the next
    // backup keeps the one that the head then names.
    const isHead = (await store.head().catch(() => undefined))?.head.id === id;
    if (isHead) await backup.complete().catch(() => undefined);
    throw await backup.abortFor(error);
  }
  // Only now: until the new point is durable, the parent's checkpoint is what the next attempt starts from.
  const cleanupErrors = newest === undefined ? [] : await deleteSuperseded(domain, newest.point.checkpoint);
  const sum = (of: (disk: PullBackup['disks'][number]) => number): number =>
    backup.disks.reduce((total, disk) => total + of(disk), 0);
  return {
    point,
    readBytes: sum((disk) => disk.readBytesRequested),
    dirtyBytes: sum((disk) => disk.dirtyBytes ?? 0),
    cleanupErrors,
  };
}

/** @returns what failed: the point is safe all the same */
async function deleteSuperseded(domain: HypervisorDomain, checkpoint: string): Promise<readonly Error[]> {
  try {
    await domain.deleteCheckpoint(checkpoint);
    return [];
  } catch (error) {
    return [error instanceof Error ? error : new Error(String(error))];
  }
}

function checkedMode(mode: string): BackupMode {
  const known = MODES.find((each) => each === mode);
  if (known === undefined)
    throw new BackupPlanError(
      'no-incremental',
      `the mode is ${JSON.stringify(mode)}, none of ${MODES.join(', ')}`,
    );
  return known;
}

/** Commits what `fill` writes and describes; if that fails, nothing of it stays. */
async function storePoint(
  store: DomainStore,
  id: string,
  fill: (partial: PartialPoint) => Promise<Point>,
): Promise<Point> {
  const partial = await store.createPartial(id);
  try {
    const point = await fill(partial);
    await store.commit(partial, point);
    return point;
  } catch (error) {
    await store.discard(partial);
    throw error;
  }
}

async function decide(
  domain: HypervisorDomain,
  newest: Newest | undefined,
  mode: BackupMode,
  signal: AbortSignal,
): Promise<Decision> {
  if (mode === 'full') return { mode, reason: 'asked for' };
  if (newest === undefined) {
    const reason = `the repository has no point of domain ${domain.name} yet`;
    if (mode === 'incremental')
      throw new BackupPlanError('no-incremental', `no incremental backup: ${reason}`);
    return { mode: 'full', reason };
  }
  const { checkpoint } = newest.point;
  const exists = (await domain.checkpoint(checkpoint, { signal })) !== null;
  if (exists) return { mode: 'incremental', parent: newest };
  const reason = `domain ${domain.name} has no checkpoint ${checkpoint}, that of the newest point`;
  if (mode === 'incremental') throw new BackupPlanError('no-incremental', `no incremental backup: ${reason}`);
  return { mode: 'full', reason };
}

async function storeDisks(
  backup: PullBackup,
  partial: PartialPoint,
  options: { readonly signal: AbortSignal; readonly onProgress?: (progress: BackupProgress) => void },
): Promise<StoredDisk[]> {
  const limit = pLimit(PARALLEL_DISKS);
  // The first failure stops the others: none of them writes any more when the point is removed.
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const outcomes = await Promise.allSettled(
    backup.disks.map((disk) =>
      limit(async () => {
        try {
          return await storeDisk(disk, partial, { ...options, signal });
        } catch (error) {
          failure.abort(error);
          throw error;
        }
      }),
    ),
  );
  failure.signal.throwIfAborted();
  return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
}

function describePoint(taken: {
  readonly id: string;
  readonly domain: HypervisorDomain;
  readonly backup: PullBackup;
  readonly decision: Decision;
  readonly previous: PointReference | null;
  readonly disks: readonly StoredDisk[];
}): Point {
  const { id, domain, backup, decision, previous, disks } = taken;
  const isIncremental = disks.some((disk) => disk.mode === 'incremental');
  const parent = decision.mode === 'incremental' && isIncremental ? decision.parent.head : null;
  const demoted = disks
    .map((disk) => (decision.mode === 'full' ? undefined : disk.demoted))
    .filter((reason) => reason !== undefined);
  const reason = decision.mode === 'full' ? decision.reason : demoted.join('; ');
  return {
    id,
    createdAt: new Date().toISOString(),
    mode: isIncremental ? 'incremental' : 'full',
    domain: { name: domain.name, uuid: domain.uuid },
    checkpoint: backup.checkpoint ?? '',
    ...(reason !== '' && { reason }),
    parent,
    previous,
    disks,
    excluded: backup.excluded,
    domainXml: backup.facts.definition.live,
  };
}
