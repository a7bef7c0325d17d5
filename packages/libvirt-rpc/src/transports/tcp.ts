import { connect } from 'node:net';
import { LibvirtConnectError } from '../errors.ts';
import type { TcpEndpoint } from '../uri/endpoint.ts';
import { whenConnected } from './connect-socket.ts';
import { SocketTransport } from './socket-transport.ts';
import type { Receiver, Transport } from './transport.ts';

/**
 * Connects without any protection.
 *
 * @throws LibvirtConnectError, or the signal's reason
 */
export async function dialTcp(
  { host, port }: TcpEndpoint,
  receiver: Receiver,
  signal: AbortSignal,
): Promise<Transport> {
  try {
    // Calls are small and each waits for its answer: Nagle's algorithm would only delay them.
    const socket = await whenConnected(connect({ host, port, noDelay: true }), 'connect', signal);
    return new SocketTransport(socket, 'cleartext', receiver);
  } catch (cause) {
    signal.throwIfAborted();
    throw new LibvirtConnectError(`cannot reach ${host}, port ${port}: ${messageOf(cause)}`, { cause });
  }
}

/** A host with several addresses fails with one error for each, in an error without a message. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
