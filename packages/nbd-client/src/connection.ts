import type { Readable, Writable } from 'node:stream';
import { bytesProblem, optionsProblem, plainView, rangeProblem, refuse } from './arguments.ts';
import {
  type BlockStatusOptions,
  CHANGE_OPTIONS,
  type ChangeOptions,
  COMMAND_OPTIONS,
  type CommandOptions,
  READ_OPTIONS,
  type ReadOptions,
  STATUS_OPTIONS,
  type WriteZeroesOptions,
  ZEROES_OPTIONS,
} from './commands/command-options.ts';
import type { Extent } from './commands/command.ts';
import { type Destination, memoryFor, ReadCommand } from './commands/read-command.ts';
import { type BlockStatus, StatusCommand } from './commands/status-command.ts';
import { NbdCommandError, NbdTimeoutError, NbdUsageError } from './errors.ts';
import { Deadline } from './deadline.ts';
import { ExportFeatures } from './export-features.ts';
import { eachExtent, extentBatches, notSelected, type ExtentsOptions } from './streams/extents.ts';
import type { OpenedExport } from './handshake/open-export.ts';
import type { BlockSize } from './handshake/option-messages.ts';
import { NBD_CMD_FLAG, NBD_ERROR } from './protocol/constants.ts';
import { maxLength } from './protocol/limits.ts';
import type { HeaderStyle } from './protocol/header-style.ts';
import type { CloseInfo } from './transmission/close-info.ts';
import type { ConnectionStatistics, Session } from './transmission/session.ts';
import { readStream, type ReadStreamOptions } from './streams/read-stream.ts';
import {
  restoreStream,
  type RestoreStreamOptions,
  writeStream,
  type WriteStreamOptions,
} from './streams/write-streams.ts';
import {
  cachePieces,
  cut,
  type ChangeLimits,
  flushPieces,
  trimPieces,
  writePieces,
  writeZeroesPieces,
} from './commands/changes.ts';

/** A server need not be able to give more than this in one piece, which is what DF asks for. */
const DF_ALWAYS_BYTES = 64 * 1024;

/**
 * An NBD connection in the transmission phase.
 *
 * Offsets and lengths are bytes, as safe integers. Many commands may be under way at once; one that fails
 * does not harm its neighbours. A violation of the protocol ends the connection and rejects them all.
 */
export class NbdConnection extends ExportFeatures implements AsyncDisposable {
  /** As it was asked for. */
  readonly exportName: string;
  /** Bytes. */
  readonly exportSize: number;
  /** What offsets, lengths and payloads keep to. */
  readonly blockSize: BlockSize;
  /** Which headers were agreed on. */
  readonly headerStyle: HeaderStyle;
  readonly transmissionFlags: number;
  /** The metadata contexts that the server selected of those asked for. */
  readonly metaContexts: readonly string[];
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<CloseInfo>;

  readonly #session: Session;
  readonly #contexts: ReadonlyMap<number, string>;

  /** Use `connect`. */
  constructor(session: Session, opened: OpenedExport) {
    super();
    this.exportName = opened.exportName;
    this.exportSize = opened.exportSize;
    this.blockSize = opened.blockSize;
    this.headerStyle = opened.style;
    this.metaContexts = [...opened.contexts.values()];
    this.closed = session.closed;
    this.#session = session;
    this.transmissionFlags = opened.transmissionFlags;
    this.#contexts = opened.contexts;
  }

  /** Whether it takes commands: neither side has begun to end it. */
  get isOpen(): boolean {
    return this.#session.isOpen;
  }

  /** Counters since the connection was opened; a copy. */
  get statistics(): ConnectionStatistics {
    return this.#session.statistics;
  }

  /**
   * Reads into new memory.
   *
   * @throws NbdUsageError (nothing was sent), NbdCommandError, NbdProtocolError, NbdConnectionClosedError, or
   * the signal's reason
   */
  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Buffer> {
    refuse(optionsProblem('read', options, READ_OPTIONS) ?? rangeProblem(this, offset, length));
    const buffer = memoryFor(length);
    await this.#limited('read', options, (own) => this.#read(offset, { buffer, direct: true }, own));
    return buffer;
  }

