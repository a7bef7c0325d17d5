import { connect as connectSocket, type Socket } from 'node:net';
import { LibvirtConnectError } from './errors.ts';
import { ReadMemory } from './read-memory.ts';
import type { Receiver, Transport } from './transport.ts';

/** What the next path is tried after: no such socket, or one that a dead daemon left. */
const NOBODY_THERE: readonly unknown[] = ['ENOENT', 'ECONNREFUSED'];

/**
 * Connects to the first of the unix sockets behind which somebody listens.
 *
 * @throws LibvirtConnectError, or the signal's reason
 */
export async function dial(
  paths: readonly string[],
  receiver: Receiver,
  signal: AbortSignal,
): Promise<Transport> {
  const failures: Error[] = [];
  for (const path of paths) {
    signal.throwIfAborted();
    try {
      return new SocketTransport(await connected(path, signal), receiver);
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

function connected(path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const memory = new ReadMemory();
    const socket: Socket = connectSocket({
      path,
      onread: {
        buffer: () => memory.next(),
        callback: (count) => {
          socket.emit('data', memory.take(count));
          return true;
        },
      },
    });
    const abort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    const failed = (error: Error): void => {
      signal.removeEventListener('abort', abort);
      reject(error);
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', failed);
    socket.once('connect', () => {
      signal.removeEventListener('abort', abort);
      socket.off('error', failed);
      resolve(socket);
    });
  });
}

class SocketTransport implements Transport {
  receiver: Receiver;
  readonly #socket: Socket;
  #error: Error | undefined;

  constructor(socket: Socket, receiver: Receiver) {
    this.receiver = receiver;
    this.#socket = socket;
    socket.on('error', (error) => (this.#error ??= error));
    socket.on('data', (chunk: Buffer) => {
      this.receiver.receive(chunk);
    });
    socket.on('drain', () => {
      this.receiver.drained();
    });
    socket.once('close', () => {
      this.receiver.ended(this.#error);
    });
  }

  write(bytes: Buffer): boolean {
    return this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
