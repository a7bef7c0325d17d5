import { Writable } from 'node:stream';
import { onAbort } from '../abort-listeners.ts';
import { LibvirtConnectionClosedError, LibvirtProtocolError, LibvirtUsageError } from '../errors.ts';
import type { ArgsOf, Procedure } from '../procedures/row.ts';
import { STREAM_PAYLOAD_MAX } from '../protocol/limits.ts';
import type { CallOptions } from '../rpc/call-options.ts';
import type { StreamSink } from '../rpc/stream.ts';
import type { StreamChunk } from './stream-chunk.ts';
import type { OpenStream, StreamSessions } from './stream-session.ts';

const BYTES_WAITING = 1024 * 1024;
const CHUNKS_WAITING = 4;

type Done = (error?: Error | null) => void;

/** Calls a procedure that takes data; `signal` also ends the stream. */
export async function openUpload<P extends Procedure>(
  sessions: StreamSessions,
  procedure: P,
  args: ArgsOf<P>,
  isSparse: boolean,
  options: CallOptions,
): Promise<Writable> {
  const writable = new UploadStream(sessions, isSparse);
  try {
    writable.begin(await sessions.open(procedure, args, writable.sink, options), options.signal);
    return writable;
  } catch (error) {
    writable.destroy();
    throw error;
  }
}

class UploadStream extends Writable {
  readonly #sessions: StreamSessions;
  readonly #isSparse: boolean;
  #open: OpenStream<unknown> | undefined;
  /** What came before `begin`. */
  #earlyError: Error | undefined;
  /** Who waits for the packet on its way, or for the confirmation of the end. */
  #waiting: Done | undefined;

  readonly sink: StreamSink = {
    data: refuseContent,
    hole: refuseContent,
    end: refuseContent,
    confirmed: () => {
      this.#settle();
    },
    failed: (error) => {
      if (this.#open === undefined) this.#earlyError = error;
      else this.destroy(error);
    },
  };

  constructor(sessions: StreamSessions, isSparse: boolean) {
    super(isSparse ? { objectMode: true, highWaterMark: CHUNKS_WAITING } : { highWaterMark: BYTES_WAITING });
    this.#sessions = sessions;
    this.#isSparse = isSparse;
  }

  begin(open: OpenStream<unknown>, signal: AbortSignal | undefined): void {
    this.#open = open;
    if (this.#earlyError !== undefined) throw this.#earlyError;
    signal?.throwIfAborted();
    this.once(
      'close',
      onAbort(signal, () => {
        this.destroy(signal?.reason as Error);
      }),
    );
  }

  override _write(chunk: unknown, _encoding: BufferEncoding, done: Done): void {
    const part = this.#isSparse && !(chunk instanceof Uint8Array) ? checkedChunk(chunk) : chunk;
    if (part instanceof LibvirtUsageError) {
      done(part);
      return;
    }
    this.#waiting = done;
    if (part instanceof Uint8Array) this.#writeFrom(part, 0);
    else this.#writeChunk(part as StreamChunk);
  }

  override _final(done: Done): void {
    this.#waiting = done;
    this.#open?.stream.finish();
  }

  override _destroy(error: Error | null, done: Done): void {
    if (this.#open !== undefined) {
      this.#open.stream.abort();
      this.#sessions.release(this.#open.session);
    }
    const gone = error ?? new LibvirtConnectionClosedError('the stream was destroyed');
    this.#settle(gone);
    done(error);
  }

  #writeChunk(chunk: StreamChunk): void {
    if (chunk.type === 'data') this.#writeFrom(chunk.bytes, 0);
    else if (chunk.length === 0) this.#settle();
    else
      this.#open?.stream.writeHole(chunk.length, () => {
        this.#settle();
      });
  }

  /** Never an empty packet: it would be the end of the data. */
  #writeFrom(bytes: Uint8Array, offset: number): void {
    if (offset >= bytes.length) this.#settle();
    else
      this.#open?.stream.write(bytes.subarray(offset, offset + STREAM_PAYLOAD_MAX), () => {
        this.#writeFrom(bytes, offset + STREAM_PAYLOAD_MAX);
      });
  }

  #settle(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(error);
  }
}

function refuseContent(): never {
  throw new LibvirtProtocolError('data arrives in a stream that is an upload');
}

function checkedChunk(chunk: unknown): StreamChunk | LibvirtUsageError {
  const part = chunk as Partial<StreamChunk & { bytes: unknown; length: unknown }> | null;
  if (part?.type === 'data' && part.bytes instanceof Uint8Array) return part as StreamChunk;
  if (part?.type === 'hole' && Number.isSafeInteger(part.length) && Number(part.length) >= 0)
    return part as StreamChunk;
  return new LibvirtUsageError('a chunk of a sparse upload is neither bytes nor a hole of a whole length');
}
