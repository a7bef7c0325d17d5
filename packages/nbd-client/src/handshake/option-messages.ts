import { NbdProtocolError, NbdUsageError } from '../errors.ts';
import { NBD_IHAVEOPT, NBD_INFO, NBD_OPTION_REPLY_MAGIC } from '../protocol/constants.ts';
import { MAX_OPTION_REPLY_BYTES, MAX_STRING_BYTES, UNLIMITED_PAYLOAD } from '../protocol/limits.ts';

/** Sizes a server wants requests to keep to: section "Block size constraints". All in bytes. */
export interface BlockSize {
  /** Every offset and length is a multiple of this. */
  readonly minimum: number;
  /** Requests of multiples of this are the fastest. */
  readonly preferred: number;
  /** The most that one READ or WRITE may carry. */
  readonly maximum: number;
}

/** One piece of information about an export, from NBD_REP_INFO. */
export type Info =
  | { readonly kind: 'export'; readonly size: number; readonly transmissionFlags: number }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'description'; readonly description: string }
  | { readonly kind: 'block-size'; readonly blockSize: BlockSize }
  | { readonly kind: 'unknown' };

export interface OptionReplyHeader {
  readonly type: number;
  readonly length: number;
}

export const OPTION_REPLY_HEADER_BYTES = 20;
const SECTION = 'Fixed newstyle negotiation';
const MAX_MINIMUM = 65536;
const SECTOR = 512;

/** An option request. */
export function encodeOption(option: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.writeBigUInt64BE(NBD_IHAVEOPT, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

/** The data of NBD_OPT_INFO and NBD_OPT_GO. */
export function encodeInfoRequest(exportName: string, infos: readonly number[]): Buffer {
  const name = lengthPrefixed(exportName);
  const requests = Buffer.alloc(2 + 2 * infos.length);
  requests.writeUInt16BE(infos.length, 0);
  for (const [index, info] of infos.entries()) requests.writeUInt16BE(info, 2 + 2 * index);
  return Buffer.concat([name, requests]);
}

/** The data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT. */
export function encodeMetaContextRequest(exportName: string, queries: readonly string[]): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(queries.length, 0);
  return Buffer.concat([lengthPrefixed(exportName), count, ...queries.map(lengthPrefixed)]);
}

function lengthPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}

/** @throws NbdProtocolError on a wrong magic, another option's number or a payload over the limit. */
export function parseOptionReplyHeader(bytes: Buffer, option: number): OptionReplyHeader {
  if (bytes.readBigUInt64BE(0) !== NBD_OPTION_REPLY_MAGIC)
    throw new NbdProtocolError(`option reply magic 0x${bytes.toString('hex', 0, 8)}`, SECTION);
  const echoed = bytes.readUInt32BE(8);
  if (echoed !== option) throw new NbdProtocolError(`reply to option ${echoed}, sent was ${option}`, SECTION);
  const length = bytes.readUInt32BE(16);
  if (length > MAX_OPTION_REPLY_BYTES) throw new NbdProtocolError(`option reply of ${length} bytes`, SECTION);
  return { type: bytes.readUInt32BE(12), length };
}

/** @throws NbdProtocolError if the length or content of a known type is wrong */
export function parseInfo(payload: Buffer): Info {
  if (payload.length < 2) throw badInfo('information', payload);
  switch (payload.readUInt16BE(0)) {
    case NBD_INFO.EXPORT:
      if (payload.length !== 12) throw badInfo('NBD_INFO_EXPORT', payload);
      return {
        kind: 'export',
        size: readExportSize(payload, 2),
        transmissionFlags: payload.readUInt16BE(10),
      };
    case NBD_INFO.NAME:
      return { kind: 'name', name: parseString(payload.subarray(2)) };
    case NBD_INFO.DESCRIPTION:
      return { kind: 'description', description: parseString(payload.subarray(2)) };
    case NBD_INFO.BLOCK_SIZE:
      if (payload.length !== 14) throw badInfo('NBD_INFO_BLOCK_SIZE', payload);
      return { kind: 'block-size', blockSize: parseBlockSize(payload) };
    default:
      return { kind: 'unknown' };
  }
}

/**
 * The size of an export, in bytes.
 *
 * @throws NbdProtocolError on a size that no export has; NbdUsageError on one that this client cannot address, which
 * is no fault of the server's
 */
export function readExportSize(bytes: Buffer, at: number): number {
  const size = bytes.readBigUInt64BE(at);
  if (size <= Number.MAX_SAFE_INTEGER) return Number(size);
  if (size < 2n ** 63n)
    throw new NbdUsageError(`the export has ${size} bytes, of which this client addresses 2^53 - 1 at most`);
  throw new NbdProtocolError(`an export of ${size} bytes, which is more than 2^63 - 1`, 'NBD_INFO_EXPORT');
}

function parseBlockSize(payload: Buffer): BlockSize {
  const minimum = payload.readUInt32BE(2);
  const preferred = payload.readUInt32BE(6);
  const maximum = payload.readUInt32BE(10);
  const minimumIsValid = isPowerOfTwo(minimum) && minimum <= MAX_MINIMUM;
  const preferredIsValid = isPowerOfTwo(preferred) && preferred >= Math.max(minimum, SECTOR);
  const maximumIsValid = maximum === UNLIMITED_PAYLOAD || (maximum >= preferred && maximum % minimum === 0);
  if (!minimumIsValid || !preferredIsValid || !maximumIsValid)
    throw new NbdProtocolError(
      `block sizes ${minimum}, ${preferred}, ${maximum} (minimum, preferred, maximum)`,
      'Block size constraints',
    );
  return { minimum, preferred, maximum };
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

/** The id and name of one context in NBD_REP_META_CONTEXT. */
export function parseMetaContext(payload: Buffer): { readonly id: number; readonly name: string } {
  if (payload.length <= 4) throw badInfo('NBD_REP_META_CONTEXT', payload);
  return { id: payload.readUInt32BE(0), name: parseString(payload.subarray(4)) };
}

/** A string of the protocol: UTF-8 without NUL, at most 4096 bytes. Section "Values". */
export function parseString(bytes: Buffer): string {
  if (bytes.length > MAX_STRING_BYTES)
    throw new NbdProtocolError(`string of ${bytes.length} bytes`, 'Values');
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // Reported below, together with NUL.
  }
  throw new NbdProtocolError('string that is not UTF-8 or contains NUL', 'Values');
}

function badInfo(what: string, payload: Buffer): NbdProtocolError {
  return new NbdProtocolError(`${what} of ${payload.length} bytes`, SECTION);
}
