/** Who waits for a signal, and how the one listener that stands for them all is taken off again. */
interface Waiting {
  readonly callbacks: Set<() => void>;
  readonly unlisten: () => void;
}

const waitingFor = new WeakMap<AbortSignal, Waiting>();

/**
 * Calls back once when the signal fires, at once if it has. However many wait for one signal there is one listener on
 * it, so that Node sees no leak in a thousand calls under one signal; when nobody waits any more there is none.
 *
 * @returns to be called when it does not matter any more
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    callback();
    return () => undefined;
  }
  const own = (): void => {
    callback();
  };
  const waiting = waitingFor.get(signal) ?? listen(signal);
  waiting.callbacks.add(own);
  return () => {
    if (!waiting.callbacks.delete(own) || waiting.callbacks.size > 0) return;
    waiting.unlisten();
  };
}

function listen(signal: AbortSignal): Waiting {
  const callbacks = new Set<() => void>();
  const unlisten = (): void => {
    signal.removeEventListener('abort', abort);
    waitingFor.delete(signal);
  };
  const abort = (): void => {
    waitingFor.delete(signal);
    for (const callback of callbacks) {
      callbacks.delete(callback);
      callback();
    }
  };
  signal.addEventListener('abort', abort, { once: true });
  const waiting = { callbacks, unlisten };
  waitingFor.set(signal, waiting);
  return waiting;
}
