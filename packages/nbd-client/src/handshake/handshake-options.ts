import { MAX_TIMER_MS, isBoolean, isNumber, isSignal, type OptionChecks, shown } from '../arguments.ts';
import { NbdUsageError } from '../errors.ts';

/** For everything that dials. */
export interface HandshakeOptions {
  /** Gives up connecting; has no effect once the promise is settled. */
  readonly signal?: AbortSignal | undefined;
  /** For dialling and the whole handshake together. Default 10,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** For the handshake once the server is reached, TLS included. Default: what `connectTimeoutMs` leaves. */
  readonly handshakeTimeoutMs?: number | undefined;
  /** Whether a URI may name files of certificates and keys. Default false. */
  readonly allowLocalFiles?: boolean | undefined;
}

/** Their numbers are looked at once more by `checkedTimeouts`. */
export const HANDSHAKE_OPTIONS: OptionChecks = {
  signal: isSignal,
  connectTimeoutMs: isNumber,
  handshakeTimeoutMs: isNumber,
  allowLocalFiles: isBoolean,
};

const CONNECT_TIMEOUT_MS = 10_000;

/** @throws NbdUsageError */
export function checkedTimeouts(options: HandshakeOptions): {
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
} {
  const connectTimeoutMs = checkedInteger('connectTimeoutMs', options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS);
  return {
    connectTimeoutMs,
    handshakeTimeoutMs: checkedInteger('handshakeTimeoutMs', options.handshakeTimeoutMs ?? connectTimeoutMs),
  };
}

/** A number of an option; one of milliseconds has to fit into a timer. @throws NbdUsageError */
export function checkedInteger(name: string, value: number, least = 1): number {
  const most = name.endsWith('Ms') ? MAX_TIMER_MS : Number.MAX_SAFE_INTEGER;
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new NbdUsageError(`${name} is ${shown(value)}, not an integer from ${least} to ${most}`);
  return value;
}
