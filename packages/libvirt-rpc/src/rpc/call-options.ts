import { LibvirtUsageError } from '../errors.ts';
import { checkedTimeout } from './call-timeout.ts';

/** How long a call may take; the last argument of whatever asks the daemon for something. */
export interface CallOptions {
  /** Rejects at once with the signal's reason. What was sent cannot be taken back: the late reply is dropped. */
  readonly signal?: AbortSignal | undefined;
  /** From the call on, waiting for its turn included; 0: never. Default: the connection's `callTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

/** As `CallOptions`, of what has flags. */
export interface FlagOptions extends CallOptions {
  /** Bits of what the method names, such as `virDomainXMLFlags`; default 0. */
  readonly flags?: number | undefined;
}

/** The names of what `CallOptions` has. */
export const CALL_OPTIONS: readonly string[] = ['signal', 'timeoutMs'];

/** The names of what `FlagOptions` has. */
export const FLAG_OPTIONS: readonly string[] = ['flags', ...CALL_OPTIONS];

const MAX_FLAGS = 2 ** 32 - 1;

/** What `options` may hold, and what tells of each whether it may be so. */
const CHECKS: Readonly<Record<string, (value: unknown) => boolean>> = {
  flags: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_FLAGS,
  signal: (value) => value instanceof AbortSignal,
  sparse: (value) => typeof value === 'boolean' || value === 'zeroes',
  timeoutMs: (value) => typeof value === 'number' && checkedTimeout(value) === value,
};

/**
 * Options as they come from a program that no compiler has read.
 *
 * @throws LibvirtUsageError where they are anything but an object: flags were numbers of their own once
 */
export function optionsObject<T extends object>(options: T, what: string): T {
  if (typeof options === 'object' && (options as T | null) !== null && !Array.isArray(options))
    return options;
  const hint = typeof options === 'number' ? `: write { flags: ${String(options)} }` : '';
  throw new LibvirtUsageError(`the options of ${what} are ${shown(options)}, not an object${hint}`);
}

/**
 * Checks the options of a call.
 *
 * @param names - those that there are
 * @throws LibvirtUsageError for one of another name, or of a wrong type
 */
export function checkCallOptions(options: FlagOptions, names: readonly string[], what: string): void {
  for (const [name, value] of Object.entries(optionsObject(options, what))) {
    if (!names.includes(name)) throw new LibvirtUsageError(`${what} has no option ${shown(name)}`);
    if (value !== undefined && CHECKS[name]?.(value) === false)
      throw new LibvirtUsageError(`the option ${name} of ${what} is ${shown(value)}`);
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
