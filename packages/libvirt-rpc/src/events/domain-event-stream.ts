import { EventQueue } from './event-queue.ts';
import type { RawEvent, Registration } from './event-router.ts';

/** What a connection needs to know of a stream when it ends. */
export interface EndableStream {
  end(): void;
  fail(error: Error): void;
}

/** Events of one kind, in the order of their arrival. To be iterated once, by one consumer. */
export class DomainEventStream<Event>
  implements AsyncIterableIterator<Event, undefined>, AsyncDisposable, EndableStream
{
  /** Resolves when the daemon has confirmed the registration: later events are not missed. */
  readonly ready: Promise<void>;
  readonly #queue: EventQueue<Event>;
  readonly #registration: Registration;
  readonly #release: () => void;

  /** Use `Connection.domainEvents`. */
  constructor(
    register: (listener: (event: RawEvent) => void) => Registration,
    toEvent: (raw: RawEvent) => Event,
    queueLimit: number,
    signal: AbortSignal | undefined,
    onReleased: (stream: EndableStream) => void,
  ) {
    this.#queue = new EventQueue(queueLimit);
    this.#registration = register((raw) => {
      if (!this.#queue.push(toEvent(raw))) this.#release();
    });
    this.#release = (): void => {
      signal?.removeEventListener('abort', abort);
      this.#registration.release();
      onReleased(this);
    };
    const abort = (): void => {
      this.fail(signal?.reason as Error);
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.ready = this.#registration.ready;
    this.ready.catch((error: unknown) => {
      this.fail(error as Error);
    });
    // Not at once: whoever made the stream shall know it before it ends.
    if (signal?.aborted === true) queueMicrotask(abort);
  }

  /**
   * The next event.
   *
   * @throws LibvirtEventOverflowError if events were lost, LibvirtConnectionClosedError if the connection broke,
   * LibvirtError if the registration was refused, or the signal's reason
   */
  next(): Promise<IteratorResult<Event, undefined>> {
    return this.#queue.next();
  }

  /** Ends the stream, as leaving a `for await` loop does. */
  return(): Promise<IteratorResult<Event, undefined>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.end();
    return Promise.resolve();
  }

  /** Ends the stream: no events come any more, those that wait can still be taken. */
  end(): void {
    this.#queue.end();
    this.#release();
  }

  /** Ends the stream with an error, behind the events that wait. */
  fail(error: Error): void {
    this.#queue.fail(error);
    this.#release();
  }
}
