import { connect } from 'node:net';
import { LibvirtConnectError } from '../errors.ts';
import type { UnixEndpoint } from '../uri/endpoint.ts';
import { whenConnected } from './connect-socket.ts';
import { SocketTransport } from './socket-transport.ts';
import type { Receiver, Transport } from './transport.ts';

/** What the next path is tried after: no such socket, or one that a dead daemon left. */
const NOBODY_THERE: readonly unknown[] = ['ENOENT', 'ECONNREFUSED'];

/**
 * Connects to the first of the unix sockets behind which somebody listens.
 *
 * @throws LibvirtConnectError, or the signal's reason
 */
export async function dialUnix(
  { paths }: UnixEndpoint,
  receiver: Receiver,
  signal: AbortSignal,
): Promise<Transport> {
  const failures: Error[] = [];
  for (const path of paths) {
    try {
      const socket = await whenConnected(connect({ path }), 'connect', signal);
      return new SocketTransport(socket, 'local', receiver);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error as Error);
      if (!NOBODY_THERE.includes((error as NodeJS.ErrnoException).code)) break;
    }
  }
  const causes = failures.map((failure) => failure.message).join('; ');
  throw new LibvirtConnectError(`no libvirt daemon can be reached (and none is started): ${causes}`, {
    cause: failures.at(-1),
  });
}
