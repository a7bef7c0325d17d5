import { NbdUsageError } from '../errors.ts';
import { NBD_CMD } from '../protocol/constants.ts';
import { Command } from './command.ts';

/** A command whose reply says only that it was done: WRITE, FLUSH, TRIM, CACHE and WRITE_ZEROES. */
export class PlainCommand extends Command<void> {
  readonly type: number;
  readonly #payload: Uint8Array | null;

  constructor(
    type: typeof NBD_CMD.FLUSH | typeof NBD_CMD.TRIM | typeof NBD_CMD.CACHE | typeof NBD_CMD.WRITE_ZEROES,
    offset: number,
    length: number,
    flags: number,
  );
  /** @param payload - borrowed until the promise is settled; its length is that of the request */
  constructor(type: typeof NBD_CMD.WRITE, offset: number, length: number, flags: number, payload: Uint8Array);
  constructor(
    type: number,
    offset: number,
    length: number,
    flags: number,
    payload: Uint8Array | null = null,
  ) {
    super(offset, length, flags);
    this.type = type;
    this.#payload = payload;
  }

  override get payload(): Uint8Array | null {
    return this.#payload;
  }

  /** Memory that was given away meanwhile has no bytes: the server would take the next request for them. */
  override get obstacle(): NbdUsageError | undefined {
    if (this.#payload === null || this.#payload.byteLength === this.length) return undefined;
    return new NbdUsageError(`the memory of a WRITE at ${this.offset} was detached before it was sent`);
  }

  override get payloadBytes(): number {
    return this.#payload === null ? 0 : this.length;
  }

  protected override result(): void {
    // An error would have been noted; without one the reply is whole.
  }
}
