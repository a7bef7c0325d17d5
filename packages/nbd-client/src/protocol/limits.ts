/**
 * Every bound this client puts on what a peer may say. A length from the wire is compared with one of
 * these before anything is allocated for it.
 *
 * @module
 */
import type { HeaderStyle } from './header-style.ts';

/** "Strings … MUST NOT exceed 4096 bytes": section "Values". */
export const MAX_STRING_BYTES = 4096;

/** Payload of one option reply. The largest legal one is a name and a description of 4096 bytes each. */
export const MAX_OPTION_REPLY_BYTES: number = 64 * 1024;

/** Replies to one option before its final one: exports of a LIST, contexts, infos. */
export const MAX_OPTION_REPLIES = 16_384;

/** Payload bytes of all replies to one option. */
export const MAX_OPTION_TOTAL_BYTES: number = 16 * 1024 * 1024;

/** Extents in one status chunk: "SHOULD NOT … more than 2^20 extents", section NBD_REPLY_TYPE_BLOCK_STATUS. */
export const MAX_EXTENTS_PER_CHUNK: number = 2 ** 20;

/** An error chunk: errno, message length, message, offset. */
export const MAX_ERROR_CHUNK_BYTES: number = 4 + 2 + MAX_STRING_BYTES + 8;

/** Without a block size constraint a server takes 32 MiB at a time: section "Block size constraints". */
export const DEFAULT_MAXIMUM_PAYLOAD: number = 2 ** 25;

/** A maximum block size that means there is none: section "Block size constraints". */
export const UNLIMITED_PAYLOAD = 0xffffffff;

/** No READ or WRITE larger than this is sent, whatever the server would take. */
export const MAX_PAYLOAD: number = 2 ** 26;

/** Without extended headers a length has 32 bits; asked for in multiples of 64 KiB (QEMU 7.2 rounds). */
const MAX_COMPACT_LENGTH: number = 2 ** 32 - 2 ** 16;

/** The most that a request without payload may cover. */
export function maxLength(style: HeaderStyle): number {
  return style === 'extended' ? Number.MAX_SAFE_INTEGER : MAX_COMPACT_LENGTH;
}
