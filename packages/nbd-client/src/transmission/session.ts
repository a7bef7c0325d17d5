import { onAbort } from '../abort-listeners.ts';
import type { Command } from '../commands/command.ts';
import { isTracingCommands, tellClosed, traceCommand } from '../diagnostics.ts';
import { NbdConnectError, NbdConnectionClosedError } from '../errors.ts';
import { closedError, type CloseInfo, closeInfo, wholeFailure } from './close-info.ts';
import { InFlight, type WindowLimits } from './in-flight.ts';
import { NBD_CMD, NBD_ERROR } from '../protocol/constants.ts';
import { ReplyParser } from './reply-parser.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';
import { encodeRequest } from './request.ts';
import type { Receiver, Transport } from '../transport/transport.ts';

/** Counters of one connection, or of all connections of a pool, since it was opened. */
export interface ConnectionStatistics {
  /** On the wire, headers included. */
  readonly bytesReceived: number;
  /** On the wire, headers included. */
  readonly bytesSent: number;
  /** Requests sent, of any kind. */
  readonly requests: number;
  /** Sum of the lengths of all READ requests sent. */
  readonly readBytesRequested: number;
  /** Sum of the lengths of all WRITE requests sent. */
  readonly writtenBytes: number;
  /** Requests on the wire that are not answered yet. */
  readonly requestsInFlight: number;
  /** Requests that wait for room in the window (`maxRequests`, `maxBytes`). */
  readonly requestsWaiting: number;
}

export interface SessionLimits extends WindowLimits {
  readonly idleTimeoutMs: number;
  readonly closeTimeoutMs: number;
}

/** How often the idle timer looks within its time: a timer that is put back with every byte costs too much. */
const IDLE_LOOKS = 4;

type State =
  | { readonly kind: 'open' }
  /** `leaving` once the goodbye is said, when nothing is under way any more. */
  | {
      readonly kind: 'closing' | 'leaving';
      readonly deadline: NodeJS.Timeout;
      readonly why: 'close' | 'peer';
    }
  | { readonly kind: 'closed'; readonly info: CloseInfo };

/** Of this process: numbers the connections for those who watch them. */
let sessions = 0;

/**
 * The transmission phase of one connection: sends commands as the window allows, gives replies to them, and
 * ends once, with one reason for all that is under way.
 */
export class Session implements Receiver {
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<CloseInfo>;
  readonly #transport: Transport;
  readonly #style: HeaderStyle;
  readonly #limits: SessionLimits;
  readonly #exportName: string;
  readonly #inFlight: InFlight;
  readonly #parser: ReplyParser;
  readonly #statistics = { requests: 0, readBytesRequested: 0, writtenBytes: 0 };
  readonly #id = ++sessions;
  #state: State = { kind: 'open' };
  #resolveClosed!: (info: CloseInfo) => void;
  #ending: CloseInfo | undefined;
  #sendScheduled = false;
  #idleTimer: NodeJS.Timeout | undefined;
  /** Whether a byte has come since the timer last looked. */
  #progressed = false;

