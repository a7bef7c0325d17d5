import { randomInt } from 'node:crypto';
import type { Command } from '../commands/command.ts';
import { NbdProtocolError } from '../errors.ts';
import { Line } from './line.ts';

/** Below this one receive for several replies and a copy out of it are cheaper. */
const CONTENT_MIN_BYTES = 128 * 1024;

/** How much may be under way at once. */
export interface WindowLimits {
  readonly maxRequests: number;
  /** Payload bytes of all requests under way; one request always fits. */
  readonly maxBytes: number;
}

/**
 * The commands of one connection: those that wait for room in the window, in order, and those on the wire by
 * their cookie.
 */
export class InFlight {
  /** The same for a whole connection and different between two: a reply from elsewhere does not match. */
  readonly cookieHigh: number = randomInt(1, 2 ** 32);
  readonly #limits: WindowLimits;
  readonly #waiting = new Line<Command>();
  readonly #sent = new Map<number, Command>();
  #bytes = 0;
  #nextCookie = 0;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  /** Commands that have not been answered, sent or not. */
  get size(): number {
    return this.#waiting.size + this.#sent.size;
  }

  /** Commands on the wire. */
  get sent(): number {
    return this.#sent.size;
  }

  enqueue(command: Command): void {
    this.#waiting.append(command);
  }

  /** Takes back a command that has not been sent. */
  withdraw(command: Command): boolean {
    return this.#waiting.remove(command);
  }

  /** The next command that fits into the window. */
  get next(): Command | undefined {
    const command = this.#waiting.first;
    return command !== undefined && this.#fits(command) ? command : undefined;
  }

  /** Takes `next`, now counted as sent, with its cookie set. */
  take(command: Command): Command & { cookie: number } {
    this.withdraw(command);
    while (this.#sent.has(this.#nextCookie)) this.#nextCookie = (this.#nextCookie + 1) >>> 0;
    const cookie = this.#nextCookie;
    this.#nextCookie = (cookie + 1) >>> 0;
    this.#sent.set(cookie, command);
    this.#bytes += command.payloadBytes;
    command.cookie = cookie;
    return command as Command & { cookie: number };
  }

  #fits(command: Command): boolean {
    if (this.#sent.size === 0) return true;
    return (
      this.#sent.size < this.#limits.maxRequests &&
      this.#bytes + command.payloadBytes <= this.#limits.maxBytes
    );
  }

  find(cookieHigh: number, cookieLow: number): Command {
    const command = cookieHigh === this.cookieHigh ? this.#sent.get(cookieLow) : undefined;
    if (command !== undefined) return command;
    throw new NbdProtocolError('reply with a cookie that no request in flight has', 'Transmission phase');
  }

  /** Whether the oldest command on the wire reads straight into its place, and enough for a receive of its own. */
  get expectsContent(): boolean {
    for (const { direct, length } of this.#sent.values()) return direct && length >= CONTENT_MIN_BYTES;
    return false;
  }

  /** A command was answered. */
  remove(command: Command): void {
    if (command.cookie === undefined || !this.#sent.delete(command.cookie)) return;
    this.#bytes -= command.payloadBytes;
  }

  /** Rejects what has not been sent. */
  failWaiting(reason: unknown): void {
    for (const command of this.#waiting.takeAll()) command.fail(reason);
  }

  /** Rejects what was sent with the one, and what was not with the other. */
  failAll(reasonIfSent: unknown, reasonIfWaiting: unknown): void {
    const sent = [...this.#sent.values()];
    this.#sent.clear();
    this.#bytes = 0;
    for (const command of sent) command.fail(reasonIfSent);
    this.failWaiting(reasonIfWaiting);
  }
}
