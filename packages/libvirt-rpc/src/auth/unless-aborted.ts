import { onAbort } from '../abort-listeners.ts';

/** What the promise brings; rejects at once with the signal's reason when that fires first. */
export async function unlessAborted<T>(signal: AbortSignal, result: T | Promise<T>): Promise<T> {
  let unlisten!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    unlisten = onAbort(signal, () => {
      reject(signal.reason as Error);
    });
  });
  try {
    return await Promise.race([aborted, result]);
  } finally {
    unlisten();
  }
}
