import { LibvirtConnectionClosedError } from '../errors.ts';
import type { CloseInfo } from '../rpc/close-info.ts';
import type { RpcSession } from '../rpc/session.ts';
import type { QueueLimits } from './event-queue.ts';
import { EventRouter, type RawEvent } from './event-router.ts';
import { type EndableStream, EventStream } from './event-stream.ts';
import type { EventFilter } from './registrar.ts';

/** The event streams of one connection. */
export class EventStreams {
  readonly #router: EventRouter;
  readonly #limits: QueueLimits;
  readonly #open = new Set<EndableStream>();

  constructor(session: RpcSession, limits: QueueLimits) {
    this.#router = new EventRouter(session);
    this.#limits = limits;
    void session.closed.then((info) => {
      this.#end(info);
    });
  }

  /** How many have not ended. */
  get size(): number {
    return this.#open.size;
  }

  /** Opens one; the registration starts at once. */
  open<Event>(
    filter: EventFilter,
    toEvent: (raw: RawEvent) => Event,
    signal: AbortSignal | undefined,
  ): EventStream<Event> {
    const stream = new EventStream(
      (listener) => this.#router.register(filter, listener),
      toEvent,
      this.#limits,
      signal,
      (ended) => this.#open.delete(ended),
    );
    if (!stream.hasEnded) this.#open.add(stream);
    return stream;
  }

  #end({ reason, error }: CloseInfo): void {
    const why = error === undefined ? '' : `: ${error.message}`;
    const what = `no more events: the connection has ended (${reason})${why}`;
    for (const stream of [...this.#open]) {
      if ((reason === 'close' || reason === 'destroy') && error === undefined) stream.end();
      else stream.fail(new LibvirtConnectionClosedError(what, { cause: error }));
    }
  }
}
