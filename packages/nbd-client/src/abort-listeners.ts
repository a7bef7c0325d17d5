/** Those who wait for one signal, behind the one listener that stands for them all. */
interface Group {
  readonly callbacks: Set<() => void>;
  readonly fired: () => void;
}

const groups = new WeakMap<AbortSignal, Group>();

/**
 * Calls back once when a signal is aborted; at once if it has been.
 *
 * A signal has one listener of this package, whatever waits for it: commands of many connections, handshakes and
 * streams. Node warns of a leak where there are eleven. When nobody waits any more it has none.
 *
 * @returns to be called when it does not matter any more
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) {
    callback();
    return nothing;
  }
  const group = groups.get(signal) ?? listen(signal);
  // The same function may be given twice.
  const own = (): void => {
    callback();
  };
  group.callbacks.add(own);
  return () => {
    if (!group.callbacks.delete(own) || group.callbacks.size > 0) return;
    groups.delete(signal);
    signal.removeEventListener('abort', group.fired);
  };
}

function listen(signal: AbortSignal): Group {
  const callbacks = new Set<() => void>();
  const fired = (): void => {
    groups.delete(signal);
    for (const callback of callbacks) {
      callbacks.delete(callback);
      callback();
    }
  };
  const group = { callbacks, fired };
  groups.set(signal, group);
  signal.addEventListener('abort', fired, { once: true });
  return group;
}

function nothing(): void {
  // Nobody waits.
}
