/**
 * Calls back when a signal is aborted, with one listener for each signal, however many commands share it.
 */
export class AbortListeners<T> {
  readonly #bySignal = new Map<AbortSignal, { readonly waiting: Set<T>; readonly listener: () => void }>();
  readonly #aborted: (item: T, reason: unknown) => void;

  /** @param aborted - called for each item that waits when its signal is aborted */
  constructor(aborted: (item: T, reason: unknown) => void) {
    this.#aborted = aborted;
  }

  add(signal: AbortSignal, item: T): void {
    const group = this.#bySignal.get(signal);
    if (group !== undefined) {
      group.waiting.add(item);
      return;
    }
    const waiting = new Set([item]);
    const listener = (): void => {
      this.#bySignal.delete(signal);
      for (const each of waiting) this.#aborted(each, signal.reason);
    };
    this.#bySignal.set(signal, { waiting, listener });
    signal.addEventListener('abort', listener, { once: true });
  }

  /** The item waits no more; without items a signal is let go. */
  delete(signal: AbortSignal, item: T): void {
    const group = this.#bySignal.get(signal);
    if (group?.waiting.delete(item) !== true || group.waiting.size > 0) return;
    this.#bySignal.delete(signal);
    signal.removeEventListener('abort', group.listener);
  }
}
