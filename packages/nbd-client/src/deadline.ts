import { onAbort } from './abort-listeners.ts';

/**
 * One signal for what the caller wants and what takes too long; the first one counts. Not `AbortSignal.any`: in
 * Node 20 each leaves something in a signal that lives for long.
 */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #unlisten: (() => void) | undefined;

  /** @param signal - of the caller */
  constructor(signal: AbortSignal | undefined) {
    if (signal === undefined) return;
    this.#unlisten = onAbort(signal, () => {
      this.#controller.abort(signal.reason);
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts with what `late` gives unless `clear` comes first. */
  set(timeoutMs: number, late: () => Error): void {
    const abort = (): void => {
      this.#controller.abort(late());
    };
    this.#timers.push(setTimeout(abort, timeoutMs));
  }

  /** To be called in any case. */
  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#unlisten?.();
  }
}
