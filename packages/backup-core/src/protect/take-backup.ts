import pLimit from 'p-limit';
import { tellRepository } from '../diagnostics.ts';
import type { PlanOptions } from '../job/plan.ts';
import type { PullBackup } from '../job/pull/pull-backup.ts';
import type { PullBackupDisk } from '../job/pull/pull-backup-disk.ts';
import { commit } from '../repository/commit.ts';
import { Intent } from '../repository/intents.ts';
import { type Lease, takeLease } from '../repository/leases.ts';
import type { PackWriter } from '../repository/packs/pack-writer.ts';
import type { Point } from '../repository/point.ts';
import { type ListedPoint, placeOf, type PointListing, sealPoint } from '../repository/points.ts';
import { type Quarantine, readQuarantine } from '../repository/quarantine.ts';
import { messageOf } from '../words/errors.ts';
import { withSignals } from '../words/joined-signal.ts';
import { jobName } from '../words/names.ts';
import type { DiskName } from '../words/peer-names.ts';
import type { OnProgress } from '../words/progress.ts';
import type { Remark } from '../words/remarks.ts';
import { ulid, ulidTime } from '../words/ulid.ts';
import type { Audit } from './audit-window.ts';
import { describePoint } from './describe-point.ts';
import { endStored } from './end-stored.ts';
import {
  type EarlierCopy,
  earlierDisks,
  type History,
  likeliestBase,
  neededCheckpoints,
  newestCopies,
  readHistory,
} from './history.ts';
import { type BackupContext, giveUpJob, runNotedJob } from './noted-job.ts';
import { reapDomain } from './reap.ts';
import { type StoredCopy, storeDisk, type StoreDiskOptions } from './store-disk.ts';
import { unusualRemarks } from './unusual-disks.ts';

/** How much is read: see `TakeBackupOptions`. */
export type BackupMode = 'auto' | 'full' | 'incremental';

/** What a backup is to be like. */
export interface TakeBackupOptions extends Pick<PlanOptions, 'disks' | 'scratchDir'> {
  /**
   * `auto`, the default: reads what changed since the newest point, disk by disk, and everything of a disk where that
   * is not known, with the reason in the result. `incremental`: that is an error. `full`: reads everything. What is
   * stored is the same: whatever differs from the newest point.
   */
  readonly mode?: BackupMode | undefined;
  /**
   * How much of what a bitmap calls clean is read and compared: a share of the disk from 0 to 1, or bytes. Default: as
   * many bytes as were dirty, at least 64 MiB, at most 1 % of the disk.
   */
  readonly audit?: Audit | undefined;
  /** The NBD server may be silent for so many milliseconds while an answer is due; 0: for ever. Default 60,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** A disk whose tree began longer ago than so many milliseconds is stored anew, sharing with no earlier point. */
  readonly maxTreeAgeMs?: number | undefined;
  /** An abort is obeyed at once. What is stored by then stays, and its job has a second to end: see `remarks`. */
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes read and skipped of each disk, out of its size. */
  readonly onProgress?: OnProgress | undefined;
}

/** A backup that was taken. */
export interface BackupResult {
  /** The point, as it is stored. */
  readonly point: Point;
  /** Bytes read from the disks. */
  readonly readBytes: number;
  /** Bytes dirty since the points before, of all incremental disks, as the hypervisor counted them. */
  readonly dirtyBytes: number;
  /** Bytes of new blocks, as they are stored. */
  readonly storedBytes: number;
  /** Bytes that were read and that the point before has already. */
  readonly reusedBytes: number;
  /** Bytes that read as zeroes. */
  readonly zeroBytes: number;
  /** What went wrong, or is worth knowing. The point is stored all the same. */
  readonly remarks: readonly Remark[];
}

/** How long an abort waits for the end of a job whose point is stored, which takes a fraction of that. */
const LATE_ABORT_GRACE_MS = 1000;

/** Disks that are transferred at the same time. */
const PARALLEL_DISKS = 2;

/** A backup that is being taken. */
interface Run extends BackupContext, History {
  readonly lease: Lease;
  readonly quarantine: Quarantine;
  /** Disks that share with no earlier point, because that has gone on for too long. */
  readonly aged: ReadonlySet<DiskName>;
  readonly id: string;
  readonly options: TakeBackupOptions;
  readonly signal: AbortSignal;
}

