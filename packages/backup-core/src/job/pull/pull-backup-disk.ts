import {
  abortSignal,
  checkOptions,
  positiveInteger,
  rangesInOrder,
  someFunction,
  someRanges,
  trueOrFalse,
} from '../../words/check-options.ts';
import type { FullReason } from '../../words/disk-answers.ts';
import { type Chunk, type ChunkOptions, readChunks } from '../../transfer/chunks.ts';
import { copyRanges, type CopyOptions, type CopyProgress } from '../../transfer/copy.ts';
import { type ByteRange, layout, type LayoutRange } from '../../transfer/layout.ts';
import { WINDOW_OPTIONS } from '../../transfer/window.ts';
import type { BlockSource } from '../../ports/block-source.ts';
import type { BatchSink, Sink } from '../../ports/sink.ts';
import { traceDisk } from '../../diagnostics.ts';
import type { PlannedDisk } from '../plan.ts';
import { beyondSmallest } from '../trust.ts';

/** For `PullBackupDisk.ranges`. */
export interface RangeOptions {
  /** Cuts the disk into blocks of so many bytes, which are taken whole or not at all; default 1. */
  readonly alignment?: number | undefined;
  /** Of an incremental, clean ranges that are read all the same, in order. */
  readonly audit?: readonly ByteRange[] | undefined;
  /** Of an incremental, nothing but what is clean within the ranges to audit: data as `audit`, and zeroes. */
  readonly auditOnly?: boolean | undefined;
  /** Of an incremental, ranges that are taken for dirty, whatever the bitmap says. */
  readonly doubtful?: readonly ByteRange[] | undefined;
  /** Everything, whatever the bitmap of an incremental says. */
  readonly isWhole?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a disk needs to know of its job. */
export interface DiskJob {
  readonly name: string;
  /** Path of the socket, on the hypervisor. */
  readonly socket: string;
  readonly signal?: AbortSignal | undefined;
  /** What a failure means. */
  readonly failure: (error: unknown, disk: string, signal: AbortSignal | undefined) => Promise<unknown>;
}

const QEMU_DIRTY_BITMAP = 'qemu:dirty-bitmap:';

/** The metadata context of the job's dirty bitmap of a disk, if it has one. */
export function dirtyContextOf({ exportBitmap }: PlannedDisk): string | undefined {
  return exportBitmap === undefined ? undefined : QEMU_DIRTY_BITMAP + exportBitmap;
}

const RANGE_OPTIONS = {
  alignment: positiveInteger,
  audit: rangesInOrder,
  auditOnly: trueOrFalse,
  doubtful: someRanges,
  isWhole: trueOrFalse,
  signal: abortSignal,
};
const COPY_OPTIONS = { ...RANGE_OPTIONS, ...WINDOW_OPTIONS, onProgress: someFunction };

/** One disk of a running job: its content at the moment the job began. */
export class PullBackupDisk {
  /** `<target dev>`, such as `vda`. */
  readonly name: string;
  /** Whether all of it is to be read, or what changed since `since`. */
  readonly mode: 'incremental' | 'full';
  /** Why it is read in full. */
  readonly reason: FullReason | undefined;
  /** The reason as a sentence. */
  readonly message: string | undefined;
  /** The checkpoint that an incremental is relative to. */
  readonly since: string | undefined;
  /** Bytes dirty since, as far as the hypervisor said before the job began. */
  readonly dirtyBytes: number | undefined;
  /** Bytes. */
  readonly size: number;
  /** The image in use with its format, and all that back it, as the hypervisor names them. */
  readonly image: PlannedDisk['image'];
  /** The image is encrypted, and what is read here is not. */
  readonly isEncrypted: boolean;
  /** Whether the job's checkpoint has a bitmap on it. */
  readonly isTracked: boolean;
  /** Where any NBD client can read this disk until the job ends. */
  readonly nbdUri: string;
  readonly #plan: PlannedDisk;
  readonly #source: BlockSource;
  readonly #job: DiskJob;
  #isRead = false;

