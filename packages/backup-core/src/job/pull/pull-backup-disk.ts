import { BackupJobError, messageOf } from '../../words/errors.ts';
import { layout, type LayoutRange } from '../../transfer/layout.ts';
import type { BlockSource } from '../../ports/block-source.ts';
import { type Chunk, type ChunkOptions, readChunks } from '../../transfer/chunks.ts';
import type { PlannedDisk } from '../plan.ts';

/** One disk of a running job: its content at the moment the job began. */
export class PullBackupDisk {
  /** `<target dev>`, such as `vda`. */
  readonly name: string;
  readonly mode: 'incremental' | 'full';
  /** Why this is a full although the job is incremental. */
  readonly demoted: string | undefined;
  /** Bytes dirty since the parent checkpoint, as far as the hypervisor said before the job began. */
  readonly dirtyBytes: number | undefined;
  /** Bytes. */
  readonly size: number;
  /** The path of the image and its format, on the hypervisor. */
  readonly image: { readonly path: string; readonly format: string };
  /** Where any NBD client can read this disk until the job ends. */
  readonly nbdUri: string;
  readonly #source: BlockSource;
  readonly #dirtyBitmap: string | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(
    plan: PlannedDisk,
    source: BlockSource,
    job: { readonly socket: string; readonly dirtyBitmap?: string; readonly signal?: AbortSignal },
  ) {
    this.name = plan.name;
    this.mode = plan.mode;
    this.demoted = plan.demoted;
    this.dirtyBytes = plan.dirtyBytes;
    this.size = source.exportSize;
    this.image = { path: plan.source, format: plan.format };
    this.nbdUri = `nbd+unix:///${encodeURIComponent(plan.name)}?socket=${encodeURIComponent(job.socket)}`;
    this.#source = source;
    this.#dirtyBitmap = job.dirtyBitmap;
    this.#signal = job.signal;
  }

  /** Sum of the lengths of all READ requests sent for this disk. */
  get readBytesRequested(): number {
    return this.#source.statistics.readBytesRequested;
  }

  /**
   * What has to be stored, in order and without reading it: of a full everything, as data or zeroes; of an
   * incremental the dirty ranges, those that read as zeroes included.
   */
  ranges(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<LayoutRange, void, undefined> {
    const signal = options.signal ?? this.#signal;
    return layout(this.#source, {
      ...(signal === undefined ? {} : { signal }),
      ...(this.#dirtyBitmap === undefined ? {} : { dirtyBitmap: this.#dirtyBitmap }),
    });
  }

  /**
   * The content of `ranges()`, read ahead within a bound, in order.
   *
   * @throws BackupJobError (phase `transfer`), or the signal's reason
   */
  async *chunks(options: ChunkOptions = {}): AsyncGenerator<Chunk, void, undefined> {
    const signal = options.signal ?? this.#signal;
    const bound = signal === undefined ? options : { ...options, signal };
    try {
      yield* readChunks(this.#source, this.ranges(bound), bound);
    } catch (error) {
      signal?.throwIfAborted();
      throw new BackupJobError('failed', `reading disk ${this.name} failed: ${messageOf(error)}`, {
        phase: 'transfer',
        disk: this.name,
        cause: error,
      });
    }
  }
}
