/**
 * Names and values of the NBD protocol, spelled as in doc/proto.md of NetworkBlockDevice/nbd.
 *
 * @module
 */

export const NBD_MAGIC = 0x4e42444d41474943n;
export const NBD_IHAVEOPT = 0x49484156454f5054n;
export const NBD_OLDSTYLE_MAGIC = 0x0000420281861253n;
export const NBD_OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
export const NBD_REQUEST_MAGIC = 0x25609513;
export const NBD_EXTENDED_REQUEST_MAGIC = 0x21e41c71;
export const NBD_SIMPLE_REPLY_MAGIC = 0x67446698;
export const NBD_STRUCTURED_REPLY_MAGIC = 0x668e33ef;
export const NBD_EXTENDED_REPLY_MAGIC = 0x6e8a278c;

/** Handshake flags (server) and client flags: section "Newstyle negotiation". */
export const NBD_FLAG_FIXED_NEWSTYLE = 0x1;
export const NBD_FLAG_NO_ZEROES = 0x2;
export const NBD_FLAG_C_FIXED_NEWSTYLE = 0x1;
export const NBD_FLAG_C_NO_ZEROES = 0x2;

/** Option types: section "Option types". */
export const NBD_OPT = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const;

const NBD_REP_FLAG_ERROR = 0x80000000;

/** Option reply types: section "Option reply types". */
export const NBD_REP = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_PLATFORM: 0x80000004,
  ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006,
  ERR_SHUTDOWN: 0x80000007,
  ERR_BLOCK_SIZE_REQD: 0x80000008,
  ERR_TOO_BIG: 0x80000009,
  ERR_EXT_HEADER_REQD: 0x8000000a,
} as const;

/** True for an option reply type with the error bit (bit 31). */
export function isErrorReply(type: number): boolean {
  return type >= NBD_REP_FLAG_ERROR;
}

/** Information types of NBD_REP_INFO. */
export const NBD_INFO = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** Transmission flags: section "Transmission flags". */
export const NBD_FLAG = {
  HAS_FLAGS: 0x1,
  READ_ONLY: 0x2,
  SEND_FLUSH: 0x4,
  SEND_FUA: 0x8,
  ROTATIONAL: 0x10,
  SEND_TRIM: 0x20,
  SEND_WRITE_ZEROES: 0x40,
  SEND_DF: 0x80,
  CAN_MULTI_CONN: 0x100,
  SEND_RESIZE: 0x200,
  SEND_CACHE: 0x400,
  SEND_FAST_ZERO: 0x800,
  BLOCK_STATUS_PAYLOAD: 0x1000,
} as const;

/** Request types: section "Request types". */
export const NBD_CMD = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

/** Command flags: section "Command flags". */
export const NBD_CMD_FLAG = {
  FUA: 0x1,
  NO_HOLE: 0x2,
  DF: 0x4,
  REQ_ONE: 0x8,
  FAST_ZERO: 0x10,
  PAYLOAD_LEN: 0x20,
} as const;

/** Structured reply flag: the last chunk of its cookie. */
export const NBD_REPLY_FLAG_DONE = 0x1;

/** Structured reply types: section "Structured reply types". */
export const NBD_REPLY_TYPE = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  BLOCK_STATUS_EXT: 6,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** Error values: section "Error values". Any other value is to be treated as EINVAL. */
export const NBD_ERROR = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** Extent flag of `base:allocation`: the range is not allocated. What it reads as is told by ZERO alone. */
export const NBD_STATE_HOLE = 0x1;
/** Extent flag of `base:allocation`: the range reads as zeroes. */
export const NBD_STATE_ZERO = 0x2;

/** Extent flag of QEMU's `qemu:dirty-bitmap:NAME` contexts. */
export const NBD_STATE_DIRTY = 0x1;

/** The metadata context that tells what is allocated and what reads as zeroes. */
export const NBD_META_BASE_ALLOCATION = 'base:allocation';
/** QEMU's dirty bitmaps: the name of the bitmap goes behind it. */
export const NBD_META_QEMU_DIRTY_BITMAP = 'qemu:dirty-bitmap:';
/** QEMU's context that tells in which layer of the backing chain a range lies. */
export const NBD_META_QEMU_ALLOCATION_DEPTH = 'qemu:allocation-depth';

/** TCP, where an endpoint names no port. */
export const NBD_DEFAULT_PORT = 10809;

/** The name of a value in one of the tables above, `unknown (N)` otherwise: for messages. */
export function nameOf(table: Readonly<Record<string, number>>, prefix: string, value: number): string {
  for (const [name, known] of Object.entries(table)) if (known === value) return prefix + name;
  return `${prefix}unknown (${value})`;
}
