import type { BatchSink, Sink, SinkBatch, SinkRange } from '../ports/sink.ts';
import type { DiskReader } from '../repository/tree/disk-reader.ts';
import { copyRanges, type CopyOptions, type CopyProgress } from '../transfer/copy.ts';
import { BackupError, DamagedError, messageOf, SinkError } from '../words/errors.ts';
import type { OnProgress } from '../words/progress.ts';

/** For `restoreDisk`. */
export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  /** `<target dev>`, for the progress. */
  readonly disk?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
  /**
   * Whether what was written is kept for the next restore of the same to the same place, where the sink can,
   * when this one is aborted or the repository cannot be read. Default `keep`.
   */
  readonly onInterruption?: 'keep' | 'discard' | undefined;
}

/** What a restore did. The first two are the whole disk. */
export interface RestoreResult {
  /** Bytes of blocks that are stored. */
  readonly dataBytes: number;
  /** Bytes that are zeroes. */
  readonly zeroBytes: number;
  /** Bytes of data that were written. */
  readonly writtenBytes: number;
  /** Bytes of data that were there already. */
  readonly equalBytes: number;
}

/** Disks come through faster with a few large requests than with many. */
const IN_FLIGHT = 3;
/** An abort is obeyed, and progress told, at least so often in a range of zeroes. */
const ZERO_PIECE_BYTES: number = 256 * 1024 * 1024;

/**
 * Writes a disk into a sink and finishes it: all of it, or where the sink shows what it has, what differs. Every
 * byte is checked against its hash. The reader is of no use any more when the signal was aborted.
 *
 * @throws DamagedError if anything stored is missing or damaged; SinkError; RepositoryError if it cannot be read; or
 * the signal's reason. The sink is discarded then, or suspended.
 */
export async function restoreDisk(
  reader: DiskReader,
  sink: Sink,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  return await intoSink(sink, options, async () => {
    const { signal } = options;
    const ranges = inPieces(reader.extents({ signal }));
    const copyOptions = copyOptionsFor(reader.size, options);
    const { existing } = sink;
    if (existing === undefined) {
      const copied = await copyRanges([reader], ranges, sink, copyOptions);
      return resultOf(copied, copied.dataBytes);
    }
    const comparing = new ComparingSink(reader, sink, signal);
    // What is there is what is read; from the repository comes what differs.
    const source = {
      readInto: (buffer: Uint8Array, offset: number) => existing.readInto(buffer, offset),
      destroy: () => undefined,
      prefersSharedMemory: true,
    };
    return resultOf(await copyRanges([source], ranges, comparing, copyOptions), comparing.writtenBytes);
  });
}

/** Does work that writes a sink, and finishes or ends that. */
export async function intoSink<Result>(
  sink: Sink,
  { signal, onInterruption = 'keep' }: RestoreOptions,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    signal?.throwIfAborted();
    const result = await work();
    await sink.finish();
    return result;
  } catch (failure) {
    const error = sinkFailure(failure, signal);
    const isInterrupted = !(error instanceof DamagedError) && !(error instanceof SinkError);
    const keeps = isInterrupted && onInterruption === 'keep' && sink.suspend !== undefined;
    // The first failure is the one to tell.
    await (keeps ? sink.suspend?.() : sink.discard())?.catch(() => undefined);
    throw error;
  }
}

/** What a sink of the caller's failed with is a `SinkError`, too; all else is known here. */
function sinkFailure(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof BackupError || (signal?.aborted === true && error === signal.reason)) return error;
  return new SinkError('failed', `the sink failed: ${messageOf(error)}`, { cause: error });
}

/** How a disk is copied out of a repository. */
export function copyOptionsFor(size: number, { signal, disk, onProgress }: RestoreOptions): CopyOptions {
  return {
    inFlight: IN_FLIGHT,
    signal,
    onProgress:
      onProgress &&
      (({ dataBytes, zeroBytes }) => {
        onProgress({ phase: 'restore', disk, done: dataBytes + zeroBytes, total: size });
      }),
  };
}

function resultOf({ dataBytes, zeroBytes }: CopyProgress, writtenBytes: number): RestoreResult {
  return { dataBytes, zeroBytes, writtenBytes, equalBytes: dataBytes - writtenBytes };
}

/** Cuts ranges of zeroes, which are as long as they are. */
export async function* inPieces(
  ranges: AsyncIterable<SinkRange>,
): AsyncGenerator<SinkRange, void, undefined> {
  for await (const range of ranges) {
    const piece = range.type === 'zero' ? ZERO_PIECE_BYTES : range.length;
    for (let at = 0; at < range.length; at += piece)
      yield { ...range, offset: range.offset + at, length: Math.min(piece, range.length - at) };
  }
}

/** Takes what a sink has, and writes what the disk has instead. */
class ComparingSink implements BatchSink {
  writtenBytes = 0;
  readonly #reader: DiskReader;
  readonly #sink: Sink;
  readonly #signal: AbortSignal | undefined;

  constructor(reader: DiskReader, sink: Sink, signal: AbortSignal | undefined) {
    this.#reader = reader;
    this.#sink = sink;
    this.#signal = signal;
  }

  async takeBatch({ ranges, buffer }: SinkBatch): Promise<void> {
    const signal = this.#signal;
    const data = ranges.filter(({ type }) => type !== 'zero');
    const memory = buffer.buffer as unknown as SharedArrayBuffer;
    if (data.length > 0)
      for (const { offset, length } of await this.#reader.differences(data, memory, { signal })) {
        signal?.throwIfAborted();
        // What was there is not needed any more.
        const bytes = buffer.subarray(0, length);
        await this.#reader.readInto(bytes, offset, signal === undefined ? {} : { signal });
        await this.#sink.write(offset, bytes);
        this.writtenBytes += length;
      }
    for (const { type, offset, length } of ranges) {
      signal?.throwIfAborted();
      if (type === 'zero') await this.#sink.zero(offset, length);
    }
  }
}