/** Takes one backup of a domain. Whatever fails before the point is stored, the domain and the points are as before. */
export async function takeBackup(context: BackupContext, options: TakeBackupOptions): Promise<BackupResult> {
  const { repository, domain } = context;
  const { storage } = repository.store;
  const { signal: given } = options;
  const work = { kind: 'backup', domain: domain.uuid } as const;
  const lease = await takeLease(storage, repository.owners, work, { signal: given });
  let result: BackupResult;
  try {
    result = await withSignals([lease.lost, given], (signal) =>
      underBackupLease(context, options, lease, signal),
    );
  } catch (error) {
    // The first failure is the one to tell; a lease that cannot be removed now is known to be a dead one's.
    await lease.release().catch(() => undefined);
    throw error;
  }
  return { ...result, remarks: [...result.remarks, ...(await releaseStored(lease))] };
}

async function underBackupLease(
  context: BackupContext,
  options: TakeBackupOptions,
  lease: Lease,
  signal: AbortSignal,
): Promise<BackupResult> {
  const { repository, domain } = context;
  // Only now: what was listed before may be gone.
  const history = await readHistory(repository, domain.uuid, signal);
  const { listing, copies } = history;
  const { remarks, tools } = await reapDomain(context, history, signal);
  const id = ulid(listing.points.at(-1)?.point.id);
  const aged = agedDisks(copies, options.maxTreeAgeMs);
  const quarantine = await readQuarantine(repository.store, { signal });
  const run: Run = {
    ...context,
    tools,
    lease,
    ...history,
    quarantine,
    aged,
    id,
    options,
    signal,
  };
  const result = await runBackup(run);
  const damaged = damagedRemarks(listing, quarantine);
  return { ...result, remarks: [...remarks, ...damaged, ...result.remarks] };
}

/** The point is stored: a lease that cannot be given back is a remark. */
async function releaseStored(lease: Lease): Promise<readonly Remark[]> {
  try {
    await lease.release();
    return [];
  } catch (error) {
    return [{ reason: 'leftovers', message: messageOf(error), cause: error }];
  }
}

/** Disks whose trees began longer ago than they may. */
function agedDisks(
  copies: ReadonlyMap<DiskName, EarlierCopy>,
  maxTreeAgeMs: number | undefined,
): ReadonlySet<DiskName> {
  if (maxTreeAgeMs === undefined) return new Set();
  const aged = [...copies].filter(([, { disk }]) => ulidTime(disk.treeSince) < Date.now() - maxTreeAgeMs);
  return new Set(aged.map(([name]) => name));
}

async function runBackup(run: Run): Promise<BackupResult> {
  // What is stored is not given up any more: from then on an abort leaves the job time to end.
  const own = new AbortController();
  let graceMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const abort = (): void => {
    own.abort(run.signal.reason);
  };
  const follow = (): void => {
    if (graceMs === 0) abort();
    else timer = setTimeout(abort, graceMs);
  };
  if (run.signal.aborted) follow();
  run.signal.addEventListener('abort', follow, { once: true });
  const stored = (): void => {
    graceMs = LATE_ABORT_GRACE_MS;
  };
  try {
    return await backUp({ ...run, signal: own.signal }, { stored, abort: run.signal });
  } finally {
    clearTimeout(timer);
    run.signal.removeEventListener('abort', follow);
  }
}

async function backUp(
  run: Run,
  { stored, abort }: { readonly stored: () => void; readonly abort: AbortSignal },
): Promise<BackupResult> {
  const { repository, domain, copies, listing, signal } = run;
  const backup = await beginBackup(run);
  let point: Awaited<ReturnType<typeof storePoint>>;
  try {
    point = await storePoint(run, backup);
  } catch (error) {
    throw await giveUpJob(run, backup, error);
  }
  stored();
  const before = neededCheckpoints(copies).map(({ name }) => name);
  const needed = neededCheckpoints(newestCopies([...listing.points, point.listed])).map(({ name }) => name);
  const superseded = before.filter((name) => !needed.includes(name));
  const remarks = await endStored({ repository, domain, backup, superseded, signal, abort });
  return { ...countsOf(point.listed.point), remarks: [...point.remarks, ...remarks] };
}

function beginBackup(run: Run): Promise<PullBackup> {
  const { repository, copies, aged, options, signal } = run;
  const { mode = 'auto', disks, scratchDir, idleTimeoutMs } = options;
  return runNotedJob(run, {
    name: jobName(repository.id, run.id),
    earlier: earlierDisks(copies),
    tooOld: aged,
    demote: mode !== 'incremental',
    ...(mode === 'full' && { mode }),
    ...{ disks, scratchDir, idleTimeoutMs, signal },
  });
}

