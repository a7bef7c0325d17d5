import type { PlanOptions } from '../job/plan.ts';
import type { PullBackup } from '../job/pull/pull-backup.ts';
import type { PullBackupDisk } from '../job/pull/pull-backup-disk.ts';
import type { BatchSink, SinkBatch } from '../ports/sink.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import { DiskReader } from '../repository/tree/disk-reader.ts';
import { underLease } from '../repository/under-lease.ts';
import type { DamagedRange } from '../repository/verify/check-tree.ts';
import { joinedRanges } from '../transfer/joined-ranges.ts';
import type { ByteRange } from '../transfer/layout.ts';
import type { ExcludedDisk } from '../words/disk-answers.ts';
import { DamagedError, NotFoundError } from '../words/errors.ts';
import { jobName } from '../words/names.ts';
import type { DiskName } from '../words/peer-names.ts';
import type { OnProgress } from '../words/progress.ts';
import type { Remark } from '../words/remarks.ts';
import { ulid } from '../words/ulid.ts';
import { auditWindow } from './audit-window.ts';
import { type EarlierCopy, earlierDisks, readHistory } from './history.ts';
import { forgetJob } from './job-notes.ts';
import { type BackupContext, giveUpJob, runNotedJob } from './noted-job.ts';
import { reapDomain } from './reap.ts';

/** What of a domain is compared with its newest point. */
export interface VerifyLiveOptions extends Pick<PlanOptions, 'disks' | 'scratchDir'> {
  /** Of each disk: a window of that share, which begins anywhere. Default 1: all of it. */
  readonly share?: number | undefined;
  /** The NBD server may be silent for so many milliseconds while an answer is due; 0: for ever. Default 60,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** An abort is obeyed at once. */
  readonly signal?: AbortSignal | undefined;
  /** Told how far on each disk it is, out of its size. */
  readonly onProgress?: OnProgress | undefined;
}

/** A disk that was compared, or why it was not. */
export interface LiveDisk {
  readonly name: DiskName;
  /** The newest point that has it; null: there is none. */
  readonly point: string | null;
  /**
   * `whole`: all that was compared is as stored; `different`: some of it is not, so the bitmap lies, or the point does;
   * `damaged`: what the point has cannot be read; `skipped`: what changed since the point is not known.
   */
  readonly state: 'whole' | 'different' | 'damaged' | 'skipped';
  /** Bytes that were read and compared, or read as zeroes. */
  readonly comparedBytes: number;
  /** What is different, in order. */
  readonly ranges: readonly DamagedRange[];
  /** Why it was skipped, or what is damaged. */
  readonly message?: string | undefined;
}

/** What came of comparing a domain with its newest point. */
export interface LiveReport {
  /** Whether something was compared, and nothing of it is different or damaged. */
  readonly isWhole: boolean;
  /** The domain that was read. */
  readonly domain: { readonly name: string; readonly uuid: string };
  /** The disks that the job had, in the order of the domain's definition. */
  readonly disks: readonly LiveDisk[];
  /** The domain's other disks. */
  readonly excluded: readonly ExcludedDisk[];
  /** What a crash had left on the domain, and what became of it. */
  readonly remarks: readonly Remark[];
}

/**
 * Compares what a domain shows now with its newest point, but for what changed since as far as the bitmaps know.
 *
 * It has the lease of a backup of the domain: neither ends the other's job, and what a crash of it leaves is found.
 */
export function verifyLive(context: BackupContext, options: VerifyLiveOptions): Promise<LiveReport> {
  const { repository, domain } = context;
  const { store, owners } = repository;
  const work = { kind: 'backup', domain: domain.uuid } as const;
  return underLease(store.storage, owners, work, { signal: options.signal }, async (_, signal) => {
    const history = await readHistory(repository, domain.uuid, signal);
    const last = history.listing.points.at(-1);
    if (last === undefined)
      throw new NotFoundError('point', `${store.storage.description} has no point of domain ${domain.name}`);
    const { remarks, tools } = await reapDomain(context, history, signal);
    const name = jobName(repository.id, ulid(last.point.id));
    const report = await compareDomain({ ...context, tools }, history.copies, { ...options, signal, name });
    return { ...report, remarks };
  });
}

type Run = VerifyLiveOptions & { readonly signal: AbortSignal };

