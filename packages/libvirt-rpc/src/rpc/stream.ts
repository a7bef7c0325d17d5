import { decodeFields } from '../codec/struct-codec.ts';
import { LibvirtProtocolError } from '../errors.ts';
import { LibvirtError } from '../libvirt-error.ts';
import { errorFields } from '../procedures/error-fields.ts';
import type { Procedure } from '../procedures/row.ts';
import { PROGRAMS, virNetMessageStatus, virNetMessageType } from '../protocol/constants.ts';
import { EARLY_PACKET_COST, EARLY_STREAM_MAX } from '../protocol/limits.ts';
import { encodeBytesPacket, encodePacket, type OutgoingHeader, type Packet } from './packet.ts';

/** Takes what a stream brings, from within the read loop. May throw LibvirtProtocolError. */
export interface StreamSink {
  /** Bytes that are the sink's to keep. */
  data(bytes: Buffer): void;
  /** As many zeroes. */
  hole(length: number): void;
  /** The daemon has sent all there is and waits for our `finish`. */
  end(): void;
  /** The daemon has confirmed `finish` or `abort`. */
  confirmed(): void;
  /** The stream has broken: LibvirtError of the daemon, or what ended the connection. */
  failed(error: Error): void;
}

type State =
  /** The reply is due; data may be faster. `early`: the bytes it has taken. */
  | { readonly kind: 'opening'; readonly isComplete: boolean; readonly early: number }
  /** `isComplete`: the daemon has sent its last packet of data. */
  | { readonly kind: 'open'; readonly isComplete: boolean }
  /** `finish` or `abort` is sent, the confirmation is due; data that was on its way is dropped. */
  | { readonly kind: 'finishing' }
  | { readonly kind: 'aborting' }
  | { readonly kind: 'ended' };

/** The payload of a STREAM_HOLE packet. */
export const holeFields = { length: 'i64', flags: 'u32' } as const;

/** Writes packets of a stream; the session's outbox. */
export type SendPacket = (packet: Buffer, onSent?: () => void) => void;

/**
 * The rules of one stream, which is known by the serial of its call. We may send when the reply has come. The daemon
 * sends as soon as it has the stream: libvirt's event loop may overtake the worker that replies.
 */
export class RpcStream {
  readonly procedure: Procedure;
  readonly #sink: StreamSink;
  #serial = 0;
  #send: SendPacket = () => undefined;
  #state: State = { kind: 'opening', isComplete: false, early: 0 };

  constructor(procedure: Procedure, sink: StreamSink) {
    this.procedure = procedure;
    this.#sink = sink;
  }

  get hasEnded(): boolean {
    return this.#state.kind === 'ended';
  }

  /** The call's reply has come. Before it nothing may be sent: an early abort would get lost. */
  begin(serial: number, send: SendPacket): void {
    this.#serial = serial;
    this.#send = send;
    if (this.#state.kind === 'opening') this.#state = { kind: 'open', isComplete: this.#state.isComplete };
  }

  /**
   * Sends data, at most 262,120 bytes, which daemons of every age take.
   *
   * @param onSent - called when the next packet may follow; never, if the stream or the connection ends before
   */
  write(bytes: Uint8Array, onSent: () => void): void {
    if (this.#state.kind !== 'open') return;
    const { VIR_NET_CONTINUE: status } = virNetMessageStatus;
    this.#send(encodeBytesPacket(this.#header(virNetMessageType.VIR_NET_STREAM, status), bytes), onSent);
  }

  writeHole(length: number, onSent: () => void): void {
    if (this.#state.kind !== 'open') return;
    const { VIR_NET_CONTINUE: status } = virNetMessageStatus;
    const header = this.#header(virNetMessageType.VIR_NET_STREAM_HOLE, status);
    this.#send(encodePacket(header, holeFields, { length: BigInt(length), flags: 0 }), onSent);
  }

  /** All is sent, or all is received. The daemon confirms. */
  finish(): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'finishing' };
    const { VIR_NET_OK: status } = virNetMessageStatus;
    this.#send(encodePacket(this.#header(virNetMessageType.VIR_NET_STREAM, status), {}, {}));
  }

  /** Gives up. The daemon confirms, maybe behind a packet or two of data. */
  abort(): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'aborting' };
    const { VIR_NET_ERROR: status } = virNetMessageStatus;
    this.#send(encodePacket(this.#header(virNetMessageType.VIR_NET_STREAM, status), {}, {}));
  }

  /** The connection has ended. */
  fail(error: Error): void {
    if (this.#state.kind === 'ended') return;
    this.#state = { kind: 'ended' };
    this.#sink.failed(error);
  }

  /** @throws LibvirtProtocolError */
  receive(packet: Packet): void {
    switch (packet.status) {
      case virNetMessageStatus.VIR_NET_CONTINUE:
        this.#receiveContent(packet);
        return;
      case virNetMessageStatus.VIR_NET_OK:
        this.#receiveConfirmation();
        return;
      case virNetMessageStatus.VIR_NET_ERROR:
        // The stream is gone on the other side: nothing is confirmed any more.
        this.fail(new LibvirtError(decodeFields(errorFields, packet.payload), this.procedure.name));
        return;
      default:
        throw this.#broken(`a packet of status ${packet.status}`);
    }
  }

  #receiveContent({ type, payload }: Packet): void {
    if (this.#state.kind === 'opening') this.#countEarly(this.#state, payload.length);
    if (this.#state.kind !== 'open' && this.#state.kind !== 'opening') return;
    if (this.#state.isComplete) throw this.#broken('something behind the end of its data');
    if (type === virNetMessageType.VIR_NET_STREAM_HOLE) {
      const { length } = decodeFields(holeFields, payload);
      if (length < 0n || length > BigInt(Number.MAX_SAFE_INTEGER))
        throw this.#broken(`a hole of ${String(length)} bytes`);
      this.#sink.hole(Number(length));
    } else if (payload.length > 0) this.#sink.data(payload);
    else {
      this.#state = { ...this.#state, isComplete: true };
      this.#sink.end();
    }
  }

  /** What comes before the reply cannot be held back: to find the reply we must read on. */
  #countEarly(state: State & { readonly kind: 'opening' }, bytes: number): void {
    const early = state.early + bytes + EARLY_PACKET_COST;
    if (early > EARLY_STREAM_MAX)
      throw this.#broken(`more than ${EARLY_STREAM_MAX} bytes before the reply to its call`);
    this.#state = { ...state, early };
  }

  #receiveConfirmation(): void {
    if (this.#state.kind === 'open' || this.#state.kind === 'opening')
      throw this.#broken('a confirmation of an end that was not asked for');
    this.#state = { kind: 'ended' };
    this.#sink.confirmed();
  }

  #header(type: number, status: number): OutgoingHeader {
    const { program, number } = this.procedure;
    return { program: PROGRAMS[program], procedure: number, type, serial: this.#serial, status };
  }

  #broken(what: string): LibvirtProtocolError {
    return new LibvirtProtocolError(`the stream of ${this.procedure.name} brings ${what}`);
  }
}
