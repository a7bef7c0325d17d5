import { decodeFields } from '../codec/struct-codec.ts';
import type { DomainRef } from '../codec/struct-types.ts';
import { LibvirtEventOverflowError, LibvirtProtocolError } from '../errors.ts';
import { connectProcedures } from '../procedures/connect.ts';
import { events } from '../procedures/events.ts';
import type { EventRow } from '../procedures/row.ts';
import { PROGRAMS } from '../protocol/constants.ts';
import type { Packet } from '../rpc/packet.ts';
import type { RpcSession } from '../rpc/session.ts';

/** A decoded event message. */
export interface RawEvent {
  readonly callbackID: number;
  readonly dom: DomainRef;
}

/** One registration with the daemon, shared by all streams that want the same events. */
export interface Registration {
  /** Settles when the daemon has answered. */
  readonly ready: Promise<void>;
  /** Gives the share back. The last one ends the registration. */
  release(): void;
}

type Listener = (event: RawEvent) => void;

interface Entry {
  readonly key: string;
  readonly row: EventRow;
  readonly listeners: Set<Listener>;
  ready: Promise<void>;
  id: number | undefined;
}

/** Events for callback ids that are not known yet, while registrations are under way. */
const MAX_EARLY_EVENTS = 1024;

const rowsByNumber = new Map<string, EventRow>(
  Object.values(events).map((row: EventRow) => [`${PROGRAMS[row.program]}:${row.number}`, row]),
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
  readonly #early: { readonly id: string; readonly event: RawEvent }[] = [];
  /** Whether there were more of them than are kept. */
  #earlyLost = false;
  #registering = 0;

  constructor(session: RpcSession) {
    this.#session = session;
    session.onEvent = (packet): void => {
      this.#route(packet);
    };
  }

  /** Registers for the events of a kind, of one domain or of all. */
  register(row: EventRow, dom: DomainRef | null, listener: Listener): Registration {
    const key = `${row.eventClass}:${row.eventId}:${dom?.uuid ?? 'all'}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { key, row, listeners: new Set(), id: undefined, ready: Promise.resolve() };
      this.#entries.set(key, entry);
      entry.ready = this.#register(entry, dom);
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

  async #register(entry: Entry, dom: DomainRef | null): Promise<void> {
    this.#registering++;
    try {
      await this.#leaving.get(entry.key);
      const { connectDomainEventCallbackRegisterAny: procedure } = connectProcedures;
      const { callbackID } = await this.#session.call(procedure, { eventID: entry.row.eventId, dom });
      entry.id = callbackID;
      this.#byId.set(idKey(entry.row, callbackID), entry);
      this.#deliverEarly(idKey(entry.row, callbackID), entry);
      if (this.#earlyLost) {
        this.#leave(entry);
        throw new LibvirtEventOverflowError(
          `more than ${MAX_EARLY_EVENTS} events came before a registration's reply`,
        );
      }
      if (entry.listeners.size === 0) this.#leave(entry);
    } catch (error) {
      this.#forget(entry);
      throw error;
    } finally {
      this.#registering--;
      if (this.#registering === 0) {
        this.#early.length = 0;
        this.#earlyLost = false;
      }
    }
  }

  #release(entry: Entry, listener: Listener): void {
    if (!entry.listeners.delete(listener) || entry.listeners.size > 0) return;
    // Before the reply there is no id to deregister: then `#register` does it.
    if (entry.id !== undefined) this.#leave(entry);
  }

  #leave(entry: Entry): void {
    const { id } = entry;
    if (id === undefined || this.#entries.get(entry.key) !== entry) return;
    this.#forget(entry);
    if (!this.#session.isOpen) return;
    const { connectDomainEventCallbackDeregisterAny: procedure } = connectProcedures;
    const done = this.#session.call(procedure, { callbackID: id }).then(
      () => undefined,
      () => undefined, // the domain or the connection is gone, and the registration with it
    );
    this.#leaving.set(entry.key, done);
    void done.then(() => {
      if (this.#leaving.get(entry.key) === done) this.#leaving.delete(entry.key);
    });
  }

  #forget(entry: Entry): void {
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
    if (entry.id !== undefined) this.#byId.delete(idKey(entry.row, entry.id));
  }

  #route(packet: Packet): void {
    const row = rowsByNumber.get(`${packet.program}:${packet.procedure}`);
    // Nothing asked for it, so it concerns nobody.
    if (row === undefined) return;
    const event = decodeEvent(row, packet);
    const id = idKey(row, event.callbackID);
    const entry = this.#byId.get(id);
    if (entry !== undefined) deliver(entry, event);
    else if (this.#registering > 0) {
      if (this.#early.length < MAX_EARLY_EVENTS) this.#early.push({ id, event });
      else this.#earlyLost = true;
    }
  }

  #deliverEarly(id: string, entry: Entry): void {
    for (const early of this.#early.filter((candidate) => candidate.id === id)) deliver(entry, early.event);
  }
}

function deliver(entry: Entry, event: RawEvent): void {
  for (const listener of [...entry.listeners]) listener(event);
}

/** Ids are told apart by class; within the class domain the daemon counts all kinds together. */
function idKey(row: EventRow, callbackID: number): string {
  return `${row.eventClass}:${callbackID}`;
}

function decodeEvent(row: EventRow, packet: Packet): RawEvent {
  try {
    return decodeFields(row.payload, packet.payload) as unknown as RawEvent;
  } catch (cause) {
    if (!(cause instanceof LibvirtProtocolError)) throw cause;
    throw new LibvirtProtocolError(`${row.name}: ${cause.message}`, { cause });
  }
}