/** Stores what the job shows. Fulfilled: the point is there. Rejected: it is not, and nothing of it. */
async function storePoint(
  run: Run,
  backup: PullBackup,
): Promise<{ readonly listed: ListedPoint; readonly remarks: readonly Remark[] }> {
  const { repository, lease, listing, id, signal, domain } = run;
  const { store } = repository;
  const intent = new Intent(store.storage, lease.id, placeOf(domain.uuid, id));
  const packs = store.createPackWriter({ signal, announce: (name) => intent.add([name], { signal }) });
  try {
    // Asked first: reading the disks needs no hypervisor, and whether it can be reached afterwards is no matter.
    const checkpoint = await backup.checkpointFacts();
    const copies = await storeDisks(run, backup, packs);
    await packs.seal();
    signal.throwIfAborted();
    const disks = copies.map(({ disk }) => disk);
    const previous = listing.points.at(-1)?.reference ?? null;
    const point = describePoint({ id, domain, backup, checkpoint, disks, previous });
    const sealed = sealPoint(point, store.keys);
    await commit(store.storage, { lease, intent }, sealed.object, sealed.bytes, { signal });
    tellStored(repository.id, point);
    const unusual = unusualRemarks(disks, listing.points);
    return { listed: sealed, remarks: [...copies.flatMap(({ remarks }) => remarks), ...unusual] };
  } catch (error) {
    // What cannot be removed now is named in the intent: the next run does it.
    await packs.discard().catch(() => undefined);
    await intent.undo().catch(() => undefined);
    throw error;
  }
}

async function storeDisks(run: Run, backup: PullBackup, packs: PackWriter): Promise<readonly StoredCopy[]> {
  const limit = pLimit(PARALLEL_DISKS);
  // The first failure stops the others: none of them writes any more when the point is given up.
  const failure = new AbortController();
  return withSignals([run.signal, failure.signal], async (signal) => {
    const outcomes = await Promise.allSettled(
      backup.disks.map((disk) =>
        limit(async () => {
          try {
            return await storeDisk(disk, { ...diskOptions(run, disk, packs), signal });
          } catch (error) {
            failure.abort(error);
            throw error;
          }
        }),
      ),
    );
    failure.signal.throwIfAborted();
    return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  });
}

function diskOptions(
  { repository, domain, id, copies, quarantine, aged, options: { audit, onProgress } }: Run,
  disk: PullBackupDisk,
  packs: PackWriter,
): Omit<Parameters<typeof storeDisk>[1], 'signal'> {
  const onDifference: StoreDiskOptions['onDifference'] = (counts) => {
    const of = { repository: repository.id, domain: domain.uuid, disk: disk.name };
    tellRepository({ ...of, event: 'audit-difference', counts });
  };
  const common = { store: repository.store, packs, pointId: id, quarantine, audit, onProgress, onDifference };
  if (aged.has(disk.name as DiskName)) return { ...common, base: undefined };
  const base =
    disk.mode === 'incremental'
      ? copies.get(disk.name as DiskName)
      : likeliestBase(copies, { name: disk.name, image: disk.image.path });
  return { ...common, base };
}

function tellStored(repository: string, point: Point): void {
  const { point: stored, ...counts } = countsOf(point);
  const { id, domain, disks } = stored;
  tellRepository({
    event: 'point-stored',
    repository,
    domain: domain.uuid,
    point: id,
    counts: { ...counts, disks: disks.length },
  });
}

function damagedRemarks({ damaged }: PointListing, { lost }: Quarantine): readonly Remark[] {
  const messages = [
    ...damaged.map(({ name, reason }) => `the manifest ${name} is damaged: ${reason}`),
    ...lost.map(({ name, reason }) => `the record of damage ${name} cannot be read: ${reason}`),
  ];
  return messages.map((message) => ({ reason: 'earlier-damaged', message }));
}

function countsOf(point: Point): Omit<BackupResult, 'remarks'> {
  const sum = (of: (disk: Point['disks'][number]) => number): number =>
    point.disks.reduce((total, disk) => total + of(disk), 0);
  return {
    point,
    readBytes: sum((disk) => disk.readBytes),
    dirtyBytes: sum((disk) => disk.dirtyBytes ?? 0),
    storedBytes: sum((disk) => disk.storedBytes),
    reusedBytes: sum((disk) => disk.reusedBytes),
    zeroBytes: sum((disk) => disk.zeroBytes),
  };
}
