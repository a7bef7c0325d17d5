import { connect, type Socket } from 'node:net';
import { LibvirtConnectError } from '../errors.ts';
import type { UnixEndpoint } from '../uri/endpoint.ts';
import { whenConnected } from './connect-socket.ts';
import { ReadMemory } from './read-memory.ts';
import { SocketTransport } from './socket-transport.ts';
import type { Receiver, Transport } from './transport.ts';

/** The size of `sun_path`, less the zero at its end: Node cuts what is longer, and looks for another socket. */
const MAX_PATH_BYTES = 107;

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
    const bytes = Buffer.byteLength(path);
    if (bytes > MAX_PATH_BYTES)
      throw new LibvirtConnectError(
        `the path of the socket has ${bytes} bytes, and no unix socket's may have more than ${MAX_PATH_BYTES}: ${path}`,
      );
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
  throw new LibvirtConnectError(`${whatToCheck(paths, failures.at(-1)?.code)} (${causes})`, {
    cause: failures.at(-1),
  });
}

/** What a failure means, and what to look at. */
function whatToCheck(paths: readonly string[], code: string | undefined): string {
  const at = paths.join(' or ');
  switch (code) {
    case 'ENOENT':
      return `no libvirt daemon can be reached, and none is started: there is no socket ${at}; does libvirtd or virtqemud run, and is the URI its own?`;
    case 'ECONNREFUSED':
      return `no libvirt daemon can be reached, and none is started: nobody listens behind ${at}; has libvirtd or virtqemud ended?`;
    case 'EACCES':
    case 'EPERM':
      return `the libvirt daemon cannot be reached: this user may not open ${at}; is it in the group libvirt?`;
    default:
      return `the libvirt daemon cannot be reached at ${at}`;
  }
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
