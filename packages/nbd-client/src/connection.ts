import { AbortListeners } from './abort-listeners.ts';
import type { Command, Extent } from './commands/command.ts';
import { type Destination, ReadCommand } from './commands/read-command.ts';
import { type BlockStatus, StatusCommand } from './commands/status-command.ts';
import { NbdConnectionClosedError, NbdConnectError, NbdProtocolError, NbdUsageError } from './errors.ts';
import { type ExtentsOptions, iterateExtents } from './extents.ts';
import { InFlight, type WindowLimits } from './in-flight.ts';
import type { Negotiated } from './negotiate.ts';
import type { BlockSize } from './option.ts';
import { NBD_CMD, NBD_CMD_FLAG, NBD_ERROR, NBD_FLAG } from './protocol/constants.ts';
import { MAX_COMPACT_STATUS_BYTES } from './protocol/limits.ts';
import { type HeaderStyle, ReplyParser } from './reply-parser.ts';
import { encodeRequest } from './request.ts';
import type { Receiver, Transport } from './transport.ts';

/** How a connection came to its end. */
export interface CloseInfo {
  /** `client`: `close` or `destroy` was called. `server`: it hung up. `error`: see `error`. */
  readonly reason: 'client' | 'server' | 'error';
  readonly error?: Error;
}

/** Counters of one connection since it was opened. */
export interface ConnectionStatistics {
  /** On the wire, headers included. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Requests sent, of any kind. */
  readonly requests: number;
  /** Sum of the lengths of all READ requests sent. */
  readonly readBytesRequested: number;
}

export interface CommandOptions {
  /** Rejects at once with the signal's reason; the late reply is dropped. */
  readonly signal?: AbortSignal;
}

export interface ReadOptions extends CommandOptions {
  /**
   * Sets NBD_CMD_FLAG_DF, where the server knows it: the reply is one chunk. For ranges known to hold data.
   * QEMU answers a media error of such a READ with an error, of any other by dropping the connection.
   */
  readonly df?: boolean;
}

export interface BlockStatusOptions extends CommandOptions {
  /** NBD_CMD_FLAG_REQ_ONE: one extent for each context. */
  readonly reqOne?: boolean;
}

export interface ConnectionLimits extends WindowLimits {
  readonly idleTimeoutMs: number;
  readonly closeTimeoutMs: number;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'closing'; readonly deadline: NodeJS.Timeout }
  | { readonly kind: 'closed'; readonly info: CloseInfo };

/**
 * An NBD connection in the transmission phase.
 *
 * Offsets and lengths are bytes, as safe integers. Many commands may be under way at once; one that fails
 * does not harm its neighbours. A violation of the protocol ends the connection and rejects them all.
 */
export class NbdConnection implements Receiver, AsyncDisposable {
  readonly exportName: string;
  /** Bytes. */
  readonly exportSize: number;
  readonly blockSize: BlockSize;
  /** Which headers were agreed on. */
  readonly headerStyle: HeaderStyle;
  /** The metadata contexts that the server selected of those asked for. */
  readonly metaContexts: readonly string[];
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<CloseInfo>;

