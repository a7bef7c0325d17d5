import { NBD_FLAG } from './protocol/constants.ts';

/** What the server says that an export is and can do: section "Transmission flags". */
export abstract class ExportFeatures {
  /** NBD_FLAG bits, less those that the headers agreed on cannot carry. */
  abstract readonly transmissionFlags: number;

  /** Nothing can be changed. */
  get isReadOnly(): boolean {
    return this.#has(NBD_FLAG.READ_ONLY);
  }

  /** Seeks are slow: ask in order. */
  get isRotational(): boolean {
    return this.#has(NBD_FLAG.ROTATIONAL);
  }

  /** Several connections see the same data, and a flush on one covers all: what `connectPool` needs. */
  get canMultiConn(): boolean {
    return this.#has(NBD_FLAG.CAN_MULTI_CONN);
  }

  /** A read can ask for its reply in one piece (the option `df`). */
  get canDf(): boolean {
    return this.#has(NBD_FLAG.SEND_DF);
  }

  /** Takes `flush`. */
  get canFlush(): boolean {
    return this.#has(NBD_FLAG.SEND_FLUSH);
  }

  /** Takes the option `fua` of changes. */
  get canFua(): boolean {
    return this.#has(NBD_FLAG.SEND_FUA);
  }

  /** Takes `trim`. */
  get canTrim(): boolean {
    return this.#has(NBD_FLAG.SEND_TRIM);
  }

  /** Takes `writeZeroes`. */
  get canZero(): boolean {
    return this.#has(NBD_FLAG.SEND_WRITE_ZEROES);
  }

  /** Takes the option `fastZero` of `writeZeroes`. */
  get canFastZero(): boolean {
    return this.#has(NBD_FLAG.SEND_FAST_ZERO);
  }

  /** Takes `cache`. */
  get canCache(): boolean {
    return this.#has(NBD_FLAG.SEND_CACHE);
  }

  /** Can answer `blockStatus` for some of the selected contexts only. Needs extended headers. */
  get canFilterStatus(): boolean {
    return this.#has(NBD_FLAG.BLOCK_STATUS_PAYLOAD);
  }

  #has(flag: number): boolean {
    return (this.transmissionFlags & flag) !== 0;
  }
}
