import { LibvirtEventOverflowError } from '../errors.ts';

type Waiter<T> = {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: Error) => void;
};

type State =
  { readonly kind: 'open' } | { readonly kind: 'ended' } | { readonly kind: 'failed'; readonly error: Error };

/** A bounded queue between the read loop, which never waits, and one consumer. */
export class EventQueue<T> {
  readonly #limit: number;
  readonly #values: T[] = [];
  readonly #waiters: Waiter<T>[] = [];
  #state: State = { kind: 'open' };

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False, the queue having failed, if there is no room. */
  push(value: T): boolean {
    if (this.#state.kind !== 'open') return true;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve({ done: false, value });
    else if (this.#values.length < this.#limit) this.#values.push(value);
    else {
      // What is queued would look like all there was, so it goes too.
      this.#values.length = 0;
      this.fail(new LibvirtEventOverflowError(`${this.#limit} events were waiting when another one arrived`));
      return false;
    }
    return true;
  }

  /** What is queued can still be taken. */
  end(): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'ended' };
    for (const waiter of this.#waiters.splice(0)) waiter.resolve({ done: true, value: undefined });
  }

  /** What is queued can still be taken; then the error comes. */
  fail(error: Error): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'failed', error };
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#values.length > 0) return Promise.resolve({ done: false, value: this.#values.shift() as T });
    switch (this.#state.kind) {
      case 'ended':
        return Promise.resolve({ done: true, value: undefined });
      case 'failed':
        return Promise.reject(this.#state.error);
      case 'open':
        return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
  }
}
