import { Line } from '../line.ts';
import { MAX_CALLS_IN_FLIGHT, URGENT_CALL_SLOTS } from '../protocol/limits.ts';

/** A call as the queue sees it. */
export interface QueuedCall {
  readonly urgent: boolean;
  /** Whether nobody waits for it any more. */
  readonly isSettled: boolean;
}

/**
 * Which calls may be on the wire: at most four at once, one of the four places being kept for urgent ones.
 * First come, first served, urgent calls before the others. Does no I/O.
 */
export class CallQueue<Call extends QueuedCall> {
  readonly #urgent = new Line<Call>();
  readonly #ordinary = new Line<Call>();
  readonly #inFlight = new Map<number, Call>();
  #nextSerial = 1;

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Whether nobody waits for anything: what is in flight are tombstones only. */
  isIdle(): boolean {
    if (this.#urgent.size > 0 || this.#ordinary.size > 0) return false;
    return [...this.#inFlight.values()].every((call) => call.isSettled);
  }

  /** Puts a call at the end of its line. */
  add(call: Call): void {
    this.#line(call).push(call);
  }

  /** The next call that may be sent, with its serial; it is in flight from now on. */
  next(): { readonly call: Call; readonly serial: number } | undefined {
    const free = MAX_CALLS_IN_FLIGHT - this.#inFlight.size;
    const call =
      (free > 0 ? this.#urgent.shift() : undefined) ??
      (free > URGENT_CALL_SLOTS ? this.#ordinary.shift() : undefined);
    if (call === undefined) return undefined;
    const serial = this.#takeSerial();
    this.#inFlight.set(serial, call);
    return { call, serial };
  }

  find(serial: number): Call | undefined {
    return this.#inFlight.get(serial);
  }

  /** Its reply has arrived: the place is free. */
  answered(serial: number): void {
    this.#inFlight.delete(serial);
  }

  /** Takes a call out that was not sent yet; false where it was. */
  withdraw(call: Call): boolean {
    return this.#line(call).delete(call);
  }

  /** Empties the queue; returns all that was waiting or in flight. */
  clear(): Call[] {
    const all = [...this.#inFlight.values(), ...this.#urgent.clear(), ...this.#ordinary.clear()];
    this.#inFlight.clear();
    return all;
  }

  #line(call: Call): Line<Call> {
    return call.urgent ? this.#urgent : this.#ordinary;
  }

  /** Never one that is in flight, however late its reply comes. */
  #takeSerial(): number {
    while (this.#inFlight.has(this.#nextSerial)) this.#advance();
    const serial = this.#nextSerial;
    this.#advance();
    return serial;
  }

  #advance(): void {
    this.#nextSerial = (this.#nextSerial + 1) >>> 0;
  }
}
