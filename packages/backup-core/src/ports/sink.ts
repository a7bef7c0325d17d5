/**
 * Where a copy goes. Writes come in any order, several at once, never overlapping. The sink never calls back.
 */
export interface Sink {
  /** The bytes are borrowed until the promise is settled. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** The range reads as zeroes afterwards. */
  zero(offset: number, length: number): Promise<void>;
  /** Everything was written: makes it durable and visible. */
  finish(): Promise<void>;
  /** Something failed: removes what was written. */
  discard(): Promise<void>;
}
