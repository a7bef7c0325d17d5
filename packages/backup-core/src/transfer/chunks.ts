import type { LayoutRange } from './layout.ts';
import type { BlockSource } from '../ports/block-source.ts';

/** A piece of a disk. The bytes belong to whoever receives them. */
export type Chunk =
  | { readonly type: 'data'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly type: 'zero'; readonly offset: number; readonly length: number };

/** For `PullBackupDisk.chunks`: how far ahead is read. */
export interface ChunkOptions {
  /** Bytes asked for at once; default 512 KiB. */
  readonly requestBytes?: number | undefined;
  /** Requests under way; default 16. With `requestBytes` the bound on memory. */
  readonly inFlight?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_REQUEST_BYTES = 512 * 1024;
const DEFAULT_IN_FLIGHT = 16;

/**
 * Reads ranges ahead of the consumer and yields them in order. No further read is issued while the consumer
 * is busy and the window is full.
 */
export async function* readChunks(
  source: BlockSource,
  ranges: AsyncIterable<LayoutRange>,
  options: ChunkOptions = {},
): AsyncGenerator<Chunk, void, undefined> {
  const { requestBytes = DEFAULT_REQUEST_BYTES, inFlight = DEFAULT_IN_FLIGHT, signal } = options;
  const read = { df: true, ...(signal === undefined ? {} : { signal }) };
  const window: Promise<Chunk>[] = [];
  try {
    for await (const { type, offset, length } of cutToRequests(ranges, requestBytes)) {
      if (window.length === inFlight) yield await (window.shift() as Promise<Chunk>);
      const chunk: Promise<Chunk> =
        type === 'zero'
          ? Promise.resolve({ type, offset, length })
          : source.read(offset, length, read).then((bytes) => ({ type: 'data', offset, bytes }));
      // Whoever awaits it sees the error; until then it is not "unhandled".
      chunk.catch(() => undefined);
      window.push(chunk);
    }
    while (window.length > 0) yield await (window.shift() as Promise<Chunk>);
  } finally {
    await Promise.allSettled(window);
  }
}

/** Cuts data ranges to the size of a request, at multiples of it; zero ranges stay whole. */
export async function* cutToRequests(
  ranges: AsyncIterable<LayoutRange>,
  requestBytes: number,
): AsyncGenerator<LayoutRange, void, undefined> {
  for await (const range of ranges) {
    if (range.type === 'zero') {
      yield range;
      continue;
    }
    const end = range.offset + range.length;
    for (let offset = range.offset; offset < end;) {
      const next = Math.min(end, offset - (offset % requestBytes) + requestBytes);
      yield { type: range.type, offset, length: next - offset };
      offset = next;
    }
  }
}
