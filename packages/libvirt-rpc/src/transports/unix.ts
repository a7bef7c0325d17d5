import { connect, type Socket } from 'node:net';
import { LibvirtConnectError } from '../errors.ts';
import type { UnixEndpoint } from '../uri/endpoint.ts';
import { whenConnected } from './connect-socket.ts';
import { ReadMemory } from './read-memory.ts';
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
  const failures: NodeJS.ErrnoException[] = [];
  for (const path of paths) {
    try {
      const socket = await whenConnected(open(path), 'connect', signal);
      return new SocketTransport(socket, 'local', receiver);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error as NodeJS.ErrnoException);
      if (!NOBODY_THERE.includes((error as NodeJS.ErrnoException).code)) break;
    }
  }
  const causes = failures.map((failure) => failure.message).join('; ');
  const isNobodyThere = failures.every(({ code }) => NOBODY_THERE.includes(code));
  const what = isNobodyThere
    ? 'no libvirt daemon can be reached (and none is started)'
    : 'the libvirt daemon cannot be reached';
  throw new LibvirtConnectError(`${what}: ${causes}`, {
    cause: failures.at(-1),
  });
}

/** A socket that reads into large blocks; its bytes come as `'data'` all the same. */
function open(path: string): Socket {
  const memory = new ReadMemory();
  const socket: Socket = connect({
    path,
    onread: {
      buffer: () => memory.next(),
      callback: (count) => {
        socket.emit('data', memory.take(count));
        return true;
      },
    },
  });
  return socket;
}
