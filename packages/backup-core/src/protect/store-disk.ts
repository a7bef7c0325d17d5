import type { PullBackupDisk, RangeOptions } from '../job/pull/pull-backup-disk.ts';
import type { BatchSink } from '../ports/sink.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import type { PackWriter } from '../repository/packs/pack-writer.ts';
import type { StoredDisk } from '../repository/point.ts';
import type { Quarantine } from '../repository/quarantine.ts';
import type { BaseTree } from '../repository/tree/builder.ts';
import { cutTree } from '../repository/tree/cut-tree.ts';
import { DiskWriter, type WrittenDisk } from '../repository/tree/disk-writer.ts';
import type { TreeStore } from '../repository/tree/tree-store.ts';
import type { DamagedRange } from '../repository/verify/check-tree.ts';
import type { DiskReading } from '../words/disk-answers.ts';
import { DamagedError } from '../words/errors.ts';
import { type DiskName, diskName } from '../words/peer-names.ts';
import type { OnProgress } from '../words/progress.ts';
import type { Remark } from '../words/remarks.ts';
import { type Audit, auditBytes, auditWindow } from './audit-window.ts';
import type { EarlierCopy } from './history.ts';

/** What a disk is stored with. */
export interface StoreDiskOptions {
  readonly store: TreeStore;
  readonly packs: PackWriter;
  /** The point that is being made. */
  readonly pointId: string;
  /** What it shares blocks with. */
  readonly base: EarlierCopy | undefined;
  /** What must not be shared, whatever the base has. */
  readonly quarantine: Quarantine;
  readonly audit: Audit | undefined;
  /** Called when the audit finds bytes that had changed. */
  readonly onDifference?:
    ((counts: { readonly auditedBytes: number; readonly changedBytes: number }) => void) | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress | undefined;
}

/** A disk that is stored, and what there is to say about it. */
export interface StoredCopy {
  readonly disk: StoredDisk;
  readonly remarks: readonly Remark[];
}

/**
 * Stores one disk of a running job. Where it turns out that the bitmap lied, or that what the disk shares with an
 * earlier point is damaged, the disk is read as a whole within the same job.
 */
export async function storeDisk(disk: PullBackupDisk, options: StoreDiskOptions): Promise<StoredCopy> {
  const copy = new DiskCopy(disk, options);
  try {
    return await copy.take();
  } catch (error) {
    options.signal.throwIfAborted();
    // Only what is shared is read from the repository.
    if (!(error instanceof DamagedError) || options.base === undefined) throw error;
    return copy.takeAnew(error);
  }
}

class DiskCopy {
  readonly #disk: PullBackupDisk;
  readonly #options: StoreDiskOptions;
  readonly #reading: DiskReading;

  constructor(disk: PullBackupDisk, options: StoreDiskOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#reading = readingOf(disk);
  }

  async take(): Promise<StoredCopy> {
    const { base, audit } = this.#options;
    const { tree, harmed } = await this.#believedBase();
    const { size, dirtyBytes = 0 } = this.#disk;
    const start = base?.disk.nextAudit ?? 0;
    const isIncremental = this.#reading.mode === 'incremental';
    const window = auditWindow(
      start,
      isIncremental ? auditBytes(audit, { size, dirtyBytes }) : 0,
      size,
      BLOCK_SIZE,
    );
    const written = await this.#write(tree, { audit: window.ranges, doubtful: harmed });
    const { auditedBytes, changedBytes } = written.counts;
    const healed = this.#healed(harmed);
    if (changedBytes === 0)
      return {
        disk: { ...this.#describe(written, this.#reading, window.next, base), ...healed.counts },
        remarks: healed.remarks,
      };
    const message = `the bitmap of disk ${this.#disk.name} called ${changedBytes} of ${auditedBytes} audited bytes clean that had changed: the disk was read in full`;
    this.#options.onDifference?.({ auditedBytes, changedBytes });
    // What the first reading stored is not stored again: it is what the second shares with.
    await this.#options.packs.seal();
    const whole = await this.#write({ root: written.root, size }, { isWhole: true });
    const both = { root: whole.root, counts: sumOf(written, whole) };
    const described = this.#describe(
      both,
      { mode: 'full', reason: 'bitmap-wrong', message },
      window.next,
      base,
    );
    return {
      disk: { ...described, ...healed.counts },
      remarks: [...healed.remarks, { reason: 'bitmap-wrong', message, disk: this.#disk.name }],
    };
  }

  /**
   * What the base has, but for what is written down as damaged: that is zero in it, and read.
   *
   * @throws DamagedError if nothing of it can be believed
   */
  async #believedBase(): Promise<{
    readonly tree: BaseTree | undefined;
    readonly harmed: readonly DamagedRange[];
  }> {
    const { base, quarantine, store, packs, signal } = this.#options;
    if (base === undefined) return { tree: undefined, harmed: [] };
    const harmed = await quarantine.rangesOf(store, base.disk, signal);
    if (harmed.length === 0) return { tree: treeOf(base), harmed };
    const tree = await cutTree(store, treeOf(base), harmed, { packs, signal });
    // It is read while the disk is.
    await packs.seal();
    return { tree, harmed };
  }

  #healed(harmed: readonly DamagedRange[]): {
    readonly counts: Pick<StoredDisk, 'healedBytes'>;
    readonly remarks: readonly Remark[];
  } {
    if (harmed.length === 0) return { counts: {}, remarks: [] };
    const { name } = this.#disk;
    const healedBytes = harmed.reduce((sum, { length }) => sum + length, 0);
    const id = this.#options.base?.point.point.id ?? '';
    const message = `${healedBytes} bytes that point ${id} holds of disk ${name} are written down as damaged: they were read and stored anew`;
    return { counts: { healedBytes }, remarks: [{ reason: 'healed', message, disk: name }] };
  }

