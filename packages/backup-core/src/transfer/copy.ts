import type { LayoutRange } from '../extents/layout.ts';
import type { BlockSource } from '../ports/block-source.ts';
import type { Sink } from '../sinks/sink.ts';
import { cutToRequests, DEFAULT_IN_FLIGHT, DEFAULT_REQUEST_BYTES } from './chunks.ts';

export interface CopyOptions {
  /** Bytes asked for at once; default 512 KiB. */
  readonly requestBytes?: number;
  /** Requests under way for each source; default 16. With `requestBytes` the bound on memory. */
  readonly inFlight?: number;
  readonly signal?: AbortSignal;
  /** Called after each range that was written. */
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface CopyProgress {
  /** Bytes read and written so far. */
  readonly dataBytes: number;
  /** Bytes of zero ranges so far. */
  readonly zeroBytes: number;
}

/**
 * Copies ranges from sources that show the same disk into a sink, in no particular order.
 *
 * Each worker owns one buffer and takes the next range when its last one is written: that is the whole of the
 * flow control. Neither finishes nor discards the sink.
 */
export async function copyRanges(
  sources: readonly BlockSource[],
  ranges: AsyncIterable<LayoutRange>,
  sink: Sink,
  options: CopyOptions = {},
): Promise<CopyProgress> {
  const { requestBytes = DEFAULT_REQUEST_BYTES, inFlight = DEFAULT_IN_FLIGHT, signal, onProgress } = options;
  const pieces = cutToRequests(ranges, requestBytes);
  const total = { dataBytes: 0, zeroBytes: 0 };
  let failed = false;
  const work = async (source: BlockSource): Promise<void> => {
    const buffer = Buffer.allocUnsafeSlow(requestBytes);
    for (let next = await pieces.next(); next.done !== true && !failed; next = await pieces.next()) {
      signal?.throwIfAborted();
      const { type, offset, length } = next.value;
      if (type === 'zero') {
        await sink.zero(offset, length);
        total.zeroBytes += length;
      } else {
        const bytes = length === requestBytes ? buffer : buffer.subarray(0, length);
        await source.readInto(bytes, offset, { df: true });
        await sink.write(offset, bytes);
        total.dataBytes += length;
      }
      onProgress?.({ ...total });
    }
  };
  const workers = sources.flatMap((source) => Array.from({ length: inFlight }, () => work(source)));
  // An abort does not wait for what is under way.
  const abort = (): void => {
    for (const source of sources) source.destroy(signal?.reason as Error);
  };
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await Promise.all(
      workers.map((worker) =>
        worker.catch((error: unknown) => {
          failed = true;
          throw error;
        }),
      ),
    );
  } catch (error) {
    await Promise.allSettled(workers);
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
    await pieces.return();
  }
  return total;
}
