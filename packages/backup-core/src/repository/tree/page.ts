import { createHash, createHmac } from 'node:crypto';
import { BLOCK_SIZE, blocksOf, HASH_BYTES } from '../format.ts';
import { PACK_ID_BYTES, packIdBytes, packIdText } from '../packs/pack-name.ts';

/** Children of a page. */
export const FANOUT = 1024;
const PRESENCE_BYTES: number = FANOUT / 8;
const SLOT_BYTES: number = HASH_BYTES + PACK_ID_BYTES + 4;
const CHECKSUM_BYTES = HASH_BYTES;
/** The largest page, as stored. */
export const MAX_PAGE_BYTES: number = PRESENCE_BYTES + FANOUT * SLOT_BYTES + CHECKSUM_BYTES;
const HASH_PREFIX = 'libvirt-ts-backup page\0';

/** What a block or page is, and where. */
export interface Reference {
  /** 32 bytes: SHA-256, or HMAC-SHA-256 where the repository is encrypted. */
  readonly hash: Uint8Array;
  /** ULID of the pack. */
  readonly pack: string;
  /** In that pack. */
  readonly number: number;
}

/** Levels of pages over the blocks of a disk; level 0 refers to blocks. */
export function levelsOf(size: number): number {
  let levels = 1;
  while (FANOUT ** levels < blocksOf(size)) levels++;
  return levels;
}

/** The largest disk that is taken: what a number can count exactly. */
export const MAX_DISK_BYTES: number = Number.MAX_SAFE_INTEGER - BLOCK_SIZE;

/** A page in memory: up to 1,024 references. */
export class Page {
  readonly level: number;
  readonly #slots: Buffer;
  readonly #present: Buffer;

  private constructor(level: number, slots: Buffer, present: Buffer) {
    this.level = level;
    this.#slots = slots;
    this.#present = present;
  }

  static empty(level: number): Page {
    return new Page(level, Buffer.alloc(FANOUT * SLOT_BYTES), Buffer.alloc(PRESENCE_BYTES));
  }

  copy(): Page {
    return new Page(this.level, Buffer.from(this.#slots), Buffer.from(this.#present));
  }

  get isEmpty(): boolean {
    return this.#present.every((byte) => byte === 0);
  }

  has(slot: number): boolean {
    return ((this.#present[slot >> 3] as number) & (0x80 >> (slot & 7))) !== 0;
  }

  /** The hash of a child that is there, in place. */
  hashAt(slot: number): Buffer {
    return this.#slots.subarray(slot * SLOT_BYTES, slot * SLOT_BYTES + HASH_BYTES);
  }

  /** undefined: the child is zero. */
  get(slot: number): Reference | undefined {
    if (!this.has(slot)) return undefined;
    const at = slot * SLOT_BYTES + HASH_BYTES;
    return {
      hash: this.hashAt(slot),
      pack: textOf(this.#slots.subarray(at, at + PACK_ID_BYTES)),
      number: this.#slots.readUInt32BE(at + PACK_ID_BYTES),
    };
  }

  set(slot: number, { hash, pack, number }: Reference): void {
    const at = slot * SLOT_BYTES;
    this.#slots.set(hash, at);
    bytesOf(pack).copy(this.#slots, at + HASH_BYTES);
    this.#slots.writeUInt32BE(number, at + HASH_BYTES + PACK_ID_BYTES);
    this.#present[slot >> 3] = (this.#present[slot >> 3] as number) | (0x80 >> (slot & 7));
  }

  clear(slot: number): void {
    this.#present[slot >> 3] = (this.#present[slot >> 3] as number) & ~(0x80 >> (slot & 7));
  }

  /**
   * What names the page: over the level, which children there are and their hashes. Not over where they are, so
   * equal content has one hash in every repository with this key.
   */
  hash(key?: Uint8Array): Buffer {
    const hash = key === undefined ? createHash('sha256') : createHmac('sha256', key);
    hash.update(HASH_PREFIX).update(Uint8Array.of(this.level)).update(this.#present);
    const hashes = Buffer.allocUnsafe(FANOUT * HASH_BYTES);
    let at = 0;
    for (let slot = 0; slot < FANOUT; slot++) {
      if (!this.has(slot)) continue;
      this.hashAt(slot).copy(hashes, at);
      at += HASH_BYTES;
    }
    return hash.update(hashes.subarray(0, at)).digest();
  }

  /** As it is stored. The checksum at its end covers where the children are, which the hash does not. */
  encode(): Buffer {
    const bytes = Buffer.allocUnsafe(MAX_PAGE_BYTES);
    let at = this.#present.copy(bytes);
    for (let slot = 0; slot < FANOUT; slot++)
      if (this.has(slot)) at += this.#slots.copy(bytes, at, slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES);
    at += createHash('sha256').update(bytes.subarray(0, at)).digest().copy(bytes, at);
    return bytes.subarray(0, at);
  }

  /** @returns a sentence where the bytes are no page */
  static decode(level: number, bytes: Buffer): Page | string {
    const end = bytes.length - CHECKSUM_BYTES;
    if (end < PRESENCE_BYTES || (end - PRESENCE_BYTES) % SLOT_BYTES !== 0 || bytes.length > MAX_PAGE_BYTES)
      return `a page has not ${bytes.length} bytes`;
    if (!createHash('sha256').update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end)))
      return 'its checksum is wrong';
    const page = Page.empty(level);
    bytes.copy(page.#present, 0, 0, PRESENCE_BYTES);
    let at = PRESENCE_BYTES;
    for (let slot = 0; slot < FANOUT; slot++) {
      if (!page.has(slot)) continue;
      if (at === end) return 'it has fewer children than it says';
      at += bytes.copy(page.#slots, slot * SLOT_BYTES, at, at + SLOT_BYTES);
    }
    return at === end ? page : 'it has more children than it says';
  }
}

// Neighbours are mostly in one pack: the last one is remembered.
let lastText = '00000000000000000000000000';
let lastBytes: Buffer = Buffer.alloc(PACK_ID_BYTES);

function bytesOf(pack: string): Buffer {
  if (pack !== lastText) {
    lastBytes = packIdBytes(pack);
    lastText = pack;
  }
  return lastBytes;
}

function textOf(bytes: Buffer): string {
  if (!bytes.equals(lastBytes)) {
    lastText = packIdText(bytes);
    lastBytes = Buffer.from(bytes);
  }
  return lastText;
}
