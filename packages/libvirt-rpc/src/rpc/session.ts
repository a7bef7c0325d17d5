import type { Fields } from '../codec/field-type.ts';
import {
  LibvirtConnectionClosedError,
  LibvirtProtocolError,
  LibvirtTimeoutError,
  LibvirtUsageError,
} from '../errors.ts';
import type { ArgsOf, Procedure, ReplyOf } from '../procedures/row.ts';
import {
  KEEPALIVE_PROC,
  PROGRAM_VERSION,
  PROGRAMS,
  virNetMessageStatus,
  virNetMessageType,
} from '../protocol/constants.ts';
import type { Receiver, Transport } from '../transport.ts';
import { CallQueue } from './call-queue.ts';
import { Framer } from './framer.ts';
import { Keepalive, type KeepaliveOptions } from './keepalive.ts';
import { Outbox } from './outbox.ts';
import { encodeKeepalive, encodePacket, type Packet } from './packet.ts';
import { type CallOptions, PendingCall } from './pending-call.ts';

/** How a connection came to its end. */
export interface CloseInfo {
  /**
   * `client`: `close` or `destroy` was called. `eof`: the daemon hung up. `keepalive`: it did not answer pings.
   * `error`: see `error`.
   */
  readonly reason: 'error' | 'eof' | 'keepalive' | 'client';
  readonly error?: Error;
}

export interface SessionOptions {
  readonly callTimeoutMs: number;
  readonly keepalive: Required<KeepaliveOptions>;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'closing'; readonly idle: () => void }
  | { readonly kind: 'closed'; readonly info: CloseInfo };

/** Calls and messages over one transport: knows packets, serials and time, not what the procedures mean. */
export class RpcSession implements Receiver {
  /** Resolves, never rejects, when the session has ended. */
  readonly closed: Promise<CloseInfo>;
  /** Takes every event, within the read loop: it must be quick and may throw LibvirtProtocolError. */
  onEvent: (packet: Packet) => void = () => undefined;

