import { createHash } from 'node:crypto';
import { BLOCK_SIZE, HASH_BYTES } from '../format.ts';
import { packIdBytes } from './pack-name.ts';

/** What an entry of a pack is. */
export const KIND = { block: 0, page: 1 } as const;
/** How the bytes of an entry are packed, before they are encrypted. */
export const PACKING = { none: 0, deflate: 1, zstd: 2 } as const;

/** What encryption adds to a block or page: a nonce and a tag. */
export const SEAL_BYTES = 28;
/** The longest that a block can be as stored. */
export const MAX_STORED_BLOCK_BYTES: number = BLOCK_SIZE + SEAL_BYTES;

/** A numbered piece of a pack. */
export interface PackEntry {
  readonly number: number;
  /** Where its bytes are in the pack. */
  readonly offset: number;
  /** How many they are, as stored. */
  readonly length: number;
  readonly kind: number;
  readonly packing: number;
  /** Of its plain content: see the format of blocks and pages. */
  readonly hash: Uint8Array;
}

/** What lies behind the pieces of a pack: where each of them is. */
export interface PackTable {
  /** What is needed, beside a private key, to get at the key of the pack's blocks. Usually empty. */
  readonly keySlot: Uint8Array;
  /** Entries in order of their numbers, as stored. */
  readonly entries: Buffer;
}

const MAGIC = Buffer.from('LTSBPACK', 'latin1');
const VERSION = 1;
export const ENTRY_BYTES = 48;
export const TRAILER_BYTES = 64;
const HASHED_TRAILER_BYTES = TRAILER_BYTES - HASH_BYTES;
/** More would make a table that is too big to be kept in memory lightly. */
export const MAX_ENTRIES = 16_384;
export const MAX_KEY_SLOT_BYTES = 65_536;
/** Bytes of a pack, its table included. */
export const MAX_PACK_BYTES: number = 256 * 1024 * 1024;

/** Writes an entry at a place of a table. */
export function encodeEntry(
  entry: Omit<PackEntry, 'number' | 'offset'>,
  { number, offset }: Pick<PackEntry, 'number' | 'offset'>,
  into: Buffer,
  at: number,
): void {
  into.writeUInt32BE(number, at);
  into.writeUInt32BE(offset, at + 4);
  into.writeUInt32BE(entry.length, at + 8);
  into.writeUInt8(entry.kind, at + 12);
  into.writeUInt8(entry.packing, at + 13);
  into.writeUInt16BE(0, at + 14);
  into.set(entry.hash, at + 16);
}

/** The entry at a place of a table. */
export function decodeEntry(entries: Buffer, at: number): PackEntry {
  return {
    number: entries.readUInt32BE(at),
    offset: entries.readUInt32BE(at + 4),
    length: entries.readUInt32BE(at + 8),
    kind: entries.readUInt8(at + 12),
    packing: entries.readUInt8(at + 13),
    hash: entries.subarray(at + 16, at + 16 + HASH_BYTES),
  };
}

/** The end of a pack: key slot, table and trailer. `offset` is where it begins in the pack. */
export function encodeTable(pack: string, offset: number, { keySlot, entries }: PackTable): Buffer {
  const trailer = Buffer.alloc(TRAILER_BYTES);
  MAGIC.copy(trailer);
  trailer.writeUInt16BE(VERSION, 8);
  trailer.writeUInt32BE(keySlot.length, 12);
  trailer.writeUInt32BE(offset, 20);
  trailer.writeUInt32BE(entries.length / ENTRY_BYTES, 24);
  tableHash(pack, { keySlot, entries }, trailer).copy(trailer, HASHED_TRAILER_BYTES);
  return Buffer.concat([keySlot, entries, trailer]);
}

/** Where the table of a pack is, by its last 64 bytes. @returns a sentence where they are no such thing */
export function decodeTrailer(
  trailer: Buffer,
  packBytes: number,
): { readonly offset: number; readonly keySlotBytes: number; readonly tableBytes: number } | string {
  if (!trailer.subarray(0, MAGIC.length).equals(MAGIC)) return 'it does not end like a pack';
  const version = trailer.readUInt16BE(8);
  if (version !== VERSION) return `its version is ${version}, not ${VERSION}`;
  const keySlotBytes = trailer.readUInt32BE(12);
  const offset = trailer.readUInt32BE(20);
  const count = trailer.readUInt32BE(24);
  const tableBytes = count * ENTRY_BYTES;
  if (count > MAX_ENTRIES || keySlotBytes > MAX_KEY_SLOT_BYTES) return 'its table is larger than any can be';
  if (offset + keySlotBytes + tableBytes + TRAILER_BYTES !== packBytes)
    return 'its table does not fit its size';
  return { offset, keySlotBytes, tableBytes };
}

/** Checks the end of a pack, from `trailer.offset` on. @returns a sentence where it is damaged */
export function decodeTable(
  pack: string,
  tail: Buffer,
  { offset, keySlotBytes }: { readonly offset: number; readonly keySlotBytes: number },
): PackTable | string {
  const end = tail.length - TRAILER_BYTES;
  const table = { keySlot: tail.subarray(0, keySlotBytes), entries: tail.subarray(keySlotBytes, end) };
  const trailer = tail.subarray(end);
  if (!tableHash(pack, table, trailer).equals(trailer.subarray(HASHED_TRAILER_BYTES)))
    return 'its table is damaged';
  let last = -1;
  for (let at = 0; at < table.entries.length; at += ENTRY_BYTES) {
    const entry = decodeEntry(table.entries, at);
    if (entry.number <= last || entry.offset + entry.length > offset) return 'its table makes no sense';
    last = entry.number;
  }
  return table;
}

function tableHash(pack: string, { keySlot, entries }: PackTable, trailer: Buffer): Buffer {
  return createHash('sha256')
    .update(packIdBytes(pack))
    .update(keySlot)
    .update(entries)
    .update(trailer.subarray(0, HASHED_TRAILER_BYTES))
    .digest();
}
