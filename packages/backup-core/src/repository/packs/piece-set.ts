import { DamagedError } from '../../words/errors.ts';
import { MAX_ENTRIES } from './pack-format.ts';

/** A piece by what refers to it. */
export interface PieceName {
  /** ULID of the pack. */
  readonly pack: string;
  readonly number: number;
}

/** A set of pieces that takes a bit for each: what is to be remembered of all that is stored. */
export class PieceSet {
  readonly #packs = new Map<string, Uint8Array>();

  /** The packs that it has pieces of. */
  get packs(): Iterable<string> {
    return this.#packs.keys();
  }

  /** Whether it has any piece of a pack. */
  hasPack(pack: string): boolean {
    return this.#packs.has(pack);
  }

  /** How many pieces of a pack it has. */
  count(pack: string): number {
    let count = 0;
    for (let bits of this.#packs.get(pack) ?? []) for (; bits !== 0; bits &= bits - 1) count++;
    return count;
  }

  has({ pack, number }: PieceName): boolean {
    const bits = this.#packs.get(pack);
    return bits !== undefined && ((bits[number >> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  /**
   * @returns whether it was not in it
   * @throws DamagedError for a number that no pack can have
   */
  add({ pack, number }: PieceName): boolean {
    if (number >= MAX_ENTRIES) throw new DamagedError('format', `no pack has a number ${number}`);
    const byte = number >> 3;
    const bit = 1 << (number & 7);
    let bits = this.#packs.get(pack);
    if (bits === undefined || byte >= bits.length) {
      const more = new Uint8Array(Math.min(MAX_ENTRIES / 8, Math.max(byte + 1, (bits?.length ?? 0) * 2)));
      if (bits !== undefined) more.set(bits);
      this.#packs.set(pack, more);
      bits = more;
    }
    const before = bits[byte] as number;
    bits[byte] = before | bit;
    return (before & bit) === 0;
  }
}