  constructor(plan: PlannedDisk, source: BlockSource, job: DiskJob) {
    const { reading } = plan;
    this.name = plan.name;
    this.mode = reading.mode;
    this.reason = reading.mode === 'full' ? reading.reason : undefined;
    this.message = reading.mode === 'full' ? reading.message : undefined;
    this.since = reading.mode === 'full' ? undefined : reading.checkpoint;
    this.dirtyBytes = plan.dirtyBytes;
    this.size = source.exportSize;
    this.image = plan.image;
    this.isEncrypted = plan.isEncrypted;
    this.isTracked = plan.isTracked;
    this.nbdUri = `nbd+unix:///${encodeURIComponent(plan.exportName)}?socket=${encodeURIComponent(job.socket)}`;
    this.#plan = plan;
    this.#source = source;
    this.#job = job;
  }

  /** Sum of the lengths of all READ requests sent for this disk. */
  get readBytesRequested(): number {
    return this.#source.statistics.readBytesRequested;
  }

  /** Whether its `ranges()`, `chunks()` or `copyTo()` came to their end, once at least. */
  get isRead(): boolean {
    return this.#isRead;
  }

  /**
   * What has to be stored, in order and without reading it: of a full everything, as data or zeroes; of an
   * incremental the dirty ranges, those that are doubtful, and all that reads as zeroes.
   *
   * @throws BackupJobError (phase `transfer`), BackupUsageError, or the signal's reason
   */
  async *ranges(options: RangeOptions = {}): AsyncGenerator<LayoutRange, void, undefined> {
    checkOptions('ranges', options, RANGE_OPTIONS);
    yield* this.#reading(options.signal, (signal) => this.#layout({ ...options, signal }));
  }

  /**
   * The content of `ranges()`, read ahead within a bound, in order.
   *
   * @throws as `ranges`
   */
  async *chunks(options: ChunkOptions = {}): AsyncGenerator<Chunk, void, undefined> {
    checkOptions('chunks', options, WINDOW_OPTIONS);
    yield* this.#reading(options.signal, (signal) =>
      readChunks(this.#source, this.#layout({ signal }), { ...options, signal }),
    );
  }

  /**
   * Copies the content of `ranges()` into a sink, in no particular order: faster than `chunks()`. Neither finishes
   * nor discards the sink. After an abort the disk cannot be read any more.
   *
   * @throws as `ranges`; what the sink fails with is the cause, unless it is an error of this package
   */
  async copyTo(sink: Sink | BatchSink, options: CopyOptions & RangeOptions = {}): Promise<CopyProgress> {
    checkOptions('copyTo', options, COPY_OPTIONS);
    const { alignment, audit, auditOnly, doubtful, isWhole, ...copy } = options;
    const signal = options.signal ?? this.#job.signal;
    const outcome = this.#begin(signal);
    try {
      const ranges = this.#layout({ alignment, audit, auditOnly, doubtful, isWhole, signal });
      const copied = await copyRanges([this.#source], ranges, sink, { ...copy, signal });
      outcome.ended();
      return copied;
    } catch (error) {
      throw await outcome.failed(error);
    }
  }

  #layout(options: RangeOptions): AsyncGenerator<LayoutRange, void, undefined> {
    const { alignment, audit, auditOnly, isWhole, signal } = options;
    const { cluster, lastCleanCluster, smallestSize } = this.#plan;
    const doubts = [...beyondSmallest(this.size, smallestSize), ...(options.doubtful ?? [])];
    const doubtful = doubts.sort((a, b) => a.offset - b.offset);
    const dirtyBitmap = isWhole === true ? undefined : dirtyContextOf(this.#plan);
    const trusted = { dirtyBitmap, doubtful, cluster, lastCleanCluster };
    return layout(this.#source, { ...trusted, alignment, audit, auditOnly, signal });
  }

  async *#reading<Item>(
    given: AbortSignal | undefined,
    read: (signal: AbortSignal | undefined) => AsyncGenerator<Item, void, undefined>,
  ): AsyncGenerator<Item, void, undefined> {
    const signal = given ?? this.#job.signal;
    const outcome = this.#begin(signal);
    try {
      yield* read(signal);
    } catch (error) {
      throw await outcome.failed(error);
    }
    outcome.ended();
  }

  /** Tells those who listen, and what comes of it too. */
  #begin(signal: AbortSignal | undefined): {
    readonly ended: () => void;
    readonly failed: (error: unknown) => Promise<unknown>;
  } {
    const tell = traceDisk(this.#job.name, this);
    return {
      ended: () => {
        this.#isRead = true;
        tell('end');
      },
      failed: async (error) => {
        const failure = await this.#job.failure(error, this.name, signal);
        tell('error', failure);
        return failure;
      },
    };
  }
}
