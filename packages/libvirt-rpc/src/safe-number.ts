import { LibvirtProtocolError } from './errors.ts';

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
