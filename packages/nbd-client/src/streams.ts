import { Readable, Writable } from 'node:stream';
import { NbdUsageError } from './errors.ts';

export interface ReadStreamOptions {
  /** First byte; default 0. */
  readonly start?: number;
  /** One behind the last byte; default: the size of the export. */
  readonly end?: number;
  /** Destroys the stream. */
  readonly signal?: AbortSignal;
}

export interface WriteStreamOptions {
  /** Where the first byte goes; default 0. */
  readonly start?: number;
  /** Destroys the stream. */
  readonly signal?: AbortSignal;
}

/** What the streams need of a connection or pool. */
export interface StreamEnd {
  readonly exportSize: number;
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  readonly canFlush: boolean;
}

const REQUEST_BYTES = 512 * 1024;
/** Requests ahead of the consumer: with REQUEST_BYTES the bound on memory. */
const IN_FLIGHT = 8;

/** The bytes of a range, read ahead within a bound. @throws NbdUsageError if the range is not in the export */
export function readStream(nbd: StreamEnd, options: ReadStreamOptions): Readable {
  const { start = 0, end = nbd.exportSize, signal } = options;
  if (!Number.isSafeInteger(start) || start < 0 || end < start || end > nbd.exportSize)
    throw new NbdUsageError(`${start} to ${end} is no range of an export of ${nbd.exportSize} bytes`);
  return Readable.from(readAhead(nbd, start, end), { objectMode: false, ...(signal && { signal }) });
}

async function* readAhead(
  nbd: StreamEnd,
  start: number,
  end: number,
): AsyncGenerator<Buffer, void, undefined> {
  const window: Promise<Buffer>[] = [];
  let next = start;
  try {
    while (next < end || window.length > 0) {
      for (; next < end && window.length < IN_FLIGHT; next += REQUEST_BYTES) {
        const read = nbd.read(next, Math.min(REQUEST_BYTES, end - next));
        // Whoever awaits it sees the error; until then it is not "unhandled".
        read.catch(() => undefined);
        window.push(read);
      }
      yield await (window.shift() as Promise<Buffer>);
    }
  } finally {
    await Promise.allSettled(window);
  }
}

/** Writes what comes, one behind the other, and flushes at the end where the server can. */
export function writeStream(nbd: StreamEnd, options: WriteStreamOptions): Writable {
  let offset = options.start ?? 0;
  const settle = (work: Promise<void>, callback: (error?: Error | null) => void): void => {
    work.then(
      () => {
        callback();
      },
      (error: unknown) => {
        callback(error as Error);
      },
    );
  };
  return new Writable({
    ...(options.signal && { signal: options.signal }),
    highWaterMark: REQUEST_BYTES,
    write(chunk: Buffer, _encoding, callback) {
      const at = offset;
      offset += chunk.length;
      settle(nbd.write(at, chunk), callback);
    },
    final(callback) {
      settle(nbd.canFlush ? nbd.flush() : Promise.resolve(), callback);
    },
  });
}
