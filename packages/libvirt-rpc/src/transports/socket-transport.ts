import type { Socket } from 'node:net';
import { StreamTransport } from './stream-transport.ts';
import type { Receiver, TransportSecurity } from './transport.ts';

/** A connected socket, with TLS or without. */
export class SocketTransport extends StreamTransport {
  readonly secure: TransportSecurity;

  constructor(socket: Socket, secure: TransportSecurity, receiver: Receiver) {
    super(socket, socket, receiver);
    this.secure = secure;
  }

  protected override inputClosed(error: Error | undefined): void {
    this.receiver.ended(error);
  }
}
