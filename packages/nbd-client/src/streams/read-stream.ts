import { Readable } from 'node:stream';
import {
  isBoolean,
  isOffset,
  isSignal,
  type OptionChecks,
  optionsProblem,
  type RangeLimits,
  rangeProblem,
  refuse,
} from '../arguments.ts';
import { destroyOnAbort } from './destroy-on-abort.ts';
import type { ChangeOptions, WriteZeroesOptions } from '../commands/command-options.ts';

/** For `createReadStream`. */
export interface ReadStreamOptions {
  /** First byte; default 0. */
  readonly start?: number | undefined;
  /** One behind the last byte; default: the size of the export. */
  readonly end?: number | undefined;
  /** As in `ReadOptions`: for a range known to hold data. */
  readonly df?: boolean | undefined;
  /** Destroys the stream with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What the streams need of a connection or pool. */
export interface StreamEnd extends RangeLimits {
  readonly canFlush: boolean;
  readonly canZero: boolean;
  read(offset: number, length: number, options: { df: boolean; signal: AbortSignal }): Promise<Buffer>;
  write(offset: number, bytes: Uint8Array, options?: ChangeOptions): Promise<void>;
  writeZeroes(offset: number, length: number, options?: WriteZeroesOptions): Promise<void>;
  flush(): Promise<void>;
}

const OPTIONS: OptionChecks = { start: isOffset, end: isOffset, df: isBoolean, signal: isSignal };

const REQUEST_BYTES = 512 * 1024;
/** Requests ahead of the consumer: with REQUEST_BYTES the bound on memory. */
const IN_FLIGHT = 8;

/** The bytes of a range, read ahead within a bound. @throws NbdUsageError if the range is not in the export */
export function readStream(nbd: StreamEnd, options: ReadStreamOptions): Readable {
  refuse(optionsProblem('createReadStream', options, OPTIONS));
  const { start = 0, end = nbd.exportSize, df = false, signal } = options;
  refuse(rangeProblem(nbd, start, end - start));
  return destroyOnAbort(new ReadAhead(nbd, { start, end, df }), signal);
}

class ReadAhead extends Readable {
  readonly #nbd: StreamEnd;
  readonly #end: number;
  readonly #df: boolean;
  /** Gives up what is under way when the stream is destroyed. */
  readonly #abort = new AbortController();
  readonly #window: Promise<Buffer>[] = [];
  #next: number;
  #isPushing = false;

  constructor(nbd: StreamEnd, range: { readonly start: number; readonly end: number; readonly df: boolean }) {
    super({ highWaterMark: REQUEST_BYTES });
    this.#nbd = nbd;
    this.#next = range.start;
    this.#end = range.end;
    this.#df = range.df;
  }

  override _read(): void {
    if (this.#isPushing) return;
    this.#isPushing = true;
    this.#pushUntilFull().catch((error: unknown) => {
      this.destroy(error as Error);
    });
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#abort.abort();
    callback(error);
  }

  async #pushUntilFull(): Promise<void> {
    for (let wantsMore = true; wantsMore;) {
      this.#readAhead();
      const first = this.#window.shift();
      if (first === undefined) {
        this.push(null);
        return;
      }
      wantsMore = this.push(await first);
    }
    // In the same turn as the last push: a `_read` between the two would be lost, and with it all that follow.
    this.#isPushing = false;
  }

  #readAhead(): void {
    const options = { df: this.#df, signal: this.#abort.signal };
    while (this.#next < this.#end && this.#window.length < IN_FLIGHT) {
      const read = this.#nbd.read(this.#next, Math.min(REQUEST_BYTES, this.#end - this.#next), options);
      // Whoever awaits it sees the error; until then it is not "unhandled".
      read.catch(() => undefined);
      this.#window.push(read);
      this.#next += REQUEST_BYTES;
    }
  }
}
