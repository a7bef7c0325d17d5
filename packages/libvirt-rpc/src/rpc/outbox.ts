import { Line } from '../line.ts';
import type { Transport } from '../transports/transport.ts';

interface Waiting {
  readonly packet: Buffer;
  readonly onSent: (() => void) | undefined;
}

/** What waits to be written. Only one packet at a time is given to a full transport, so urgent ones overtake. */
export class Outbox {
  readonly #transport: Transport;
  readonly #urgent = new Set<Buffer>();
  readonly #ordinary = new Line<Waiting>();
  /** Who wants to know that the packet which filled the transport has left. */
  #onDrained: (() => void) | undefined;
  #full = false;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Sends it, behind what waits.
   *
   * @param onSent - called when the next packet may follow without waiting
   */
  send(packet: Buffer, onSent?: () => void): void {
    this.#ordinary.push({ packet, onSent });
    this.#flush();
  }

  /**
   * Sends it ahead of all that waits. The very same buffer is not queued twice: a flood of questions with the
   * same answer takes no memory, however long the peer does not read.
   */
  sendUrgently(packet: Buffer): void {
    this.#urgent.add(packet);
    this.#flush();
  }

  /** The transport takes more. */
  drained(): void {
    this.#full = false;
    const onDrained = this.#onDrained;
    this.#onDrained = undefined;
    this.#flush();
    onDrained?.();
  }

  /** How many packets wait. */
  get waiting(): number {
    return this.#urgent.size + this.#ordinary.size;
  }

  #flush(): void {
    while (!this.#full) {
      const next = this.#takeUrgent() ?? this.#ordinary.shift();
      if (next === undefined) return;
      this.#full = !this.#transport.write(next.packet);
      if (this.#full) this.#onDrained = next.onSent;
      else next.onSent?.();
    }
  }

  #takeUrgent(): Waiting | undefined {
    for (const packet of this.#urgent) {
      this.#urgent.delete(packet);
      return { packet, onSent: undefined };
    }
    return undefined;
  }
}
