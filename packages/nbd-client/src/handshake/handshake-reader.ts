import { NbdConnectError, NbdError, NbdProtocolError } from '../errors.ts';
import { MAX_OPTION_REPLY_BYTES } from '../protocol/limits.ts';
import type { Receiver } from '../transport/transport.ts';

interface Waiting {
  readonly count: number;
  readonly resolve: (bytes: Buffer) => void;
  readonly reject: (reason: unknown) => void;
}

/** Hands out the bytes of the handshake in the lengths that are asked for. */
export class HandshakeReader implements Receiver {
  #buffered: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;
  #end: { readonly reason: unknown } | undefined;

  /** The next `count` bytes; `count` must have been checked against a limit. */
  read(count: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { count, resolve, reject };
      this.#serve();
    });
  }

  /** What came after the handshake; the reader is empty afterwards. */
  takeRest(): Buffer {
    const rest = this.#buffered;
    this.#buffered = Buffer.alloc(0);
    return rest;
  }

  /** Whether the transport ended behind the bytes read so far. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  target(): number {
    return Infinity;
  }

  filled(): void {
    throw new Error('unreachable: no target was given');
  }

  flushed(): void {
    // Options are few and small, and their memory is our own.
  }

  receive(chunk: Uint8Array): void {
    if (this.#buffered.length > 4 * MAX_OPTION_REPLY_BYTES)
      throw new NbdProtocolError('more bytes than were asked for', 'Fixed newstyle negotiation');
    this.#buffered = Buffer.concat([this.#buffered, chunk]);
    this.#serve();
  }

  ended(error: Error | undefined): void {
    this.abandon(error instanceof NbdError ? error : brokenOff(error));
  }

  /** Nobody waits for the handshake any more: `reason` as it is, unless it has ended before. */
  abandon(reason: unknown): void {
    this.#end ??= { reason };
    this.#serve();
  }

  #serve(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (this.#buffered.length >= waiting.count) {
      this.#waiting = undefined;
      const bytes = this.#buffered.subarray(0, waiting.count);
      this.#buffered = this.#buffered.subarray(waiting.count);
      waiting.resolve(bytes);
    } else if (this.#end !== undefined) {
      this.#waiting = undefined;
      waiting.reject(this.#end.reason);
    }
  }
}

function brokenOff(cause: Error | undefined): NbdConnectError {
  return cause === undefined
    ? new NbdConnectError('closed', 'the server closed the connection during the handshake')
    : new NbdConnectError('closed', `the connection broke during the handshake: ${cause.message}`, { cause });
}
