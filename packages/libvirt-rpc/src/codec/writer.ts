import { LibvirtUsageError } from '../errors.ts';
import { MAX_PACKET_LENGTH } from '../protocol/limits.ts';

const INITIAL_BYTES = 512;

/** Writes XDR (RFC 4506): big-endian, everything padded to a multiple of 4 bytes. */
export class Writer {
  #buffer: Buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;

  i32(value: number): void {
    this.#length = this.#reserve(4).writeInt32BE(value, this.#length);
  }

  u32(value: number): void {
    this.#length = this.#reserve(4).writeUInt32BE(value, this.#length);
  }

  i64(value: bigint): void {
    this.#length = this.#reserve(8).writeBigInt64BE(value, this.#length);
  }

  u64(value: bigint): void {
    this.#length = this.#reserve(8).writeBigUInt64BE(value, this.#length);
  }

  f64(value: number): void {
    this.#length = this.#reserve(8).writeDoubleBE(value, this.#length);
  }

  /** The bytes and zeroes up to the next multiple of 4 (section 4.9). */
  bytes(value: Uint8Array): void {
    const padded = (value.length + 3) & ~3;
    const buffer = this.#reserve(padded);
    buffer.set(value, this.#length);
    buffer.fill(0, this.#length + value.length, this.#length + padded);
    this.#length += padded;
  }

  /** What was written; the writer must not be used any more. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(bytes: number): Buffer {
    const needed = this.#length + bytes;
    if (needed > MAX_PACKET_LENGTH)
      throw new LibvirtUsageError(`the call does not fit in a packet of ${MAX_PACKET_LENGTH} bytes`);
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    return this.#buffer;
  }
}
