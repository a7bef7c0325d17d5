import type { BlockSource } from '../ports/block-source.ts';
import type { BatchSink, Sink, SinkRange } from '../ports/sink.ts';
import { checkOptions, someFunction } from '../words/check-options.ts';
import { BackupUsageError } from '../words/errors.ts';
import { type Window, WINDOW_OPTIONS } from './window.ts';

/** For `copyRanges`. */
export interface CopyOptions {
  /** Bytes of a buffer, and of the largest request; default 2 MiB. */
  readonly requestBytes?: number | undefined;
  /** The most buffers for each source; default 16. With `requestBytes` the bound on memory. */
  readonly inFlight?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch of ranges that was written. */
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined;
}

/** How far a copy is, and in the end what it was. */
export interface CopyProgress {
  /** Bytes read and written so far. */
  readonly dataBytes: number;
  /** Bytes of zero ranges so far. */
  readonly zeroBytes: number;
  /** Ranges taken so far, data and zeroes. */
  readonly ranges: number;
}

// Large requests cost a server less for each byte, and two buffers in turn keep one nearby busy; more of
// them only push each other out of the processors' caches.
const DEFAULT_REQUEST_BYTES = 2 * 1024 * 1024;
const DEFAULT_IN_FLIGHT = 16;
const FIRST_IN_FLIGHT = 2;
/** A server that answers faster than this is near: there is no time on the way to fill with more requests. */
const NEAR_MS = 5;
/** Up to so many times the fastest answer a batch has not waited for its predecessors. */
const NO_QUEUE = 1.25;
const MAX_RANGES_IN_BATCH = 64;
const DF = { df: true };

/** What a copy needs of a source. */
export type CopySource = Pick<BlockSource, 'readInto' | 'destroy' | 'prefersSharedMemory'>;

/** What one source has to do. */
interface Lane {
  readonly source: CopySource;
  workers: number;
  /** Milliseconds of the fastest batch. */
  fastest: number;
}

/**
 * Copies ranges from sources that show the same disk into a sink, in no particular order. Neither finishes nor
 * discards the sink.
 *
 * @throws BackupUsageError, what a source or the sink fails with, or the signal's reason
 */
