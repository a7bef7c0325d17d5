import {
  areNames,
  isBoolean,
  isNumber,
  isRecord,
  type OptionChecks,
  optionsProblem,
  refuse,
} from './arguments.ts';
import { NbdUsageError } from './errors.ts';
import { checkedInteger, HANDSHAKE_OPTIONS, type HandshakeOptions } from './handshake/handshake-options.ts';
import { MAX_STRING_BYTES } from './protocol/limits.ts';
import type { SessionLimits } from './transmission/session.ts';
import { checkWellFormed } from './transport/address.ts';

/** For `listMetaContexts`. */
export interface MetaContextOptions extends HandshakeOptions {
  /** What to look for: full names, or a namespace with its colon such as `qemu:`. Default: everything. */
  readonly queries?: readonly string[] | undefined;
}

/** For `connect`. */
export interface ConnectOptions extends HandshakeOptions {
  /** Metadata contexts to select, such as `base:allocation`. Ask only for what is needed. Default: none. */
  readonly metaContexts?: readonly string[] | undefined;
  /** Whether to ask for extended headers, which QEMU has since 8.2. Default true. */
  readonly extendedHeaders?: boolean | undefined;
  /**
   * Ends the connection if requests are under way and no byte arrives for so long; 0: never. Default 60,000.
   * It bounds silence; the `signal` of a command bounds that command.
   */
  readonly idleTimeoutMs?: number | undefined;
  /** For `close` to finish what is under way. Default 5,000. */
  readonly closeTimeoutMs?: number | undefined;
  /** Requests on the wire at once. Default 16, as many as QEMU works on. */
  readonly maxRequests?: number | undefined;
  /** Payload bytes on the wire at once. Default 64 MiB. */
  readonly maxBytes?: number | undefined;
}

/** For `connectPool`. */
export interface PoolOptions extends ConnectOptions {
  /** How many, if the server allows more than one. */
  readonly connections: number;
  /** Opens another connection in the place of one that has ended. Default: the pool gets smaller. */
  readonly reconnect?: ReconnectOptions | undefined;
}

/** For the option `reconnect` of `connectPool`. */
export interface ReconnectOptions {
  /**
   * Attempts in a row before the place of a connection stays empty. One that ends sooner than `maxDelayMs` after it
   * was opened counts as another failed attempt. Default 5.
   */
  readonly attempts?: number | undefined;
  /** Before the first attempt; each one that follows waits twice as long. Default 100. */
  readonly firstDelayMs?: number | undefined;
  /** The longest wait before an attempt. Default 5,000. */
  readonly maxDelayMs?: number | undefined;
}

/** `ReconnectOptions` with nothing left out. */
export type ReconnectPlan = { readonly [Key in keyof ReconnectOptions]-?: number };

/** For `listMetaContexts`. */
export const META_CONTEXT_OPTIONS: OptionChecks = { ...HANDSHAKE_OPTIONS, queries: areNames };
/** For `connect`; the numbers are looked at once more by `checkedLimits`. */
export const CONNECT_OPTIONS: OptionChecks = {
  ...HANDSHAKE_OPTIONS,
  metaContexts: areNames,
  extendedHeaders: isBoolean,
  idleTimeoutMs: isNumber,
  closeTimeoutMs: isNumber,
  maxRequests: isNumber,
  maxBytes: isNumber,
};
/** For `connectPool`. */
export const POOL_OPTIONS: OptionChecks = { ...CONNECT_OPTIONS, connections: isNumber, reconnect: isRecord };
const RECONNECT_OPTIONS: OptionChecks = { attempts: isNumber, firstDelayMs: isNumber, maxDelayMs: isNumber };

const RECONNECT_DEFAULTS = { attempts: 5, firstDelayMs: 100, maxDelayMs: 5_000 };

const DEFAULTS = {
  idleTimeoutMs: 60_000,
  closeTimeoutMs: 5_000,
  maxRequests: 16,
  maxBytes: 64 * 1024 * 1024,
};

/** @throws NbdUsageError */
export function checkedLimits(options: ConnectOptions): SessionLimits {
  return {
    idleTimeoutMs: checkedInteger('idleTimeoutMs', options.idleTimeoutMs ?? DEFAULTS.idleTimeoutMs, 0),
    closeTimeoutMs: checkedInteger('closeTimeoutMs', options.closeTimeoutMs ?? DEFAULTS.closeTimeoutMs),
    maxRequests: checkedInteger('maxRequests', options.maxRequests ?? DEFAULTS.maxRequests),
    maxBytes: checkedInteger('maxBytes', options.maxBytes ?? DEFAULTS.maxBytes),
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
  checkWellFormed('a metadata context', query);
  if (query === '' || query.includes('\0') || Buffer.byteLength(query) > MAX_STRING_BYTES)
    throw new NbdUsageError(`a metadata context has 1 to ${MAX_STRING_BYTES} bytes and no NUL`);
}

/** @throws NbdUsageError */
export function checkConnections(connections: number): void {
  checkedInteger('connections', connections);
}

/** @throws NbdUsageError */
export function checkedReconnect(options: ReconnectOptions): ReconnectPlan {
  refuse(optionsProblem('reconnect', options, RECONNECT_OPTIONS));
  const { attempts, firstDelayMs, maxDelayMs } = RECONNECT_DEFAULTS;
  return {
    attempts: checkedInteger('reconnect.attempts', options.attempts ?? attempts),
    firstDelayMs: checkedInteger('reconnect.firstDelayMs', options.firstDelayMs ?? firstDelayMs),
    maxDelayMs: checkedInteger('reconnect.maxDelayMs', options.maxDelayMs ?? maxDelayMs),
  };
}