  readonly #transport: Transport;
  readonly #flags: number;
  readonly #contexts: ReadonlyMap<number, string>;
  readonly #limits: ConnectionLimits;
  readonly #inFlight: InFlight;
  readonly #parser: ReplyParser;
  readonly #statistics = { requests: 0, readBytesRequested: 0 };
  readonly #aborts = new AbortListeners<Command>((command, reason) => {
    this.#inFlight.withdraw(command);
    command.fail(reason);
    this.#sayGoodbyeWhenIdle();
  });
  #state: State = { kind: 'open' };
  #resolveClosed!: (info: CloseInfo) => void;
  #destroyed: CloseInfo | undefined;
  #sendScheduled = false;
  #idleTimer: NodeJS.Timeout | undefined;

  /** Use `connect`. */
  constructor(transport: Transport, negotiated: Negotiated, limits: ConnectionLimits) {
    this.exportName = negotiated.exportName;
    this.exportSize = negotiated.exportSize;
    this.blockSize = negotiated.blockSize;
    this.headerStyle = negotiated.style;
    this.metaContexts = [...negotiated.contexts.values()];
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    this.#transport = transport;
    this.#flags = negotiated.transmissionFlags;
    this.#contexts = negotiated.contexts;
    this.#limits = limits;
    this.#inFlight = new InFlight(limits);
    this.#parser = new ReplyParser(negotiated.style, {
      find: (high, low) => this.#inFlight.find(high, low),
      done: (command) => {
        this.#answered(command);
      },
    });
    transport.receiver = this;
  }

  get isReadOnly(): boolean {
    return this.#has(NBD_FLAG.READ_ONLY);
  }

  get canMultiConn(): boolean {
    return this.#has(NBD_FLAG.CAN_MULTI_CONN);
  }

  get canDf(): boolean {
    return this.#has(NBD_FLAG.SEND_DF);
  }

  get statistics(): ConnectionStatistics {
    const { bytesRead: bytesReceived, bytesWritten: bytesSent } = this.#transport;
    return { ...this.#statistics, bytesReceived, bytesSent };
  }

  /**
   * Reads into new memory.
   *
   * @throws NbdUsageError (nothing was sent), NbdCommandError, NbdProtocolError, NbdConnectionClosedError, or
   * the signal's reason
   */
  async read(offset: number, length: number, options: ReadOptions = {}): Promise<Buffer> {
    this.#checkRange(offset, length);
    // Not initialised: the reply is proved to cover all of it before it is handed out.
    const buffer = Buffer.allocUnsafeSlow(length);
    await this.#readPieces(offset, { buffer, direct: true }, options);
    return buffer;
  }

  /**
   * Reads `buffer.length` bytes into `buffer`, which must not be touched until the promise is settled and
   * whose content is undefined if it is rejected. Without a signal the bytes are received straight into it.
   *
   * @throws as `read`
   */
  async readInto(buffer: Uint8Array, offset: number, options: ReadOptions = {}): Promise<void> {
    this.#checkRange(offset, buffer.length);
    await this.#readPieces(offset, { buffer, direct: options.signal === undefined }, options);
  }

  /**
   * The extents of every selected context from `offset` on. A server may answer for less than `length`, and
   * for each context differently, but never for nothing.
   *
   * @throws as `read`
   */
  async blockStatus(offset: number, length: number, options: BlockStatusOptions = {}): Promise<BlockStatus> {
    this.#checkRange(offset, length);
    if (this.#contexts.size === 0) throw new NbdUsageError('BLOCK_STATUS needs a selected metadata context');
    if (length === 0) throw new NbdUsageError('BLOCK_STATUS of 0 bytes');
    if (length > this.#maxStatusBytes)
      throw new NbdUsageError(`BLOCK_STATUS of ${length} bytes, the most is ${this.#maxStatusBytes}`);
    const flags = options.reqOne === true ? NBD_CMD_FLAG.REQ_ONE : 0;
    return this.#issue(new StatusCommand(offset, length, flags, this.#contexts), options.signal);
  }

  /**
   * All extents of one selected context in order, neighbours with the same flags joined.
   *
   * @throws as `read`
   */
  extents(context: string, options: ExtentsOptions = {}): AsyncGenerator<Extent, void, undefined> {
    const { start = 0, end = this.exportSize, signal } = options;
    if (!this.metaContexts.includes(context))
      throw new NbdUsageError(`the metadata context ${JSON.stringify(context)} was not selected`);
    this.#checkRange(start, end - start);
    const command = signal === undefined ? {} : { signal };
    return iterateExtents((offset, length) => this.blockStatus(offset, length, command), context, {
      start,
      end,
      windowBytes: this.#maxStatusBytes,
    });
  }

  /** Lets what is under way finish, says goodbye (NBD_CMD_DISC) and waits for the end, all within a bound. */
  async close(): Promise<CloseInfo> {
    if (this.#state.kind === 'open') {
      const deadline = setTimeout(() => {
        this.destroy(new NbdConnectionClosedError('the server did not finish in time for close()'));
      }, this.#limits.closeTimeoutMs);
      this.#state = { kind: 'closing', deadline };
      this.#sayGoodbyeWhenIdle();
    }
    return this.closed;
  }

  /** Ends the connection now; what is under way is rejected. */
  destroy(reason?: Error): void {
    if (this.#state.kind === 'closed') return;
    this.#destroyed ??= reason === undefined ? { reason: 'client' } : { reason: 'client', error: reason };
    this.#transport.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  target(): Uint8Array | null {
    return this.#parser.target();
  }

  /** @internal */
  filled(count: number): void {
    this.#idleTimer?.refresh();
    this.#parser.filled(count);
  }

  /** @internal */
  receive(chunk: Uint8Array): void {
    this.#idleTimer?.refresh();
    this.#parser.receive(chunk);
  }

  /** @internal */
  ended(error: Error | undefined): void {
    const wasClosing = this.#state.kind === 'closing';
    if (this.#state.kind === 'closing') clearTimeout(this.#state.deadline);
    clearTimeout(this.#idleTimer);
    const info = this.#destroyed ?? closeInfo(error, wasClosing && this.#inFlight.size === 0);
    this.#state = { kind: 'closed', info };
    this.#inFlight.failAll(closedError(info));
    this.#resolveClosed(info);
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  get #maxStatusBytes(): number {
    return this.headerStyle === 'extended' ? Number.MAX_SAFE_INTEGER : MAX_COMPACT_STATUS_BYTES;
  }

  #checkRange(offset: number, length: number): void {
    const { exportSize, blockSize } = this;
    for (const value of [offset, length])
      if (!Number.isSafeInteger(value) || value < 0)
        throw new NbdUsageError(`offset ${offset} and length ${length} are not non-negative safe integers`);
    if (length > exportSize - offset)
      throw new NbdUsageError(`${length} bytes at ${offset} reach beyond the export of ${exportSize} bytes`);
    if (offset % blockSize.minimum !== 0 || length % blockSize.minimum !== 0)
      throw new NbdUsageError(
        `offset ${offset} and length ${length} are not multiples of the block size ${blockSize.minimum}`,
      );
  }

  async #readPieces(offset: number, destination: Destination, options: ReadOptions): Promise<void> {
    const { buffer } = destination;
    const flags = options.df === true && this.canDf ? NBD_CMD_FLAG.DF : 0;
    const pieces: Promise<void>[] = [];
    for (let at = 0; at < buffer.length; at += this.blockSize.maximum) {
      const piece = buffer.subarray(at, at + this.blockSize.maximum);
      const command = new ReadCommand(offset + at, flags, { buffer: piece, direct: destination.direct });
      pieces.push(this.#issue(command, options.signal));
    }
    // A borrowed buffer goes back only when nothing is written to it any more.
    for (const outcome of await Promise.allSettled(pieces))
      if (outcome.status === 'rejected') throw outcome.reason;
  }

  #issue<T>(command: Command<T>, signal: AbortSignal | undefined): Promise<T> {
    if (this.#state.kind !== 'open') {
      command.fail(closedError(this.#state.kind === 'closed' ? this.#state.info : { reason: 'client' }));
    } else if (signal?.aborted === true) {
      command.fail(signal.reason);
    } else {
      if (signal !== undefined) this.#failOnAbort(command, signal);
      this.#inFlight.enqueue(command);
      this.#scheduleSend();
    }
    return command.promise;
  }

  #failOnAbort(command: Command, signal: AbortSignal): void {
    this.#aborts.add(signal, command);
    const settled = (): void => {
      this.#aborts.delete(signal, command);
    };
    command.promise.then(settled, settled);
  }

  /** Requests issued in one turn leave in one write. */
  #scheduleSend(): void {
    if (this.#sendScheduled) return;
    this.#sendScheduled = true;
    process.nextTick(() => {
      this.#sendScheduled = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#state.kind === 'closed') return;
    const bytes: Uint8Array[] = [];
    for (let command = this.#inFlight.take(); command !== undefined; command = this.#inFlight.take()) {
      bytes.push(encodeRequest(this.headerStyle, command, this.#inFlight.cookieHigh, command.cookie));
      this.#statistics.requests++;
      if (command.type === NBD_CMD.READ) this.#statistics.readBytesRequested += command.length;
    }
    const [first] = bytes;
    if (first === undefined) return;
    this.#transport.write(bytes.length === 1 ? first : Buffer.concat(bytes));
    this.#watchIdle();
  }

  /** Without progress on what is under way the server counts as gone. */
  #watchIdle(): void {
    const { idleTimeoutMs } = this.#limits;
    if (idleTimeoutMs === 0 || this.#idleTimer !== undefined) return;
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      this.#end(
        new NbdConnectError(`no byte from the NBD server for ${idleTimeoutMs} ms with requests under way`),
      );
    }, idleTimeoutMs);
  }

  #end(error: Error): void {
    this.#destroyed ??= { reason: 'error', error };
    this.#transport.destroy();
  }

  #answered(command: Command): void {
    // First this: a reply that was not whole throws, and the command then fails with all the others.
    if (!command.settled) command.finish();
    this.#inFlight.remove(command);
    if (this.#inFlight.sent === 0) {
      clearTimeout(this.#idleTimer);
      this.#idleTimer = undefined;
    }
    if (command.errno === NBD_ERROR.ESHUTDOWN) void this.close();
    if (this.#inFlight.size > 0) this.#scheduleSend();
    else this.#sayGoodbyeWhenIdle();
  }

  #sayGoodbyeWhenIdle(): void {
    if (this.#state.kind !== 'closing' || this.#inFlight.size > 0) return;
    const disconnect = { type: NBD_CMD.DISC, flags: 0, offset: 0, length: 0 };
    this.#transport.write(encodeRequest(this.headerStyle, disconnect, this.#inFlight.cookieHigh, 0));
    this.#transport.end();
  }
}

function closeInfo(error: Error | undefined, expected: boolean): CloseInfo {
  if (expected) return { reason: 'client' };
  return error === undefined ? { reason: 'server' } : { reason: 'error', error };
}

/** What commands are rejected with when the connection has ended like this. */
function closedError({ reason, error }: CloseInfo): Error {
  if (error instanceof NbdProtocolError) return error;
  const who = reason === 'server' ? 'the NBD server closed the connection' : 'the NBD connection is closed';
  return new NbdConnectionClosedError(error === undefined ? who : `${who}: ${error.message}`, {
    cause: error,
  });
}
