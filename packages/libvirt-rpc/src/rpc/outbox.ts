import type { Transport } from '../transport.ts';

/** What waits to be written. Only one packet at a time is given to a full transport, so urgent ones overtake. */
export class Outbox {
  readonly #transport: Transport;
  readonly #urgent: Buffer[] = [];
  readonly #ordinary: Buffer[] = [];
  #full = false;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Sends it, behind what waits. */
  send(packet: Buffer): void {
    this.#ordinary.push(packet);
    this.#flush();
  }

  /** Sends it ahead of all that waits. */
  sendUrgently(packet: Buffer): void {
    this.#urgent.push(packet);
    this.#flush();
  }

  /** The transport takes more. */
  drained(): void {
    this.#full = false;
    this.#flush();
  }

  /** How many packets wait. */
  get waiting(): number {
    return this.#urgent.length + this.#ordinary.length;
  }

  #flush(): void {
    while (!this.#full) {
      const packet = this.#urgent.shift() ?? this.#ordinary.shift();
      if (packet === undefined) return;
      this.#full = !this.#transport.write(packet);
    }
  }
}
