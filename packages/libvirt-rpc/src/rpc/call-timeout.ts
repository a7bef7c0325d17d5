import { LibvirtUsageError } from '../errors.ts';

/** The longest delay of a Node timer; a longer one would fire at once. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

/**
 * The timeout of one call, in milliseconds; 0: never.
 *
 * @throws LibvirtUsageError if a timer cannot be set to it
 */
export function checkedTimeout(timeoutMs: number): number {
  if (!Number.isInteger(timeoutMs) || timeoutMs < 0 || timeoutMs > MAX_TIMER_MS)
    throw new LibvirtUsageError(`timeoutMs is ${timeoutMs}, not an integer from 0 to ${MAX_TIMER_MS}`);
  return timeoutMs;
}
