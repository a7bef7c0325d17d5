import type { Fields } from '../codec/field-type.ts';
import { traceCall } from '../diagnostics.ts';
import { LibvirtProtocolError, LibvirtTimeoutError, LibvirtUsageError } from '../errors.ts';
import type { ArgsOf, Procedure, ReplyOf } from '../procedures/row.ts';
import {
  KEEPALIVE_PROC,
  PROGRAM_VERSION,
  PROGRAMS,
  virNetMessageStatus,
  virNetMessageType,
} from '../protocol/constants.ts';
import type { Receiver, Transport } from '../transports/transport.ts';
import { CallQueue } from './call-queue.ts';
import { checkedTimeout } from './call-timeout.ts';
import { type CloseInfo, closedError, hungUp, interruptedError } from './close-info.ts';
import { Framer } from './framer.ts';
import { Keepalive, type KeepaliveLimits } from './keepalive.ts';
import { Outbox } from './outbox.ts';
import { encodeKeepalive, encodePacket, type Packet } from './packet.ts';
import type { CallOptions } from './call-options.ts';
import { type InternalCallOptions, PendingCall } from './pending-call.ts';
import { RpcStream, type StreamSink } from './stream.ts';

const PING = encodeKeepalive(KEEPALIVE_PROC.KEEPALIVE_PROC_PING);
const PONG = encodeKeepalive(KEEPALIVE_PROC.KEEPALIVE_PROC_PONG);

export interface SessionOptions {
  /** For messages: where the session leads, without secrets. */
  readonly shownUri?: string;
  readonly callTimeoutMs: number;
  readonly keepalive: KeepaliveLimits;
}

type State =
  | { readonly kind: 'open' }
  /** `saidGoodbye`: nobody waits for anything any more, and the daemon may hang up in any way. */
  | { readonly kind: 'closing'; readonly idle: () => void; readonly saidGoodbye: boolean }
  | { readonly kind: 'closed'; readonly info: CloseInfo };

/** Calls and messages over one transport: knows packets, serials and time, not what the procedures mean. */
export class RpcSession implements Receiver {
  /** Resolves, never rejects, when the session has ended and nothing of its transport is left. */
  readonly closed: Promise<CloseInfo>;
  /** Takes every event, within the read loop: it must be quick and may throw LibvirtProtocolError. */
  onEvent: (packet: Packet) => void = () => undefined;