  readonly #transport: Transport;
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #keepalive: Keepalive;
  readonly #calls = new CallQueue<PendingCall>();
  readonly #framer = new Framer((packet) => {
    this.#route(packet);
  });
  #state: State = { kind: 'open' };
  #resolveClosed!: (info: CloseInfo) => void;

  constructor(transport: Transport, options: SessionOptions) {
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    this.#transport = transport;
    this.#options = options;
    this.#outbox = new Outbox(transport);
    this.#keepalive = new Keepalive(
      options.keepalive,
      () => {
        this.#outbox.sendUrgently(encodeKeepalive(KEEPALIVE_PROC.KEEPALIVE_PROC_PING));
      },
      () => {
        const { count, intervalMs } = options.keepalive;
        const error = new LibvirtTimeoutError(
          `the daemon left ${count} pings, one every ${intervalMs} ms, unanswered`,
        );
        this.#end({ reason: 'keepalive', error });
      },
    );
    transport.receiver = this;
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open';
  }

  /**
   * Calls a procedure.
   *
   * @throws LibvirtError, LibvirtUsageError (nothing was sent), LibvirtTimeoutError, LibvirtProtocolError,
   * LibvirtConnectionClosedError, or the signal's reason
   */
  async call<P extends Procedure>(
    procedure: P,
    args: ArgsOf<P>,
    options: CallOptions = {},
  ): Promise<ReplyOf<P>> {
    options.signal?.throwIfAborted();
    refuseUnsupported(procedure);
    if (this.#state.kind !== 'open') throw this.#closedError(procedure.name);
    return (await this.#start(procedure, args, options)) as ReplyOf<P>;
  }

  /**
   * Ends the session in good order: refuses further calls, waits for those under way, makes a last one, and
   * drops the connection in any case after `timeoutMs`.
   */
  async close(goodbye: Procedure<Record<string, never>>, timeoutMs: number): Promise<void> {
    if (this.#state.kind !== 'open') {
      await this.closed;
      return;
    }
    const deadline = setTimeout(() => {
      this.destroy();
    }, timeoutMs);
    await new Promise<void>((resolve) => {
      this.#setState({ kind: 'closing', idle: resolve });
      this.#checkIdle();
    });
    if (!this.#hasEnded) await this.#start(goodbye, {}, { timeoutMs }).catch(() => undefined);
    clearTimeout(deadline);
    this.destroy();
    await this.closed;
  }

  /** Ends the session now. */
  destroy(reason?: Error): void {
    this.#end(reason === undefined ? { reason: 'client' } : { reason: 'client', error: reason });
  }

  receive(chunk: Buffer): void {
    if (this.#hasEnded) return;
    try {
      this.#framer.push(chunk);
    } catch (error) {
      this.#end({ reason: 'error', error: error as Error });
    }
  }

  drained(): void {
    if (!this.#hasEnded) this.#outbox.drained();
  }

  ended(error: Error | undefined): void {
    if (error !== undefined) this.#end({ reason: 'error', error });
    else if (this.#framer.pending > 0)
      this.#end({
        reason: 'error',
        error: new LibvirtProtocolError(
          `the daemon hung up within a packet, of which ${this.#framer.pending} bytes had arrived`,
        ),
      });
    else this.#end({ reason: this.#state.kind === 'closing' ? 'client' : 'eof' });
  }

  get #hasEnded(): boolean {
    return this.#state.kind === 'closed';
  }

  #setState(state: State): void {
    this.#state = state;
  }

  #start(procedure: Procedure, args: Record<string, unknown>, options: CallOptions): Promise<unknown> {
    const timeoutMs = options.timeoutMs ?? (procedure.timeout === 'none' ? 0 : this.#options.callTimeoutMs);
    const call = new PendingCall(procedure, args, { ...options, timeoutMs }, (abandoned) => {
      this.#calls.withdraw(abandoned);
      this.#checkIdle();
    });
    this.#calls.add(call);
    this.#sendNext();
    return call.reply;
  }

  #sendNext(): void {
    for (let next = this.#calls.next(); next !== undefined; next = this.#calls.next()) {
      const { call, serial } = next;
      const { program, number, args } = call.procedure;
      try {
        const header = {
          program: PROGRAMS[program],
          procedure: number,
          type: virNetMessageType.VIR_NET_CALL,
          serial,
          status: virNetMessageStatus.VIR_NET_OK,
        };
        this.#outbox.send(encodePacket<Fields>(header, args, call.args as never));
      } catch (error) {
        this.#calls.answered(serial);
        call.fail(error);
      }
    }
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (this.#state.kind === 'closing' && this.#calls.isIdle()) this.#state.idle();
  }

  /** By type first: events carry a serial of their own choice. */
  #route(packet: Packet): void {
    if (this.#hasEnded) return;
    this.#keepalive.heard();
    switch (packet.type) {
      case virNetMessageType.VIR_NET_REPLY:
        this.#reply(packet);
        return;
      case virNetMessageType.VIR_NET_MESSAGE:
        this.#message(packet);
        return;
      default:
        throw new LibvirtProtocolError(
          `a packet of type ${packet.type} (program ${packet.program}, procedure ${packet.procedure}), which nothing asked for`,
        );
    }
  }

  #reply(packet: Packet): void {
    const call = this.#calls.find(packet.serial);
    const matches =
      call !== undefined &&
      packet.program === PROGRAMS[call.procedure.program] &&
      packet.version === PROGRAM_VERSION &&
      packet.procedure === call.procedure.number;
    if (!matches)
      throw new LibvirtProtocolError(
        `a reply to a call that was not made: program ${packet.program}, procedure ${packet.procedure}, serial ${packet.serial}`,
      );
    call.answer(packet);
    this.#calls.answered(packet.serial);
    this.#sendNext();
  }

  #message(packet: Packet): void {
    if (packet.program !== PROGRAMS.KEEPALIVE) {
      this.onEvent(packet);
      return;
    }
    if (packet.procedure === KEEPALIVE_PROC.KEEPALIVE_PROC_PING)
      this.#outbox.sendUrgently(encodeKeepalive(KEEPALIVE_PROC.KEEPALIVE_PROC_PONG));
  }

  #end(info: CloseInfo): void {
    const before = this.#state;
    if (before.kind === 'closed') return;
    this.#setState({ kind: 'closed', info });
    this.#keepalive.stop();
    this.#transport.destroy();
    for (const call of this.#calls.clear()) call.fail(this.#failure(call.procedure.name, info));
    if (before.kind === 'closing') before.idle();
    this.#resolveClosed(info);
  }

  /** A protocol error is the same for every call; anything else names the call. */
  #failure(procedure: string, info: CloseInfo): Error {
    return info.error instanceof LibvirtProtocolError ? info.error : this.#closedError(procedure);
  }

  #closedError(procedure: string): Error {
    const info = this.#state.kind === 'closed' ? this.#state.info : undefined;
    const why = info === undefined ? 'is closing' : `has ended (${info.reason})`;
    const said = info?.error === undefined ? '' : `: ${info.error.message}`;
    return new LibvirtConnectionClosedError(`${procedure}: the connection ${why}${said}`, {
      cause: info?.error,
    });
  }
}

function refuseUnsupported({ name, fileDescriptors, stream }: Procedure): void {
  if (fileDescriptors === true)
    throw new LibvirtUsageError(`${name} passes file descriptors, which Node cannot do`);
  if (stream !== undefined) throw new LibvirtUsageError(`${name} is followed by a stream; not supported yet`);
}
