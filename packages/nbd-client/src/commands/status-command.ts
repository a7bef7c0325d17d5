import { NBD_CMD, NBD_CMD_FLAG } from '../protocol/constants.ts';
import { writeUint64 } from '../protocol/uint64.ts';
import { Command, type Extent, type RawExtents } from './command.ts';

/** The answer to one BLOCK_STATUS: for each selected context its extents, in order from the request's offset. */
export type BlockStatus = ReadonlyMap<string, readonly Extent[]>;

/**
 * BLOCK_STATUS: fulfilled only when every selected context was answered exactly once.
 *
 * A reply without extents would read as "nothing changed" and cost an incremental backup its data.
 */
export class StatusCommand extends Command<BlockStatus> {
  readonly type: number = NBD_CMD.BLOCK_STATUS;
  readonly #contexts: ReadonlyMap<number, string>;
  readonly #payload: Uint8Array | null;
  readonly #answers = new Map<string, readonly Extent[]>();

  /**
   * @param contexts - those that have to be answered, by the id the server gave them
   * @param filter - whether that are not all of the selected ones: the request then names them, which needs
   * extended headers and NBD_FLAG_BLOCK_STATUS_PAYLOAD
   */
  constructor(
    offset: number,
    length: number,
    flags: number,
    contexts: ReadonlyMap<number, string>,
    filter = false,
  ) {
    super(offset, length, flags);
    this.#contexts = contexts;
    this.#payload = filter ? filterPayload(length, [...contexts.keys()]) : null;
  }

  override get payload(): Uint8Array | null {
    return this.#payload;
  }

  override status(contextId: number, raw: RawExtents): void {
    const context = this.#contexts.get(contextId);
    if (context === undefined) throw this.unexpected(`extents of the unknown context ${contextId}`);
    if (this.#answers.has(context)) throw this.unexpected(`two status chunks for ${context}`);
    this.#answers.set(context, this.#checked(context, raw));
  }

  #checked(context: string, raw: RawExtents): readonly Extent[] {
    if (raw.count === 0) throw this.unexpected(`no extents for ${context}`);
    const one = (this.flags & NBD_CMD_FLAG.REQ_ONE) !== 0;
    if (one && raw.count > 1) throw this.unexpected(`${raw.count} extents with REQ_ONE for ${context}`);
    const end = this.offset + this.length;
    let offset = this.offset;
    const extents: Extent[] = [];
    for (let index = 0; index < raw.count; index++) {
      const length = raw.lengthOf(index);
      if (length === 0) throw this.unexpected(`an extent of 0 bytes for ${context}`);
      // Only the last extent may reach beyond the request.
      if (offset >= end) throw this.unexpected(`an extent beyond the request for ${context}`);
      const flags = this.#flagsOf(context, raw.flagsOf(index), raw.highFlagsOf(index));
      extents.push({ offset, length: Math.min(length, end - offset), flags });
      offset += length;
    }
    return extents;
  }

  /** Upper bits of a base: context are reserved; of another context they are part of the value. */
  #flagsOf(context: string, lowFlags: number, highFlags: number): number {
    if (highFlags === 0 || context.startsWith('base:')) return lowFlags;
    const flags = highFlags * 2 ** 32 + lowFlags;
    if (!Number.isSafeInteger(flags)) throw this.unexpected(`flags over 2^53 - 1 for ${context}`);
    return flags;
  }

  protected override result(): BlockStatus {
    for (const context of this.#contexts.values())
      if (!this.#answers.has(context)) throw this.unexpected(`no extents for ${context}`);
    return this.#answers;
  }
}

/** The length that the status is asked for, and the ids of the contexts: section NBD_CMD_BLOCK_STATUS. */
function filterPayload(length: number, ids: readonly number[]): Buffer {
  const bytes = Buffer.alloc(8 + 4 * ids.length);
  writeUint64(bytes, length, 0);
  for (const [index, id] of ids.entries()) bytes.writeUInt32BE(id, 8 + 4 * index);
  return bytes;
}
