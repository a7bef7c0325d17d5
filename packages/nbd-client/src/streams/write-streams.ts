import { Writable } from 'node:stream';
import {
  bytesProblem,
  isBoolean,
  isOffset,
  isSignal,
  type OptionChecks,
  optionsProblem,
  rangeProblem,
  refuse,
  shown,
} from '../arguments.ts';
import { NbdUsageError } from '../errors.ts';
import { destroyOnAbort } from './destroy-on-abort.ts';
import type { StreamEnd } from './read-stream.ts';

/** For `createWriteStream`. */
export interface WriteStreamOptions {
  /** Where the first byte goes; default 0. */
  readonly start?: number | undefined;
  /** Destroys the stream with its reason. What is under way may still be carried out. */
  readonly signal?: AbortSignal | undefined;
}

/** For `createRestoreStream`. */
export interface RestoreStreamOptions {
  /** Keeps zeroes allocated (NBD_CMD_FLAG_NO_HOLE), where the server knows the command at all. */
  readonly noHole?: boolean | undefined;
  /** Destroys the stream with its reason. What is under way may still be carried out. */
  readonly signal?: AbortSignal | undefined;
}

/** A piece of an export to restore: bytes, or a range that has to read as zeroes. */
export type RestoreChunk =
  | { readonly type: 'data'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly type: 'zero'; readonly offset: number; readonly length: number };

const WRITE_OPTIONS: OptionChecks = { start: isOffset, signal: isSignal };
const RESTORE_OPTIONS: OptionChecks = { noHole: isBoolean, signal: isSignal };

/** Bytes on the way to the server before the source has to wait. */
const WINDOW_BYTES = 8 * 1024 * 1024;
/** Changes on the way to the server before the source has to wait. */
const WINDOW_CHANGES = 32;
/** Zeroes for a server without WRITE_ZEROES, written in pieces of this. */
const ZEROES = Buffer.alloc(512 * 1024);

/** Writes what comes, one behind the other, and flushes at the end where the server can. */
export function writeStream(nbd: StreamEnd, options: WriteStreamOptions): Writable {
  refuse(optionsProblem('createWriteStream', options, WRITE_OPTIONS));
  const { start = 0, signal } = options;
  refuse(rangeProblem(nbd, start, 0));
  let offset = start;
  const window = new ChangeWindow();
  const stream = new Writable({
    highWaterMark: WINDOW_BYTES,
    decodeStrings: true,
    write(chunk: Buffer, _encoding, callback) {
      const at = offset;
      offset += chunk.length;
      window.add(chunk.length, () => nbd.write(at, chunk), callback);
    },
    final(callback) {
      window.finish(nbd, callback);
    },
  });
  return destroyOnAbort(stream, signal);
}

/** Writes chunks where they belong, in any order of offsets, and flushes at the end where the server can. */
export function restoreStream(nbd: StreamEnd, options: RestoreStreamOptions): Writable {
  refuse(optionsProblem('createRestoreStream', options, RESTORE_OPTIONS));
  const { noHole = false, signal } = options;
  const window = new ChangeWindow();
  const stream = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(chunk: RestoreChunk, _encoding, callback) {
      const problem = chunkProblem(nbd, chunk);
      if (problem !== undefined) callback(problem);
      else if (chunk.type === 'data')
        window.add(chunk.bytes.length, () => nbd.write(chunk.offset, chunk.bytes), callback);
      else window.add(0, () => zeroes(nbd, chunk, noHole), callback);
    },
    final(callback) {
      window.finish(nbd, callback);
    },
  });
  return destroyOnAbort(stream, signal);
}

/** What is wrong with a chunk, before any of its range is cut into requests. */
function chunkProblem(nbd: StreamEnd, chunk: unknown): NbdUsageError | undefined {
  const { type, offset, bytes, length } = { ...(chunk as Partial<Record<string, unknown>>) };
  if (type === 'zero') return rangeProblem(nbd, offset, length);
  if (type !== 'data')
    return new NbdUsageError(`a chunk to restore is of type data or zero, not ${shown(type)}`);
  return (
    bytesProblem('the bytes of a chunk to restore', bytes) ??
    rangeProblem(nbd, offset, (bytes as Uint8Array).length)
  );
}

async function zeroes(
  nbd: StreamEnd,
  { offset, length }: { readonly offset: number; readonly length: number },
  noHole: boolean,
): Promise<void> {
  if (nbd.canZero) return nbd.writeZeroes(offset, length, { noHole });
  for (let at = offset; at < offset + length; at += ZEROES.length)
    await nbd.write(at, ZEROES.subarray(0, Math.min(ZEROES.length, offset + length - at)));
}

type Callback = (error?: Error | null) => void;

/** Changes on the way. The source goes on while they are few; the first one that fails ends it. */
class ChangeWindow {
  readonly #changes = new Set<Promise<void>>();
  #bytes = 0;
  #failure: { readonly reason: Error } | undefined;
  /** The source, if it waits for room. */
  #waiting: Callback | undefined;

  add(bytes: number, change: () => Promise<void>, callback: Callback): void {
    this.#bytes += bytes;
    const work = change()
      .catch((reason: unknown) => {
        this.#failure ??= { reason: reason as Error };
      })
      .finally(() => {
        this.#changes.delete(work);
        this.#bytes -= bytes;
        this.#goOn();
      });
    this.#changes.add(work);
    this.#waiting = callback;
    this.#goOn();
  }

  /** Waits for all, then flushes. */
  finish(nbd: StreamEnd, callback: Callback): void {
    const finished = async (): Promise<void> => {
      await Promise.all(this.#changes);
      if (this.#failure !== undefined) throw this.#failure.reason;
      if (nbd.canFlush) await nbd.flush();
    };
    finished().then(
      () => {
        callback();
      },
      (error: unknown) => {
        callback(error as Error);
      },
    );
  }

  #goOn(): void {
    const full = this.#bytes >= WINDOW_BYTES || this.#changes.size >= WINDOW_CHANGES;
    if (this.#waiting === undefined || (full && this.#failure === undefined)) return;
    const callback = this.#waiting;
    this.#waiting = undefined;
    callback(this.#failure?.reason);
  }
}