  readonly #transport: Transport;
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #keepalive: Keepalive;
  readonly #calls = new CallQueue<PendingCall>();
  /** By the serial of the call that opened them. */
  readonly #streams = new Map<number, RpcStream>();
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
        this.#outbox.sendUrgently(PING);
      },
      () => {
        const { count, intervalMs } = options.keepalive;
        const error = new LibvirtTimeoutError(
          `the daemon left ${count} pings, one every ${intervalMs} ms, unanswered`,
        );
        this.#end({ reason: 'error', error });
      },
    );
    transport.receiver = this;
  }

  /** Of calls without a timeout of their own. */
  get callTimeoutMs(): number {
    return this.#options.callTimeoutMs;
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
    options: Omit<InternalCallOptions, 'stream'> = {},
  ): Promise<ReplyOf<P>> {
    refuseUnsupported(procedure);
    if (procedure.stream !== undefined)
      throw new LibvirtUsageError(`${procedure.name} is followed by a stream: it has a method of its own`);
    return this.#call(procedure, args, options);
  }

  /**
   * Calls a procedure that is followed by a stream. The sink is given what the stream brings from within the
   * read loop: to slow it down, `pause` the whole session, so a stream wants a session of its own.
   */
  async openStream<P extends Procedure>(
    procedure: P,
    args: ArgsOf<P>,
    sink: StreamSink,
    options: CallOptions = {},
  ): Promise<{ readonly reply: ReplyOf<P>; readonly stream: RpcStream }> {
    refuseUnsupported(procedure);
    const stream = new RpcStream(procedure, sink);
    return { reply: await this.#call(procedure, args, { ...options, stream }), stream };
  }

  /** Reads nothing, keepalive included, until `resume`. */
  pause(): void {
    this.#keepalive.suspend();
    this.#transport.pause();
  }

  resume(): void {
    if (this.#hasEnded) return;
    this.#keepalive.resume();
    this.#transport.resume();
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
      this.#end({ reason: 'close' });
    }, timeoutMs);
    await new Promise<void>((resolve) => {
      this.#setState({ kind: 'closing', idle: resolve, saidGoodbye: false });
      this.#checkIdle();
    });
    if (!this.#hasEnded) {
      this.#setState({ kind: 'closing', idle: () => undefined, saidGoodbye: true });
      await this.#start(goodbye, {}, { timeoutMs }).catch(() => undefined);
    }
    clearTimeout(deadline);
    this.#end({ reason: 'close' });
    await this.closed;
  }

  /** Ends the session now. */
  destroy(reason?: Error): void {
    this.#end(reason === undefined ? { reason: 'destroy' } : { reason: 'destroy', error: reason });
  }

  receive(chunk: Buffer): void {
    if (this.#hasEnded) return;
    this.#keepalive.heard();
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
    if (this.#state.kind === 'closing' && this.#state.saidGoodbye) this.#end({ reason: 'close' });
    else if (error !== undefined) this.#end({ reason: 'error', error });
    else if (this.#state.kind === 'closing') this.#end({ reason: 'close' });
    else this.#end(hungUp(this.#framer.pending));
  }

  get #closeInfo(): CloseInfo | undefined {
    return this.#state.kind === 'closed' ? this.#state.info : undefined;
  }

  get #hasEnded(): boolean {
    return this.#state.kind === 'closed';
  }

  #setState(state: State): void {
    this.#state = state;
  }

  async #call<P extends Procedure>(
    procedure: P,
    args: ArgsOf<P>,
    options: InternalCallOptions,
  ): Promise<ReplyOf<P>> {
    options.signal?.throwIfAborted();
    if (this.#state.kind !== 'open') throw closedError(procedure.name, this.#closeInfo);
    return (await traceCall(procedure, () => this.#start(procedure, args, options))) as ReplyOf<P>;
  }

  #start(
    procedure: Procedure,
    args: Record<string, unknown>,
    options: InternalCallOptions,
  ): Promise<unknown> {
    const whenNotGiven = procedure.timeout === 'none' ? 0 : this.#options.callTimeoutMs;
    const timeoutMs = checkedTimeout(options.timeoutMs ?? whenNotGiven);
    const call = new PendingCall(
      procedure,
      args,
      { ...options, timeoutMs, uri: this.#options.shownUri },
      (abandoned) => {
        if (this.#calls.withdraw(abandoned)) abandoned.done(undefined);
        this.#checkIdle();
      },
    );
    this.#calls.add(call);
    this.#sendNext();
    return call.reply;
  }

  #sendNext(): void {
    for (let next = this.#calls.next(); next !== undefined; next = this.#calls.next()) {
      const { call, serial } = next;
      const { program, number, args } = call.procedure;
      if (call.stream !== undefined) this.#streams.set(serial, call.stream);
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
        this.#streams.delete(serial);
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
    switch (packet.type) {
      case virNetMessageType.VIR_NET_REPLY:
        this.#reply(packet);
        return;
      case virNetMessageType.VIR_NET_MESSAGE:
        this.#message(packet);
        return;
      case virNetMessageType.VIR_NET_STREAM:
      case virNetMessageType.VIR_NET_STREAM_HOLE:
        this.#streamPacket(packet);
        return;
      default:
        throw unexpected(packet);
    }
  }

  #streamPacket(packet: Packet): void {
    const stream = this.#streams.get(packet.serial);
    if (stream === undefined || !belongs(packet, stream.procedure)) throw unexpected(packet);
    stream.receive(packet);
    if (stream.hasEnded) this.#streams.delete(packet.serial);
  }

  #reply(packet: Packet): void {
    const call = this.#calls.find(packet.serial);
    if (call === undefined || !belongs(packet, call.procedure))
      throw new LibvirtProtocolError(
        `a reply to a call that was not made: program ${packet.program}, procedure ${packet.procedure}, serial ${packet.serial}`,
      );
    if (call.stream !== undefined) this.#beginStream(call.stream, packet, call.isSettled);
    call.answer(packet);
    this.#calls.answered(packet.serial);
    this.#sendNext();
  }

  /** At once, not when the caller knows: data may stand right behind the reply. */
  #beginStream(stream: RpcStream, { serial, status }: Packet, isUnwanted: boolean): void {
    if (status === virNetMessageStatus.VIR_NET_OK) {
      stream.begin(serial, (packet, onSent) => {
        if (!this.#hasEnded) this.#outbox.send(packet, onSent);
      });
      if (isUnwanted) stream.abort();
    }
    if (status !== virNetMessageStatus.VIR_NET_OK || stream.hasEnded) this.#streams.delete(serial);
  }

  #message(packet: Packet): void {
    if (packet.program !== PROGRAMS.KEEPALIVE) {
      this.onEvent(packet);
      return;
    }
    if (packet.procedure === KEEPALIVE_PROC.KEEPALIVE_PROC_PING) this.#outbox.sendUrgently(PONG);
  }

  #end(info: CloseInfo): void {
    const before = this.#state;
    if (before.kind === 'closed') return;
    this.#setState({ kind: 'closed', info });
    this.#keepalive.stop();
    const gone = this.#transport.destroy();
    for (const call of this.#calls.clear()) call.fail(interruptedError(call.procedure.name, info));
    for (const stream of this.#streams.values()) stream.fail(interruptedError(stream.procedure.name, info));
    this.#streams.clear();
    if (before.kind === 'closing') before.idle();
    void gone.then(() => {
      this.#resolveClosed(info);
    });
  }
}

function belongs(packet: Packet, { program, number }: Procedure): boolean {
  return (
    packet.program === PROGRAMS[program] && packet.version === PROGRAM_VERSION && packet.procedure === number
  );
}

function unexpected({ type, program, procedure }: Packet): LibvirtProtocolError {
  return new LibvirtProtocolError(
    `a packet of type ${type} (program ${program}, procedure ${procedure}), which nothing asked for`,
  );
}

function refuseUnsupported({ name, fileDescriptors }: Procedure): void {
  if (fileDescriptors === true)
    throw new LibvirtUsageError(`${name} passes file descriptors, which Node cannot do`);
}
