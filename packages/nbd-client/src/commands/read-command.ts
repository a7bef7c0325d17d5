import { NbdProtocolError, NbdUsageError } from '../errors.ts';
import { NBD_CMD, NBD_CMD_FLAG } from '../protocol/constants.ts';
import { Command } from './command.ts';
import { Coverage } from './coverage.ts';

/** Whose memory a READ is received into. */
export interface Destination {
  readonly buffer: Uint8Array;
  /**
   * Whether the transport may be told to receive into it. It cannot take that back, so memory of a caller who
   * may abort gets a copy: it is never written after the promise is settled.
   */
  readonly direct: boolean;
}

/** READ: fulfilled only when every byte asked for has arrived exactly once. */
export class ReadCommand extends Command<void> {
  readonly type: number = NBD_CMD.READ;
  readonly #destination: Destination;
  /** What has come: nothing, all in one piece, or pieces. */
  #come: undefined | 'all' | Coverage;

  /** @param length - that of the destination's buffer, all of which is filled */
  constructor(offset: number, length: number, flags: number, destination: Destination) {
    super(offset, length, flags);
    this.#destination = destination;
  }

  override get obstacle(): NbdUsageError | undefined {
    if (this.#destination.buffer.length === this.length) return undefined;
    return new NbdUsageError(`the memory of a READ at ${this.offset} was detached before it was sent`);
  }

  override get payloadBytes(): number {
    return this.length;
  }

  override get direct(): boolean {
    return this.#destination.direct;
  }

  override data(offset: number, length: number): Uint8Array | null {
    const at = this.#place(offset, length);
    if (!this.takes(this.#destination.buffer, this.length)) return null;
    const { buffer } = this.#destination;
    return length === buffer.length ? buffer : buffer.subarray(at, at + length);
  }

  override hole(offset: number, length: number): void {
    const at = this.#place(offset, length);
    const { buffer } = this.#destination;
    if (this.takes(buffer, this.length)) buffer.fill(0, at, at + length);
  }

  #place(offset: number, length: number): number {
    if (this.#come === undefined && offset === this.offset && length === this.length) {
      this.#come = 'all';
      return 0;
    }
    const pieces = this.#pieces();
    pieces.add(offset, length);
    if ((this.flags & NBD_CMD_FLAG.DF) !== 0 && pieces.chunks > 1)
      throw new NbdProtocolError('more than one content chunk in reply to a READ with DF', 'Command flags');
    return offset - this.offset;
  }

  #pieces(): Coverage {
    if (this.#come instanceof Coverage) return this.#come;
    const pieces = new Coverage(this.offset, this.length);
    if (this.#come === 'all') pieces.add(this.offset, this.length);
    return (this.#come = pieces);
  }

  protected override result(): void {
    if (this.#come !== 'all') this.#pieces().prove();
  }
}

/** Not initialised: the reply is proved to cover all of it before it is handed out. @throws NbdUsageError */
export function memoryFor(length: number): Buffer {
  try {
    return Buffer.allocUnsafeSlow(length);
  } catch (cause) {
    // More than any buffer may have, or than there is.
    throw new NbdUsageError(`there is no memory for a read of ${length} bytes: read in pieces`, { cause });
  }
}
