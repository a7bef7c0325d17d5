import { onAbort } from '../abort-listeners.ts';
import { EventQueue, type QueueLimits } from './event-queue.ts';
import type { EventListener, RawEvent, Registration } from './event-router.ts';

/** What a connection needs to know of a stream when it ends. */
export interface EndableStream {
  end(): void;
  fail(error: Error): void;
}

/** Events of one kind, in the order of their arrival. To be iterated once, by one consumer. */
export class EventStream<Event>
  implements AsyncIterableIterator<Event, undefined>, AsyncDisposable, EndableStream
{
  /** Resolves when the daemon has confirmed the registration: later events are not missed. */
  readonly ready: Promise<void>;
  readonly #queue: EventQueue<Event>;
  readonly #release: () => void;

  /** Use `Connection.domainEvents` and the like. */
  constructor(
    register: (listener: EventListener) => Registration,
    toEvent: (raw: RawEvent) => Event,
    limits: QueueLimits,
    signal: AbortSignal | undefined,
    onReleased: (stream: EndableStream) => void,
  ) {
    this.#queue = new EventQueue(limits);
    if (signal?.aborted === true) {
      // Nothing is registered, and nobody needs to know the stream.
      this.#release = (): void => undefined;
      this.ready = Promise.reject(signal.reason as Error);
      this.ready.catch(() => undefined);
      this.#queue.fail(signal.reason as Error);
      return;
    }
    const registration = register((raw, bytes) => {
      if (!this.#queue.push(toEvent(raw), bytes)) this.#release();
    });
    const unlisten = onAbort(signal, () => {
      this.fail(signal?.reason as Error);
    });
    this.#release = (): void => {
      unlisten();
      registration.release();
      onReleased(this);
    };
    this.ready = registration.ready;
    this.ready.catch((error: unknown) => {
      this.fail(error as Error);
    });
  }

  /** Whether nothing comes behind the events that wait. */
  get hasEnded(): boolean {
    return this.#queue.hasEnded;
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
