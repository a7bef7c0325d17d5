import { LibvirtEventOverflowError } from '../errors.ts';
import { Line } from '../line.ts';

type Waiter<T> = {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: Error) => void;
};

type State =
  { readonly kind: 'open' } | { readonly kind: 'ended' } | { readonly kind: 'failed'; readonly error: Error };

/** How much may wait in one queue. */
export interface QueueLimits {
  readonly events: number;
  /** Of the events' payloads. */
  readonly bytes: number;
}

interface Queued<T> {
  readonly value: T;
  readonly bytes: number;
}

/** A bounded queue between the read loop, which never waits, and one consumer. */
export class EventQueue<T> {
  readonly #limits: QueueLimits;
  readonly #values = new Line<Queued<T>>();
  #bytes = 0;
  readonly #waiters = new Line<Waiter<T>>();
  #state: State = { kind: 'open' };

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Whether nothing comes behind what waits. */
  get hasEnded(): boolean {
    return this.#state.kind !== 'open';
  }

  /** False, the queue having failed, if there is no room. */
  push(value: T, bytes: number): boolean {
    if (this.#state.kind !== 'open') return true;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve({ done: false, value });
    else if (this.#values.size < this.#limits.events && this.#bytes + bytes <= this.#limits.bytes) {
      this.#values.push({ value, bytes });
      this.#bytes += bytes;
    } else {
      const waiting = `${this.#values.size} events of ${this.#bytes} bytes were waiting`;
      // What is queued would look like all there was, so it goes too.
      this.#values.clear();
      this.fail(new LibvirtEventOverflowError(`${waiting} when another one of ${bytes} bytes arrived`));
      return false;
    }
    return true;
  }

  /** What is queued can still be taken. */
  end(): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'ended' };
    for (const waiter of this.#waiters.clear()) waiter.resolve({ done: true, value: undefined });
  }

  /** What is queued can still be taken; then the error comes. */
  fail(error: Error): void {
    if (this.#state.kind !== 'open') return;
    this.#state = { kind: 'failed', error };
    for (const waiter of this.#waiters.clear()) waiter.reject(error);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const first = this.#values.shift();
    if (first !== undefined) {
      this.#bytes -= first.bytes;
      return Promise.resolve({ done: false, value: first.value });
    }
    switch (this.#state.kind) {
      case 'ended':
        return Promise.resolve({ done: true, value: undefined });
      case 'failed':
        return Promise.reject(this.#state.error);
      case 'open':
        return new Promise((resolve, reject) => {
          this.#waiters.push({ resolve, reject });
        });
    }
  }
}
