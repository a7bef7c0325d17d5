import type { Command } from '../commands/command.ts';
import {
  NBD_CMD,
  NBD_CMD_FLAG,
  NBD_EXTENDED_REQUEST_MAGIC,
  NBD_REQUEST_MAGIC,
} from '../protocol/constants.ts';
import { writeUint64 } from '../protocol/uint64.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';

const COMPACT_REQUEST_BYTES = 28;
const EXTENDED_REQUEST_BYTES = 32;

/** The header of one request; its payload, if any, follows it. Sections "Compact request message" and "Extended request message". */
export function encodeRequest(
  style: HeaderStyle,
  command: Pick<Command, 'type' | 'flags' | 'offset' | 'length'> & { readonly payload?: Uint8Array | null },
  cookieHigh: number,
  cookieLow: number,
): Buffer {
  const extended = style === 'extended';
  const bytes = Buffer.allocUnsafe(extended ? EXTENDED_REQUEST_BYTES : COMPACT_REQUEST_BYTES);
  const filter = command.type === NBD_CMD.BLOCK_STATUS ? (command.payload ?? null) : null;
  const carriesPayload = extended && (command.type === NBD_CMD.WRITE || filter !== null);
  bytes.writeUInt32BE(extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(command.flags | (carriesPayload ? NBD_CMD_FLAG.PAYLOAD_LEN : 0), 4);
  bytes.writeUInt16BE(command.type, 6);
  bytes.writeUInt32BE(cookieHigh, 8);
  bytes.writeUInt32BE(cookieLow, 12);
  writeUint64(bytes, command.offset, 16);
  // Where a payload is announced, it is its length that stands here.
  if (extended) writeUint64(bytes, filter?.length ?? command.length, 24);
  else bytes.writeUInt32BE(command.length, 24);
  return bytes;
}