  /**
   * Reads `buffer.length` bytes into `buffer`, which must not be touched until the promise is settled and
   * whose content is undefined if it is rejected. Without a signal the bytes are received straight into it.
   *
   * @throws as `read`
   */
  readInto(buffer: Uint8Array, offset: number, options: ReadOptions = {}): Promise<void> {
    const problem =
      bytesProblem('the buffer of readInto', buffer) ?? optionsProblem('readInto', options, READ_OPTIONS);
    if (problem !== undefined) return Promise.reject(problem);
    return this.#limited('readInto', options, (own) =>
      this.#read(offset, { buffer, direct: own.signal === undefined }, own),
    );
  }

  /**
   * Writes `bytes`, which are borrowed until the promise is settled.
   *
   * @throws as `read`
   */
  async write(offset: number, bytes: Uint8Array, options: ChangeOptions = {}): Promise<void> {
    refuse(bytesProblem('what is to be written', bytes) ?? optionsProblem('write', options, CHANGE_OPTIONS));
    const view = plainView(bytes);
    refuse(rangeProblem(this, offset, view.length));
    await this.#limited('write', options, (own) =>
      this.#session.issueAll(writePieces(this.#changeLimits, offset, view, own), own.signal),
    );
  }

  /** Makes a range read as zeroes. @throws as `read` */
  async writeZeroes(offset: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    refuse(optionsProblem('writeZeroes', options, ZEROES_OPTIONS) ?? rangeProblem(this, offset, length));
    await this.#session.issueAll(
      writeZeroesPieces(this.#changeLimits, offset, length, options),
      options.signal,
    );
  }

  /** Tells that a range is not needed any more; what it reads as then is undefined. @throws as `read` */
  async trim(offset: number, length: number, options: ChangeOptions = {}): Promise<void> {
    refuse(optionsProblem('trim', options, CHANGE_OPTIONS) ?? rangeProblem(this, offset, length));
    await this.#limited('trim', options, (own) =>
      this.#session.issueAll(trimPieces(this.#changeLimits, offset, length, own), own.signal),
    );
  }

  /** Tells that a range will be read soon. @throws as `read` */
  async cache(offset: number, length: number, options: CommandOptions = {}): Promise<void> {
    refuse(optionsProblem('cache', options, COMMAND_OPTIONS) ?? rangeProblem(this, offset, length));
    await this.#limited('cache', options, (own) =>
      this.#session.issueAll(cachePieces(this.#changeLimits, offset, length), own.signal),
    );
  }

  /** Puts every write that was fulfilled before onto stable storage. @throws as `read` */
  async flush(options: CommandOptions = {}): Promise<void> {
    refuse(optionsProblem('flush', options, COMMAND_OPTIONS));
    await this.#limited('flush', options, (own) =>
      this.#session.issueAll(flushPieces(this.#changeLimits), own.signal),
    );
  }

  /**
   * The extents of every selected context, or of those asked for, from `offset` on. A server may answer for less than `length`, and
   * for each context differently, but never for nothing.
   *
   * @throws as `read`
   */
  async blockStatus(offset: number, length: number, options: BlockStatusOptions = {}): Promise<BlockStatus> {
    refuse(optionsProblem('blockStatus', options, STATUS_OPTIONS) ?? rangeProblem(this, offset, length));
    if (this.#contexts.size === 0) throw new NbdUsageError('BLOCK_STATUS needs a selected metadata context');
    if (length === 0) throw new NbdUsageError('BLOCK_STATUS of 0 bytes');
    const most = maxLength(this.headerStyle);
    if (length > most) throw new NbdUsageError(`BLOCK_STATUS of ${length} bytes, the most is ${most}`);
    const flags = options.reqOne === true ? NBD_CMD_FLAG.REQ_ONE : 0;
    const wanted = this.#wantedContexts(options.contexts);
    const isSubset = wanted.size < this.#contexts.size;
    const filter = isSubset && this.canFilterStatus;
    const asked = filter ? wanted : this.#contexts;
    const command = new StatusCommand(offset, length, flags, asked, filter);
    const status = await this.#limited('blockStatus', options, (own) =>
      this.#session.issue(command, own.signal),
    );
    if (asked === wanted || !isSubset) return status;
    const names = new Set(wanted.values());
    return new Map([...status].filter(([name]) => names.has(name)));
  }

  /**
   * All extents of one selected context in order, neighbours with the same flags joined.
   *
   * @throws as `read`
   */
  extents(context: string, options: ExtentsOptions = {}): AsyncGenerator<Extent, void, undefined> {
    return eachExtent(extentBatches(this, context, options));
  }

  /**
   * The same, as many at a time as one reply brought: for millions of them several times as fast.
   *
   * @throws as `read`
   */
  extentBatches(
    context: string,
    options: ExtentsOptions = {},
  ): AsyncGenerator<readonly Extent[], void, undefined> {
    return extentBatches(this, context, options);
  }

  /** The bytes of a range as a stream, read ahead within a bound. @throws NbdUsageError */
  createReadStream(options: ReadStreamOptions = {}): Readable {
    return readStream(this, options);
  }

  /**
   * Takes bytes and writes them one behind the other, several requests at once; flushed at its end where the
   * server can. What was written to it must not be changed before it has finished.
   *
   * @throws NbdUsageError
   */
  createWriteStream(options: WriteStreamOptions = {}): Writable {
    return writeStream(this, options);
  }

  /**
   * Takes objects of type `RestoreChunk` and writes each where it belongs, several requests at once: they must
   * not overlap. Flushed at its end where the server can. Zeroes travel as WRITE_ZEROES where the server knows it.
   */
  createRestoreStream(options: RestoreStreamOptions = {}): Writable {
    return restoreStream(this, options);
  }

  /** Lets what is under way finish, says goodbye (NBD_CMD_DISC) and waits for the end, all within a bound. */
  close(): Promise<CloseInfo> {
    return this.#session.close();
  }

  /** Ends the connection now; what is under way is rejected. */
  destroy(reason?: Error): void {
    this.#session.destroy(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Runs a command within its `timeoutMs`, if it has one: under a signal that stands for both limits. */
  async #withDeadline<Options extends CommandOptions, T>(
    what: string,
    options: Options,
    run: (own: Options) => Promise<T>,
  ): Promise<T> {
    const { timeoutMs = 0 } = options;
    const deadline = new Deadline(options.signal);
    deadline.set(timeoutMs, () => new NbdTimeoutError(`${what} was not answered within ${timeoutMs} ms`));
    try {
      return await run({ ...options, signal: deadline.signal });
    } finally {
      deadline.clear();
    }
  }

  #limited<Options extends CommandOptions, T>(
    what: string,
    options: Options,
    run: (own: Options) => Promise<T>,
  ): Promise<T> {
    return options.timeoutMs === undefined || options.timeoutMs === 0
      ? run(options)
      : this.#withDeadline(what, options, run);
  }

  #wantedContexts(names: readonly string[] | undefined): ReadonlyMap<number, string> {
    if (names === undefined) return this.#contexts;
    if (names.length === 0) throw new NbdUsageError('BLOCK_STATUS of no metadata context');
    const missing = names.find((name) => !this.metaContexts.includes(name));
    if (missing !== undefined) throw notSelected(missing);
    return new Map([...this.#contexts].filter(([, name]) => names.includes(name)));
  }

  get #changeLimits(): ChangeLimits {
    return {
      transmissionFlags: this.transmissionFlags,
      maximumPayload: this.blockSize.maximum,
      maximumLength: maxLength(this.headerStyle),
    };
  }

  /** Not an async function: a small read has no promise but its command's own. */
  #read(offset: number, destination: Destination, options: ReadOptions): Promise<void> {
    const { length } = destination.buffer;
    const problem = rangeProblem(this, offset, length);
    if (problem !== undefined) return Promise.reject(problem);
    const df = options.df === true && this.canDf;
    if (length === 0 || length > Math.min(this.blockSize.maximum, DF_ALWAYS_BYTES))
      return this.#readLarge(df, offset, destination, options);
    const flags = df ? NBD_CMD_FLAG.DF : 0;
    return this.#session.issue(new ReadCommand(offset, length, flags, destination), options.signal);
  }

  async #readLarge(
    df: boolean,
    offset: number,
    destination: Destination,
    options: ReadOptions,
  ): Promise<void> {
    if (!df) return this.#readPieces(0, offset, destination, options);
    try {
      await this.#readPieces(NBD_CMD_FLAG.DF, offset, destination, options);
    } catch (error) {
      if (!(error instanceof NbdCommandError && error.errno === NBD_ERROR.EOVERFLOW)) throw error;
      await this.#readPieces(0, offset, destination, options);
    }
  }

  async #readPieces(
    flags: number,
    offset: number,
    destination: Destination,
    options: ReadOptions,
  ): Promise<void> {
    const { buffer, direct } = destination;
    const { maximum } = this.blockSize;
    if (buffer.length === 0) return;
    if (buffer.length <= maximum) {
      await this.#session.issue(new ReadCommand(offset, buffer.length, flags, destination), options.signal);
      return;
    }
    const pieces = cut(offset, buffer.length, maximum, (at, size) => {
      const piece = buffer.subarray(at - offset, at - offset + size);
      return new ReadCommand(at, size, flags, { buffer: piece, direct });
    });
    await this.#session.issueAll(pieces, options.signal);
  }
}