  /** @param exportName - for messages */
  constructor(transport: Transport, style: HeaderStyle, limits: SessionLimits, exportName: string) {
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    this.#transport = transport;
    this.#style = style;
    this.#limits = limits;
    const inFlight = new InFlight(limits);
    this.#inFlight = inFlight;
    this.#exportName = exportName;
    this.#parser = new ReplyParser(style, {
      find: (high, low) => this.#inFlight.find(high, low),
      done: (command) => {
        this.#answered(command);
      },
      get expectsContent() {
        return inFlight.expectsContent;
      },
    });
    transport.receiver = this;
  }

  /** Whether it takes commands. */
  get isOpen(): boolean {
    return this.#state.kind === 'open' && this.#ending === undefined;
  }

  get statistics(): ConnectionStatistics {
    const { bytesRead: bytesReceived, bytesWritten: bytesSent } = this.#transport;
    const { sent: requestsInFlight, size } = this.#inFlight;
    const requestsWaiting = size - requestsInFlight;
    return { ...this.#statistics, bytesReceived, bytesSent, requestsInFlight, requestsWaiting };
  }

  /** Lets what is under way finish, says goodbye (NBD_CMD_DISC) and waits for the end, all within a bound. */
  async close(): Promise<CloseInfo> {
    this.#leave('close');
    return this.closed;
  }

  /** @param why - a call of `close`, or a server that is shutting down */
  #leave(why: 'close' | 'peer'): void {
    if (this.#state.kind === 'open') {
      const deadline = setTimeout(() => {
        const error = new NbdConnectionClosedError('the server did not finish in time for close()', {
          sent: true,
        });
        this.#endAs({ reason: why, error });
      }, this.#limits.closeTimeoutMs);
      this.#state = { kind: 'closing', deadline, why };
      this.#sayGoodbyeWhenIdle();
    }
  }

  /** Ends the connection now; what is under way is rejected. */
  destroy(reason?: Error): void {
    this.#endAs(reason === undefined ? { reason: 'destroy' } : { reason: 'destroy', error: reason });
  }

  target(): Uint8Array | number {
    return this.#parser.target();
  }

  filled(count: number): void {
    this.#progressed = true;
    this.#parser.filled(count);
  }

  receive(chunk: Buffer): void {
    this.#progressed = true;
    this.#parser.receive(chunk);
  }

  flushed(): void {
    if (this.#inFlight.next !== undefined) this.#scheduleSend();
  }

  ended(error: Error | undefined): void {
    const state = this.#state;
    if (state.kind === 'closed') return;
    if (state.kind !== 'open') clearTimeout(state.deadline);
    clearTimeout(this.#idleTimer);
    const info = this.#ending ?? closeInfo(error, state.kind === 'leaving' ? state.why : undefined);
    this.#state = { kind: 'closed', info };
    this.#inFlight.failAll(closedError(info, true), closedError(info, false));
    this.#resolveClosed(info);
    tellClosed({ connection: this.#id, ...info });
  }

  /** Sends a command when there is room, and gives its promise. */
  issue<T>(command: Command<T>, signal: AbortSignal | undefined): Promise<T> {
    if (isTracingCommands()) return traceCommand(this.#id, command, () => this.#issue(command, signal));
    return this.#issue(command, signal);
  }

  /**
   * Issues the pieces of one request, as many at a time as may be on the wire. Settled only when all that were issued
   * are: a borrowed buffer goes back when nobody uses it any more. Behind one that fails no further ones are.
   */
  async issueAll(pieces: Iterable<Command<void>>, signal: AbortSignal | undefined): Promise<void> {
    const left = pieces[Symbol.iterator]();
    const failures: unknown[] = [];
    let sent = false;
    const work = async (first: Command<void>): Promise<void> => {
      for (let piece = first; ;) {
        await this.issue(piece, signal).catch((reason: unknown) => failures.push(reason));
        sent ||= piece.cookie !== undefined;
        const next = failures.length === 0 ? left.next() : undefined;
        if (next === undefined || next.done === true) return;
        piece = next.value;
      }
    };
    const lanes: Promise<void>[] = [];
    for (let first = left.next(); first.done !== true; first = left.next())
      if (lanes.push(work(first.value)) === this.#limits.maxRequests) break;
    await Promise.all(lanes);
    if (failures.length > 0) throw wholeFailure(failures, sent);
  }

  #issue<T>(command: Command<T>, signal: AbortSignal | undefined): Promise<T> {
    if (this.#state.kind !== 'open') {
      const info: CloseInfo = this.#state.kind === 'closed' ? this.#state.info : { reason: 'close' };
      command.fail(closedError(info, false));
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
    const unlisten = onAbort(signal, () => {
      this.#inFlight.withdraw(command);
      command.fail(signal.reason);
      this.#sayGoodbyeWhenIdle();
    });
    command.promise.then(unlisten, unlisten);
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
    const headers: Buffer[] = [];
    const pieces: Uint8Array[] = [];
    for (let next = this.#nextToSend(); next !== undefined; next = this.#nextToSend()) {
      const command = this.#inFlight.take(next);
      headers.push(encodeRequest(this.#style, command, this.#inFlight.cookieHigh, command.cookie));
      if (command.payload !== null) pieces.push(Buffer.concat(headers.splice(0)), command.payload);
      this.#statistics.requests++;
      if (command.type === NBD_CMD.READ) this.#statistics.readBytesRequested += command.length;
      else if (command.type === NBD_CMD.WRITE) this.#statistics.writtenBytes += command.length;
    }
    if (headers.length > 0) pieces.push(Buffer.concat(headers));
    if (pieces.length === 0) return;
    this.#transport.write(pieces);
    this.#watchIdle();
  }

  /**
   * The next command that fits into the window. One that carries bytes waits until what was written has left: a socket
   * keeps what it cannot send and looks at its length only then, when its memory may have been given away.
   */
  #nextToSend(): Command | undefined {
    for (;;) {
      const command = this.#inFlight.next;
      if (command === undefined || (command.payload !== null && this.#transport.isClogged)) return undefined;
      const { obstacle } = command;
      if (obstacle === undefined) return command;
      this.#inFlight.withdraw(command);
      command.fail(obstacle);
      this.#sayGoodbyeWhenIdle();
    }
  }

  /** Without progress on what is under way the server counts as gone. */
  #watchIdle(): void {
    const { idleTimeoutMs } = this.#limits;
    if (idleTimeoutMs === 0 || this.#idleTimer !== undefined) return;
    let quiet = 0;
    this.#progressed = false;
    const look = (): void => {
      quiet = this.#progressed ? 0 : quiet + 1;
      this.#progressed = false;
      if (quiet < IDLE_LOOKS) this.#idleTimer?.refresh();
      else this.#endAs({ reason: 'error', error: idleError(idleTimeoutMs) });
    };
    this.#idleTimer = setTimeout(look, idleTimeoutMs / IDLE_LOOKS);
  }

  #endAs(info: CloseInfo): void {
    if (this.#state.kind === 'closed') return;
    this.#ending ??= info;
    this.#transport.destroy();
  }

  #answered(command: Command): void {
    // First this: a reply that was not whole throws, and the command then fails with all the others.
    if (!command.settled) command.finish(this.#exportName);
    this.#inFlight.remove(command);
    if (this.#inFlight.sent === 0) {
      clearTimeout(this.#idleTimer);
      this.#idleTimer = undefined;
    }
    if (command.errno === NBD_ERROR.ESHUTDOWN) {
      this.#inFlight.failWaiting(new NbdConnectionClosedError('the NBD server is shutting down'));
      this.#leave('peer');
    }
    if (this.#inFlight.size > 0) this.#scheduleSend();
    else this.#sayGoodbyeWhenIdle();
  }

  #sayGoodbyeWhenIdle(): void {
    if (this.#state.kind !== 'closing' || this.#inFlight.size > 0) return;
    this.#state = { ...this.#state, kind: 'leaving' };
    const disconnect = { type: NBD_CMD.DISC, flags: 0, offset: 0, length: 0 };
    this.#transport.write([encodeRequest(this.#style, disconnect, this.#inFlight.cookieHigh, 0)]);
    this.#transport.end();
  }
}

function idleError(idleTimeoutMs: number): Error {
  return new NbdConnectError(
    'timeout',
    `no byte from the NBD server for ${idleTimeoutMs} ms with requests under way`,
  );
}