  async takeAnew(cause: DamagedError): Promise<StoredCopy> {
    const id = this.#options.base?.point.point.id ?? '';
    const message = `what point ${id} holds of disk ${this.#disk.name} is damaged (${cause.message}): the disk was read and stored in full`;
    const written = await this.#write(undefined, { isWhole: true });
    return {
      disk: this.#describe(written, { mode: 'full', reason: 'earlier-damaged', message }, 0, undefined),
      remarks: [{ reason: 'earlier-damaged', message, disk: this.#disk.name, cause }],
    };
  }

  async #write(
    base: BaseTree | undefined,
    ranges: Pick<RangeOptions, 'audit' | 'doubtful' | 'isWhole'>,
  ): Promise<WrittenDisk> {
    const { store, packs, signal } = this.#options;
    const writer = await DiskWriter.open(store, { packs, size: this.#disk.size, base, signal });
    const options = { ...ranges, alignment: BLOCK_SIZE, signal };
    await this.#disk.copyTo(this.#observed(writer), options);
    return writer.finish();
  }

  /** Progress is how far on the disk the copy is: batches come in about that order. */
  #observed(writer: DiskWriter): BatchSink {
    const { onProgress } = this.#options;
    if (onProgress === undefined) return writer;
    const { name, size } = this.#disk;
    let done = 0;
    return {
      takeBatch: async (batch, options) => {
        await writer.takeBatch(batch, options);
        const last = batch.ranges.at(-1);
        done = Math.max(done, last === undefined ? 0 : last.offset + last.length);
        onProgress({ phase: 'transfer', disk: name, done, total: size });
      },
    };
  }

  #describe(
    { root, counts }: WrittenDisk,
    reading: DiskReading,
    nextAudit: number,
    base: EarlierCopy | undefined,
  ): StoredDisk {
    const { name, size, image, dirtyBytes } = this.#disk;
    const freeOf = this.#options.quarantine.ids;
    return {
      ...counts,
      // The hypervisor's name went through the same check.
      name: diskName(name) as DiskName,
      size,
      image: { path: image.path, format: image.format, chain: image.chain.slice(1) },
      reading,
      ...(dirtyBytes !== undefined && { dirtyBytes }),
      root: root ?? null,
      treeSince: base === undefined ? this.#options.pointId : base.disk.treeSince,
      nextAudit,
      ...(freeOf !== undefined && { freeOf }),
    };
  }
}

function treeOf({ disk }: EarlierCopy): BaseTree {
  return { root: disk.root ?? undefined, size: disk.size };
}

function sumOf(first: WrittenDisk, second: WrittenDisk): WrittenDisk['counts'] {
  const counts = { ...second.counts };
  for (const key of Object.keys(counts) as (keyof WrittenDisk['counts'])[]) counts[key] += first.counts[key];
  return counts;
}

function readingOf({ since, reason, message }: PullBackupDisk): DiskReading {
  if (since !== undefined) return { mode: 'incremental', checkpoint: since };
  return { mode: 'full', reason: reason ?? 'asked', message: message ?? '' };
}
