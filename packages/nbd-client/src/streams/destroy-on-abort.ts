import type { Readable, Writable } from 'node:stream';
import { onAbort } from '../abort-listeners.ts';

/**
 * Destroys a stream with the signal's reason. Not the option `signal` of Node's streams: each of those has a listener
 * of its own on the signal, and an error of its own around the reason.
 */
export function destroyOnAbort<Stream extends Readable | Writable>(
  stream: Stream,
  signal: AbortSignal | undefined,
): Stream {
  if (signal === undefined) return stream;
  const unlisten = onAbort(signal, () => {
    stream.destroy(signal.reason as Error);
  });
  stream.once('close', unlisten);
  return stream;
}