export async function copyRanges(
  sources: readonly CopySource[],
  ranges: AsyncIterable<SinkRange>,
  sink: Sink | BatchSink,
  options: CopyOptions = {},
): Promise<CopyProgress> {
  checkOptions('copyRanges', options, { ...WINDOW_OPTIONS, onProgress: someFunction });
  const { requestBytes = DEFAULT_REQUEST_BYTES, inFlight = DEFAULT_IN_FLIGHT, signal, onProgress } = options;
  if (sources.length === 0) throw new BackupUsageError('option', 'there is no source to copy from');
  // An abort does not wait for what is under way.
  const abort = (): void => {
    for (const source of sources) source.destroy(signal?.reason as Error);
  };
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const copy = new Copy(ranges, sink, { requestBytes, inFlight }, { signal, onProgress });
    return await copy.run(sources);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/**
 * Each worker owns one buffer and fills it again when its content is written: that is the whole of the flow
 * control. A source gets more workers as long as its answers are late without having queued, which is what a
 * long way does.
 */
class Copy {
  readonly #batches: AsyncGenerator<Batch, void, undefined>;
  readonly #sink: Sink | BatchSink;
  readonly #window: Window;
  readonly #signal: AbortSignal | undefined;
  readonly #onProgress: ((progress: CopyProgress) => void) | undefined;
  readonly #total = { dataBytes: 0, zeroBytes: 0, ranges: 0 };
  readonly #workers: Promise<void>[] = [];
  readonly #failures: unknown[] = [];
  /** Tells a sink that waits for an earlier batch that it will not come. */
  readonly #failed = new AbortController();

  constructor(
    ranges: AsyncIterable<SinkRange>,
    sink: Sink | BatchSink,
    window: Window,
    { signal, onProgress }: { [Key in 'signal' | 'onProgress']: CopyOptions[Key] | undefined },
  ) {
    this.#batches = cutToBatches(ranges, window.requestBytes, () => this.#total.ranges++);
    this.#sink = sink;
    this.#window = window;
    this.#signal = signal;
    this.#onProgress = onProgress;
  }

  async run(sources: readonly CopySource[]): Promise<CopyProgress> {
    const lanes = sources.map((source): Lane => ({ source, workers: 0, fastest: Infinity }));
    for (let turn = 0; turn < Math.min(FIRST_IN_FLIGHT, this.#window.inFlight); turn++)
      for (const lane of lanes) this.#start(lane);
    // More may come while it waits.
    for (let done = 0; done < this.#workers.length;)
      done += (await Promise.all(this.#workers.slice(done))).length;
    await this.#batches.return();
    this.#signal?.throwIfAborted();
    if (this.#failures.length > 0) throw this.#failures[0];
    return this.#total;
  }

  #start(lane: Lane): void {
    lane.workers++;
    const failed = (error: unknown): void => {
      this.#failures.push(error);
      this.#failed.abort(error);
    };
    this.#workers.push(this.#work(lane).catch(failed));
  }

  async #work(lane: Lane): Promise<void> {
    const { requestBytes } = this.#window;
    const isShared =
      isBatchSink(this.#sink) ||
      (lane.source.prefersSharedMemory === true && this.#sink.takesSharedMemory === true);
    const buffer = isShared
      ? Buffer.from(new SharedArrayBuffer(requestBytes))
      : Buffer.allocUnsafeSlow(requestBytes);
    for (;;) {
      const next = await this.#batches.next();
      if (next.done === true || this.#failures.length > 0) return;
      this.#signal?.throwIfAborted();
      const { sequence, ranges } = next.value;
      if (ranges.some(({ type }) => type !== 'zero')) await this.#read(lane, ranges, buffer);
      if (isBatchSink(this.#sink))
        await this.#sink.takeBatch({ sequence, ranges, buffer }, { signal: this.#failed.signal });
      else await writeBatch(this.#sink, ranges, buffer);
      for (const { type, length } of ranges)
        this.#total[type === 'zero' ? 'zeroBytes' : 'dataBytes'] += length;
      this.#onProgress?.({ ...this.#total });
    }
  }

  async #read(lane: Lane, batch: Batch['ranges'], buffer: Buffer): Promise<void> {
    const started = performance.now();
    await readBatch(lane.source, batch, buffer);
    const took = performance.now() - started;
    lane.fastest = Math.min(lane.fastest, took);
    const hasQueued = took >= NO_QUEUE * lane.fastest;
    if (lane.workers < this.#window.inFlight && took > NEAR_MS && !hasQueued) this.#start(lane);
  }
}

function isBatchSink(sink: Sink | BatchSink): sink is BatchSink {
  return 'takeBatch' in sink;
}

/** Ranges whose data fits into one buffer, one behind the other. */
interface Batch {
  readonly sequence: number;
  readonly ranges: readonly SinkRange[];
}

async function* cutToBatches(
  ranges: AsyncIterable<SinkRange>,
  requestBytes: number,
  taken: () => void,
): AsyncGenerator<Batch, void, undefined> {
  let batch: SinkRange[] = [];
  let sequence = 0;
  let bytes = 0;
  for await (const { type, offset: start, length: rest } of ranges) {
    taken();
    for (let offset = start, left = rest; left > 0;) {
      const length = type === 'zero' ? left : Math.min(left, requestBytes - bytes);
      batch.push({ type, offset, length });
      if (type !== 'zero') bytes += length;
      offset += length;
      left -= length;
      if (bytes < requestBytes && batch.length < MAX_RANGES_IN_BATCH) continue;
      yield { sequence: sequence++, ranges: batch };
      batch = [];
      bytes = 0;
    }
  }
  if (batch.length > 0) yield { sequence, ranges: batch };
}

/** Settled only when all reads are: until then the buffer is theirs. */
async function readBatch(source: CopySource, batch: Batch['ranges'], buffer: Buffer): Promise<void> {
  const reads: Promise<void>[] = [];
  let at = 0;
  for (const { type, offset, length } of batch) {
    if (type === 'zero') continue;
    reads.push(source.readInto(buffer.subarray(at, at + length), offset, DF));
    at += length;
  }
  if (reads.length === 1) return reads[0];
  for (const outcome of await Promise.allSettled(reads))
    if (outcome.status === 'rejected') throw outcome.reason;
}

async function writeBatch(sink: Sink, batch: Batch['ranges'], buffer: Buffer): Promise<void> {
  let at = 0;
  for (const { type, offset, length } of batch) {
    if (type === 'zero') {
      await sink.zero(offset, length);
    } else {
      await sink.write(offset, buffer.subarray(at, at + length));
      at += length;
    }
  }
}
