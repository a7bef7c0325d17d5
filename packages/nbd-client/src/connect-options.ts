import { NbdUsageError } from './errors.ts';
import { MAX_STRING_BYTES } from './protocol/limits.ts';
import type { SessionLimits } from './session.ts';

/** For everything that dials. */
export interface HandshakeOptions {
  /** Gives up connecting; has no effect once the promise is settled. */
  readonly signal?: AbortSignal;
  /** For dialling and the whole handshake together. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** For the handshake once the server is reached, TLS included. Default: what `connectTimeoutMs` leaves. */
  readonly handshakeTimeoutMs?: number;
  /** Whether a URI may name files of certificates and keys. Default false. */
  readonly allowLocalFiles?: boolean;
}

/** For `listMetaContexts`. */
export interface MetaContextOptions extends HandshakeOptions {
  /** What to look for: full names, or a namespace with its colon such as `qemu:`. Default: everything. */
  readonly queries?: readonly string[];
}

/** For `connect`. */
export interface ConnectOptions extends HandshakeOptions {
  /** Metadata contexts to select, such as `base:allocation`. Ask only for what is needed. Default: none. */
  readonly metaContexts?: readonly string[];
  /** Whether to ask for extended headers, which QEMU has since 8.2. Default true. */
  readonly extendedHeaders?: boolean;
  /**
   * Ends the connection if requests are under way and no byte arrives for so long; 0: never. Default 60,000.
   * It bounds silence; the `signal` of a command bounds that command.
   */
  readonly idleTimeoutMs?: number;
  /** For `close` to finish what is under way. Default 5,000. */
  readonly closeTimeoutMs?: number;
  /** Requests on the wire at once. Default 16, as many as QEMU works on. */
  readonly maxRequests?: number;
  /** Payload bytes on the wire at once. Default 64 MiB. */
  readonly maxBytes?: number;
}

/** For `connectPool`. */
export interface PoolOptions extends ConnectOptions {
  /** How many, if the server allows more than one. */
  readonly connections: number;
}

const DEFAULTS = {
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  closeTimeoutMs: 5_000,
  maxRequests: 16,
  maxBytes: 64 * 1024 * 1024,
};

/** The longest delay of a Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** @throws NbdUsageError */
export function checkedLimits(options: ConnectOptions): SessionLimits {
  return {
    idleTimeoutMs: integer('idleTimeoutMs', options.idleTimeoutMs ?? DEFAULTS.idleTimeoutMs, 0),
    closeTimeoutMs: integer('closeTimeoutMs', options.closeTimeoutMs ?? DEFAULTS.closeTimeoutMs),
    maxRequests: integer('maxRequests', options.maxRequests ?? DEFAULTS.maxRequests),
    maxBytes: integer('maxBytes', options.maxBytes ?? DEFAULTS.maxBytes),
  };
}

/** @throws NbdUsageError */
export function checkedTimeouts(options: HandshakeOptions): {
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
} {
  const connectTimeoutMs = integer('connectTimeoutMs', options.connectTimeoutMs ?? DEFAULTS.connectTimeoutMs);
  return {
    connectTimeoutMs,
    handshakeTimeoutMs: integer('handshakeTimeoutMs', options.handshakeTimeoutMs ?? connectTimeoutMs),
  };
}

/** @throws NbdUsageError if a name cannot be one of a metadata context, or is there twice */
export function checkContextNames(names: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    checkQuery(name);
    if (!/^[^:]+:./su.test(name))
      throw new NbdUsageError(`a metadata context is namespace:name, not ${JSON.stringify(name)}`);
    if (names.indexOf(name) !== index) throw new NbdUsageError(`the metadata context ${name} is there twice`);
  }
}

/** @throws NbdUsageError if the protocol cannot carry it */
export function checkQuery(query: string): void {
  if (query === '' || query.includes('\0') || Buffer.byteLength(query) > MAX_STRING_BYTES)
    throw new NbdUsageError(`a metadata context has 1 to ${MAX_STRING_BYTES} bytes and no NUL`);
}

/** @throws NbdUsageError */
export function checkConnections(connections: number): void {
  integer('connections', connections);
}

function integer(name: string, value: number, least = 1): number {
  const most = name.endsWith('Ms') ? MAX_TIMER_MS : Number.MAX_SAFE_INTEGER;
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new NbdUsageError(`${name} is ${value}, not an integer from ${least} to ${most}`);
  return value;
}
