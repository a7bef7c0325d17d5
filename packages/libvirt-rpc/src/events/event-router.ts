import { decodeFields } from '../codec/struct-codec.ts';
import { LibvirtEventOverflowError, LibvirtProtocolError, LibvirtTimeoutError } from '../errors.ts';
import { events } from '../procedures/events.ts';
import { objectEvents } from '../procedures/object-events.ts';
import type { EventClass, EventRow, Procedure } from '../procedures/row.ts';
import { PROGRAM_VERSION, PROGRAMS } from '../protocol/constants.ts';
import type { Packet } from '../rpc/packet.ts';
import type { RpcSession } from '../rpc/session.ts';
import { EarlyEvents } from './early-events.ts';
import { type EventFilter, ONLY_ID, registrars } from './registrar.ts';

/** A decoded event message. */
export type RawEvent = Readonly<Record<string, unknown>>;

/** Takes an event and the length of its payload. Must not throw anything but LibvirtProtocolError. */
export type EventListener = (event: RawEvent, bytes: number) => void;

/** One registration with the daemon, shared by all streams that want the same events. */
export interface Registration {
  /** Settles when the daemon has answered. */
  readonly ready: Promise<void>;
  /** Gives the share back. The last one ends the registration. */
  release(): void;
}

interface Entry {
  readonly key: string;
  readonly filter: EventFilter;
  readonly listeners: Set<EventListener>;
  ready: Promise<void>;
  id: number | undefined;
}

const rowsByNumber = new Map<string, EventRow>(
  Object.values({ ...events, ...objectEvents }).map((row: EventRow) => [
    `${PROGRAMS[row.program]}:${row.number}`,
    row,
  ]),
);

/**
 * Brings events to those who registered for them. Callback ids count within an event class only, and an event
 * may arrive before the reply that tells the id of its registration.
 */
export class EventRouter {
  readonly #session: RpcSession;
  readonly #entries = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  /** Deregistrations under way, which a new registration for the same must wait for. */
  readonly #leaving = new Map<string, Promise<void>>();
  readonly #early = new EarlyEvents<RawEvent>();
  #registering = 0;

  constructor(session: RpcSession) {
    this.#session = session;
    session.onEvent = (packet): void => {
      this.#route(packet);
    };
  }

  /** Registers for the events that a filter names. */
  register(filter: EventFilter, listener: EventListener): Registration {
    const { key: keyOf } = registrars[filter.eventClass] as { readonly key: (filter: EventFilter) => string };
    const key = `${filter.eventClass} ${keyOf(filter)}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { key, filter, listeners: new Set(), id: undefined, ready: Promise.resolve() };
      this.#entries.set(key, entry);
      entry.ready = this.#register(entry);
      // Whoever is interested awaits it themselves.
      entry.ready.catch(() => undefined);
    }
    const mine = entry;
    mine.listeners.add(listener);
    return {
      ready: mine.ready,
      release: () => {
        this.#release(mine, listener);
      },
    };
  }

  async #register(entry: Entry): Promise<void> {
    this.#registering++;
    try {
      await this.#leaveToCome(entry.key);
      const id = await this.#callRegister(entry);
      entry.id = id;
      const name = idKey(entry.filter.eventClass, eventIdOf(entry.filter), id);
      this.#byId.set(name, entry);
      const early = this.#early.take(name);
      if (early === undefined) {
        this.#leave(entry);
        throw new LibvirtEventOverflowError('too many events came before the reply to their registration');
      }
      for (const { event, bytes } of early) deliver(entry, event, bytes);
      if (entry.listeners.size === 0) this.#leave(entry);
    } catch (error) {
      this.#forget(entry);
      throw error;
    } finally {
      this.#registering--;
      if (this.#registering === 0) this.#early.clear();
    }
  }

  /** Where the call is given up its late reply still makes a registration, which must be ended. */
  async #callRegister({ key, filter }: Entry): Promise<number> {
    const { register } = registrars[filter.eventClass];
    let resolveLate: (() => void) | undefined;
    const late = new Promise<void>((resolve) => (resolveLate = resolve));
    const onLateReply = (reply: unknown): void => {
      if (reply === undefined) resolveLate?.();
      else void this.#deregister(filter.eventClass, callbackId(reply)).then(resolveLate);
    };
    try {
      const reply = await this.#session.call(register, filter, { onLateReply });
      return callbackId(reply);
    } catch (error) {
      // For everything else there is an answer, or no connection.
      if (error instanceof LibvirtTimeoutError) this.#rememberLeave(key, late);
      throw error;
    }
  }

  async #leaveToCome(key: string): Promise<void> {
    const leaving = this.#leaving.get(key);
    if (leaving === undefined) return;
    const { callTimeoutMs } = this.#session;
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      if (callTimeoutMs === 0) return;
      timer = setTimeout(() => {
        const what = 'the registration before this one for the same events is still not ended';
        reject(new LibvirtTimeoutError(`${what} after ${callTimeoutMs} ms`));
      }, callTimeoutMs);
    });
    try {
      await Promise.race([leaving, tooLate, this.#session.closed]);
    } finally {
      clearTimeout(timer);
    }
  }

  #release(entry: Entry, listener: EventListener): void {
    if (!entry.listeners.delete(listener) || entry.listeners.size > 0) return;
    // Before the reply there is no id to deregister: then `#register` does it.
    if (entry.id !== undefined) this.#leave(entry);
  }

