import { onAbort } from '../abort-listeners.ts';
import { LibvirtError, type VirError } from '../libvirt-error.ts';
import { decodeFields } from '../codec/struct-codec.ts';
import { errorFields } from '../procedures/error-fields.ts';
import type { Procedure } from '../procedures/row.ts';
import { LibvirtProtocolError, LibvirtTimeoutError } from '../errors.ts';
import { virNetMessageStatus } from '../protocol/constants.ts';
import type { CallOptions } from './call-options.ts';
import type { Packet } from './packet.ts';
import type { RpcStream } from './stream.ts';

/** What else the session itself may want of a call. */
export interface InternalCallOptions extends CallOptions {
  /** Called, if the call was given up, when it is over: with the late reply, or undefined if it failed. */
  readonly onLateReply?: (reply: unknown) => void;
  /** Begins with the reply. */
  readonly stream?: RpcStream;
  /** For messages: where the call goes. */
  readonly uri?: string | undefined;
}

/** One call from the moment it is made until it is settled. */
export class PendingCall {
  readonly procedure: Procedure;
  readonly args: Record<string, unknown>;
  readonly urgent: boolean;
  readonly stream: RpcStream | undefined;
  readonly reply: Promise<unknown>;
  #resolve!: (reply: unknown) => void;
  #reject!: (error: unknown) => void;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;
  readonly #uri: string | undefined;
  readonly #onLateReply: ((reply: unknown) => void) | undefined;
  #settled = false;

  /** @param onAbandoned - called when the signal or the timeout has settled the call */
  constructor(
    procedure: Procedure,
    args: Record<string, unknown>,
    { signal, timeoutMs = 0, onLateReply, stream, uri }: InternalCallOptions,
    onAbandoned: (call: PendingCall) => void,
  ) {
    this.procedure = procedure;
    this.args = args;
    this.urgent = procedure.priority === 'high';
    this.stream = stream;
    this.#uri = uri;
    this.#onLateReply = onLateReply;
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const abandon = (error: unknown): void => {
      this.fail(error);
      onAbandoned(this);
    };
    if (timeoutMs > 0)
      this.#timer = setTimeout(() => {
        abandon(new LibvirtTimeoutError(`${procedure.name}: no reply within ${timeoutMs} ms`));
      }, timeoutMs);
    if (signal === undefined) return;
    const abort = (): void => {
      abandon(signal.reason);
    };
    this.#unlisten = onAbort(signal, abort);
  }

  /** Whether nobody waits any more: what is left is a tombstone that keeps its place until the reply comes. */
  get isSettled(): boolean {
    return this.#settled;
  }

  /** It was given up, and now it is over. */
  done(reply: unknown): void {
    this.#onLateReply?.(reply);
  }

  fail(error: unknown): void {
    if (this.#settle()) this.#reject(error);
  }

  /**
   * Settles the call with its reply.
   *
   * @throws LibvirtProtocolError if the reply breaks the schema, also where nobody waits for it any more
   */
  answer(packet: Packet): void {
    const { name, reply } = this.procedure;
    try {
      if (packet.status === virNetMessageStatus.VIR_NET_OK) {
        const value = decodeFields(reply, packet.payload);
        if (this.#settle()) this.#resolve(value);
        else this.done(value);
      } else if (packet.status === virNetMessageStatus.VIR_NET_ERROR) {
        const error: VirError = decodeFields(errorFields, packet.payload);
        if (this.#settled) this.done(undefined);
        else this.fail(new LibvirtError(error, name, { args: this.args, uri: this.#uri }));
      } else throw new LibvirtProtocolError(`the status is ${packet.status}`);
    } catch (cause) {
      if (!(cause instanceof LibvirtProtocolError)) throw cause;
      throw new LibvirtProtocolError(`reply to ${name}: ${cause.message}`, { cause });
    }
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#unlisten?.();
    return true;
  }
}
