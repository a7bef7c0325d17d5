/** How much of a disk is read ahead. */
export interface Window {
  /** Bytes asked for at once. */
  readonly requestBytes: number;
  /** Requests under way. */
  readonly inFlight: number;
}

/** @throws RangeError for what would read nothing, or never end */
export function checkWindow(window: Window): void {
  for (const [name, value] of Object.entries(window) as [string, number][])
    if (!Number.isSafeInteger(value) || value < 1)
      throw new RangeError(`${name} is ${value}, not a whole number from 1 on`);
}
