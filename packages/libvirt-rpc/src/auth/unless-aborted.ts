/** What the promise brings; rejects at once with the signal's reason when that fires first. */
export async function unlessAborted<T>(signal: AbortSignal, result: T | Promise<T>): Promise<T> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = (): void => {
      reject(signal.reason as Error);
    };
  });
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([aborted, result]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