  #leave(entry: Entry): void {
    const { id } = entry;
    if (id === undefined || this.#entries.get(entry.key) !== entry) return;
    this.#forget(entry);
    this.#rememberLeave(entry.key, this.#deregister(entry.filter.eventClass, id));
  }

  #rememberLeave(key: string, done: Promise<void>): void {
    this.#leaving.set(key, done);
    void done.then(() => {
      if (this.#leaving.get(key) === done) this.#leaving.delete(key);
    });
  }

  async #deregister(eventClass: EventClass, callbackID: number): Promise<void> {
    if (!this.#session.isOpen) return;
    const { deregister }: { readonly deregister: Procedure } = registrars[eventClass];
    try {
      await this.#session.call(deregister, { callbackID });
    } catch {
      // The object or the connection is gone, and the registration with it.
    }
  }

  #forget(entry: Entry): void {
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
    if (entry.id === undefined) return;
    const name = idKey(entry.filter.eventClass, eventIdOf(entry.filter), entry.id);
    if (this.#byId.get(name) === entry) this.#byId.delete(name);
  }

  #route(packet: Packet): void {
    const row = rowsByNumber.get(`${packet.program}:${packet.procedure}`);
    // Nothing asked for it, so it concerns nobody.
    if (row === undefined || packet.version !== PROGRAM_VERSION) return;
    const event = decodeEvent(row, packet);
    const id = idKey(row.eventClass, row.eventId, callbackId(event));
    const entry = this.#byId.get(id);
    if (entry !== undefined) deliver(entry, event, packet.payload.length);
    else if (this.#registering > 0) this.#early.keep(id, event, packet.payload.length);
  }
}

function deliver(entry: Entry, event: RawEvent, bytes: number): void {
  for (const listener of [...entry.listeners]) listener(event, bytes);
}

/** Of a registration's reply or of an event. */
function callbackId(struct: unknown): number {
  return (struct as { readonly callbackID?: number }).callbackID ?? ONLY_ID;
}

/** Ids count within a class; the kind is there so that no listener is ever given the payload of another kind. */
function idKey(eventClass: EventClass, eventId: number, callbackID: number): string {
  return `${eventClass}:${eventId}:${callbackID}`;
}

/** The kind; classes without kinds have one. */
function eventIdOf(filter: EventFilter): number {
  return 'eventID' in filter ? filter.eventID : 0;
}

function decodeEvent(row: EventRow, packet: Packet): RawEvent {
  try {
    return decodeFields(row.payload, packet.payload);
  } catch (cause) {
    if (!(cause instanceof LibvirtProtocolError)) throw cause;
    throw new LibvirtProtocolError(`${row.name}: ${cause.message}`, { cause });
  }
}
