import { LibvirtProtocolError } from '../errors.ts';

/** Reads XDR (RFC 4506) from a payload; never beyond its end. */
export class Reader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(payload: Buffer) {
    this.#buffer = payload;
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset;
  }

  i32(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  i64(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8));
  }

  u64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8));
  }

  f64(): number {
    return this.#buffer.readDoubleBE(this.#take(8));
  }

  /** A view of the next `length` bytes; the padding behind them is skipped. */
  bytes(length: number): Buffer {
    const start = this.#take((length + 3) & ~3);
    return this.#buffer.subarray(start, start + length);
  }

  #take(bytes: number): number {
    const start = this.#offset;
    if (bytes > this.remaining)
      throw new LibvirtProtocolError(
        `a payload of ${this.#buffer.length} bytes ends within a field of ${bytes} bytes at ${start}`,
      );
    this.#offset += bytes;
    return start;
  }
}