async function compareDomain(
  context: BackupContext,
  copies: ReadonlyMap<DiskName, EarlierCopy>,
  { name, ...run }: Run & { readonly name: string },
): Promise<Omit<LiveReport, 'remarks'>> {
  const { disks, scratchDir, idleTimeoutMs, signal } = run;
  const earlier = new Map(earlierDisks(copies));
  const wanted = { disks, scratchDir, idleTimeoutMs, signal, name };
  const backup = await runNotedJob(context, { ...wanted, earlier, demote: true, checkpoint: null });
  let compared: readonly LiveDisk[];
  try {
    compared = await compareDisks(context, backup, copies, run);
  } catch (error) {
    throw await giveUpJob(context, backup, error);
  }
  await backup.complete({ unread: 'accept' });
  await forgetJob(context.repository, name);
  const { domain } = context;
  return {
    isWhole:
      compared.some(({ state }) => state === 'whole') &&
      compared.every(({ state }) => state === 'whole' || state === 'skipped'),
    domain: { name: domain.name, uuid: domain.uuid },
    disks: compared,
    excluded: backup.excluded,
  };
}

async function compareDisks(
  { repository: { store } }: BackupContext,
  backup: PullBackup,
  copies: ReadonlyMap<DiskName, EarlierCopy>,
  run: Run,
): Promise<readonly LiveDisk[]> {
  const compared: LiveDisk[] = [];
  for (const disk of backup.disks) {
    const name = disk.name as DiskName;
    const copy = copies.get(name);
    const described = { name, point: copy?.point.point.id ?? null };
    if (copy === undefined || disk.mode === 'full') {
      compared.push({ ...described, state: 'skipped', comparedBytes: 0, ranges: [], message: disk.message });
      continue;
    }
    const { root, size } = copy.disk;
    const comparison = new Comparison(new DiskReader(store, { root: root ?? undefined, size }), disk, run);
    compared.push({ ...described, ...(await comparison.run(copy.point.point.id)) });
  }
  return compared;
}

/** Takes what a disk shows and keeps what is not what a point has there. */
class Comparison implements BatchSink {
  readonly #stored: DiskReader;
  readonly #disk: PullBackupDisk;
  readonly #run: Run;
  readonly #different: ByteRange[] = [];
  #comparedBytes = 0;
  #reached = 0;

  constructor(stored: DiskReader, disk: PullBackupDisk, run: Run) {
    this.#stored = stored;
    this.#disk = disk;
    this.#run = run;
  }

  async run(point: string): Promise<Omit<LiveDisk, 'name' | 'point'>> {
    const { share = 1, signal } = this.#run;
    const { size } = this.#disk;
    const start = share < 1 ? Math.floor(Math.random() * size) : 0;
    const { ranges: audit } = auditWindow(start, share * size, size, BLOCK_SIZE);
    try {
      await this.#disk.copyTo(this, { alignment: BLOCK_SIZE, audit, auditOnly: true, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DamagedError)) throw error;
      return { state: 'damaged', comparedBytes: this.#comparedBytes, ranges: [], message: error.message };
    }
    const reason = `the bitmap says that nothing changed since point ${point}, and this is not what the point has`;
    const ranges = joinedRanges(this.#different.map((range) => ({ ...range, reason })));
    const state = ranges.length === 0 ? 'whole' : 'different';
    return { state, comparedBytes: this.#comparedBytes, ranges };
  }

  async takeBatch({ ranges, buffer }: SinkBatch): Promise<void> {
    const { signal, onProgress } = this.#run;
    const read = ranges.filter(({ type }) => type !== 'zero');
    if (read.length > 0)
      this.#different.push(
        ...(await this.#stored.differences(read, buffer.buffer as unknown as SharedArrayBuffer, { signal })),
      );
    for (const range of ranges)
      if (range.type === 'zero') this.#different.push(...(await this.#stored.storedIn(range, { signal })));
    for (const { length } of ranges) this.#comparedBytes += length;
    const last = ranges.at(-1);
    const { name, size } = this.#disk;
    // Batches come in about the order of the disk.
    this.#reached = Math.max(this.#reached, last === undefined ? 0 : last.offset + last.length);
    onProgress?.({ phase: 'verify', disk: name, done: this.#reached, total: size });
  }
}
