import { Readable } from 'node:stream';
import { onAbort } from '../abort-listeners.ts';
import { Line } from '../line.ts';
import type { ArgsOf, Procedure, ReplyOf } from '../procedures/row.ts';
import type { CallOptions } from '../rpc/call-options.ts';
import type { StreamSink } from '../rpc/stream.ts';
import type { StreamChunk } from './stream-chunk.ts';
import type { OpenStream, StreamSessions } from './stream-session.ts';

/** Bytes that wait in the stream before the connection is read no further. */
const BYTES_WAITING = 1024 * 1024;

/** Chunks, of at most 256 KiB, that wait in a sparse stream. */
const CHUNKS_WAITING = 4;

/** So many zeroes of a hole are handed out at a time. */
const ZEROES = 256 * 1024;

/** How holes are handed out: as chunks, or as zeroes between the bytes. */
export type HoleMode = 'chunks' | 'zeroes';

export interface Download<Reply> {
  readonly reply: Reply;
  readonly readable: Readable;
}

/** Calls a procedure that is followed by data; `signal` also ends the stream. */
export async function openDownload<P extends Procedure>(
  sessions: StreamSessions,
  procedure: P,
  args: ArgsOf<P>,
  holes: HoleMode,
  options: CallOptions,
): Promise<Download<ReplyOf<P>>> {
  const readable = new DownloadStream(sessions, holes);
  try {
    const open = await sessions.open(procedure, args, readable.sink, options);
    readable.begin(open, options.signal);
    return { reply: open.reply, readable };
  } catch (error) {
    readable.destroy();
    throw error;
  }
}

/** What waits for the consumer: bytes, or the rest of a hole. */
type Item = Buffer | { hole: number };

class DownloadStream extends Readable {
  readonly #sessions: StreamSessions;
  readonly #holes: HoleMode;
  readonly #items = new Line<Item>();
  #open: OpenStream<unknown> | undefined;
  /** What came before `begin`. */
  #earlyError: Error | undefined;
  /** The daemon has sent everything. */
  #isComplete = false;
  /** And has confirmed it. */
  #isConfirmed = false;
  #isWanted = false;
  #isPaused = false;

  /** What the connection gives its packets to; may be called before `begin`. */
  readonly sink: StreamSink = {
    data: (bytes) => {
      this.#add(bytes);
    },
    hole: (length) => {
      if (length > 0) this.#add({ hole: length });
    },
    end: () => {
      // The daemon keeps the stream until it is told that all has arrived.
      this.#isComplete = true;
      this.#open?.stream.finish();
    },
    confirmed: () => {
      this.#isConfirmed = true;
      this.#drain();
    },
    failed: (error) => {
      if (this.#open === undefined) this.#earlyError = error;
      else this.destroy(error);
    },
  };

  constructor(sessions: StreamSessions, holes: HoleMode) {
    super(
      holes === 'chunks'
        ? { objectMode: true, highWaterMark: CHUNKS_WAITING }
        : { highWaterMark: BYTES_WAITING },
    );
    this.#sessions = sessions;
    this.#holes = holes;
  }

  begin(open: OpenStream<unknown>, signal: AbortSignal | undefined): void {
    this.#open = open;
    if (this.#earlyError !== undefined) throw this.#earlyError;
    if (this.#isComplete) open.stream.finish();
    else if (this.#isPaused) open.session.pause();
    signal?.throwIfAborted();
    this.once(
      'close',
      onAbort(signal, () => {
        this.destroy(signal?.reason as Error);
      }),
    );
  }

  override _read(): void {
    this.#isWanted = true;
    this.#drain();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#items.clear();
    if (this.#open !== undefined) {
      this.#open.stream.abort();
      this.#sessions.release(this.#open.session);
    }
    done(error);
  }

  #add(item: Item): void {
    if (this.destroyed) return;
    this.#items.push(item);
    this.#drain();
  }

  /** Hands out what waits while it is wanted; if something is left, nothing more is read. */
  #drain(): void {
    for (let item = this.#items.first; this.#isWanted && item !== undefined; item = this.#items.first)
      this.#isWanted = this.push(this.#take(item));
    if (this.destroyed) return;
    if (this.#items.size === 0 && this.#isConfirmed) this.push(null);
    const mustPause = this.#items.size > 0 || !this.#isWanted;
    if (mustPause === this.#isPaused) return;
    this.#isPaused = mustPause;
    if (mustPause) this.#open?.session.pause();
    else this.#open?.session.resume();
  }

  #take(item: Item): Buffer | StreamChunk {
    if (item instanceof Uint8Array) {
      this.#items.shift();
      return this.#holes === 'chunks' ? { type: 'data', bytes: item } : item;
    }
    const length = this.#holes === 'chunks' ? item.hole : Math.min(item.hole, ZEROES);
    item.hole -= length; // the rest of it is still the first
    if (item.hole === 0) this.#items.shift();
    return this.#holes === 'chunks' ? { type: 'hole', length } : Buffer.alloc(length);
  }
}
