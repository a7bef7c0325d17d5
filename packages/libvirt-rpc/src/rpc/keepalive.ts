/** How a connection finds out that its daemon is gone without a word. */
export interface KeepaliveOptions {
  /** Time in milliseconds without any byte after which a ping is sent; 0: never, and the daemon is not asked to either. */
  readonly intervalMs?: number | undefined;
  /** As many pings may stay unanswered. */
  readonly count?: number | undefined;
}

/** The same with nothing left out. */
export interface KeepaliveLimits {
  readonly intervalMs: number;
  readonly count: number;
}

/** Sends pings while nothing arrives; anything counts as an answer, a part of a long packet too. */
export class Keepalive {
  readonly #count: number;
  readonly #ping: () => void;
  readonly #dead: () => void;
  readonly #timer: NodeJS.Timeout | undefined;
  #unanswered = 0;
  #isSuspended = false;

  constructor(options: KeepaliveLimits, ping: () => void, dead: () => void) {
    this.#count = options.count;
    this.#ping = ping;
    this.#dead = dead;
    if (options.intervalMs > 0)
      this.#timer = setInterval(() => {
        this.#elapsed();
      }, options.intervalMs);
  }

  /** Something has arrived. */
  heard(): void {
    this.#unanswered = 0;
    this.#timer?.refresh();
  }

  /** We do not read for now: silence says nothing about the peer. */
  suspend(): void {
    this.#isSuspended = true;
  }

  resume(): void {
    this.#isSuspended = false;
    this.heard();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #elapsed(): void {
    if (this.#isSuspended) return;
    if (this.#unanswered >= this.#count) {
      this.#dead();
      return;
    }
    this.#unanswered++;
    this.#ping();
  }
}
