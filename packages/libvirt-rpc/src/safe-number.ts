import { LibvirtProtocolError, LibvirtUsageError } from './errors.ts';

/**
 * A 64-bit value as a number.
 *
 * @throws LibvirtProtocolError if a number cannot hold it exactly
 */
export function safeNumber(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER))
    throw new LibvirtProtocolError(`${what} is ${String(value)}, more than a number can hold`);
  return Number(value);
}

/**
 * A caller's number as a 64-bit value for the wire.
 *
 * @throws LibvirtUsageError if it is negative or not an integer that a number holds exactly
 */
export function wireInteger(value: number | bigint, what: string): bigint {
  if (typeof value === 'bigint' ? value < 0n : !Number.isSafeInteger(value) || value < 0)
    throw new LibvirtUsageError(`${what} is ${String(value)}, not an integer of 0 or more`);
  return BigInt(value);
}

/** The same struct with its 64-bit values as numbers, as `safeNumber` makes them. */
export function safeNumbers<T extends Readonly<Record<string, number | bigint>>>(
  values: T,
): { readonly [Name in keyof T]: number } {
  const entries = Object.entries(values).map(([name, value]) => [
    name,
    typeof value === 'bigint' ? safeNumber(value, name) : value,
  ]);
  return Object.fromEntries(entries) as { readonly [Name in keyof T]: number };
}
