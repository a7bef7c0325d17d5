import type { Socket } from 'node:net';
import { onAbort } from '../abort-listeners.ts';

/**
 * Waits for a socket to be connected.
 *
 * @param event - what tells that it is
 * @throws what the socket fails with, or the signal's reason; the socket is destroyed then
 */
export function whenConnected<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<S> {
  return new Promise((resolve, reject) => {
    let unlisten: () => void = () => undefined;
    const settle = (): void => {
      unlisten();
      socket.off('error', failed);
      socket.off('close', closed);
      socket.off(event, connected);
    };
    const failed = (error: Error): void => {
      settle();
      socket.on('error', () => undefined); // what more goes wrong with it concerns nobody
      socket.destroy();
      reject(error);
    };
    const aborted = (): void => {
      failed(signal.reason as Error);
    };
    const closed = (): void => {
      failed(new Error('the other side hung up'));
    };
    const connected = (): void => {
      settle();
      resolve(socket);
    };
    socket.once('error', failed);
    socket.once('close', closed);
    socket.once(event, connected);
    unlisten = onAbort(signal, aborted);
  });
}
