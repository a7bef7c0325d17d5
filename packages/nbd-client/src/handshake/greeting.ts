import { NbdProtocolError, NbdTlsError } from '../errors.ts';
import {
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_IHAVEOPT,
  NBD_MAGIC,
  NBD_OLDSTYLE_MAGIC,
} from '../protocol/constants.ts';
import { readExportSize } from './option-messages.ts';
import type { HandshakeIo } from './ask-option.ts';

/** What the server's first bytes say. Only fixed newstyle has options with answers. */
export type Greeting =
  | { readonly kind: 'oldstyle'; readonly size: number; readonly transmissionFlags: number }
  | { readonly kind: 'newstyle' | 'fixed-newstyle'; readonly noZeroes: boolean };

const SECTION = 'Newstyle negotiation';
/** Size, flags and padding behind the magics of an oldstyle greeting. */
const OLDSTYLE_REST_BYTES = 136;

/** Reads the greeting and answers it. @throws NbdTlsError if TLS is wanted and cannot be had of such a server */
export async function greet({ transport, reader }: HandshakeIo, tls: boolean): Promise<Greeting> {
  const greeting = await reader.read(16);
  if (greeting.readBigUInt64BE(0) !== NBD_MAGIC)
    throw new NbdProtocolError(`greeting 0x${greeting.toString('hex', 0, 8)}`, SECTION);
  if (greeting.readBigUInt64BE(8) === NBD_OLDSTYLE_MAGIC) {
    if (tls) throw new NbdTlsError('the server speaks the oldstyle negotiation, which has no TLS');
    const rest = await reader.read(OLDSTYLE_REST_BYTES);
    if (rest.readUInt16BE(8) !== 0)
      throw new NbdProtocolError(`oldstyle flags 0x${rest.toString('hex', 8, 12)}`, 'Oldstyle negotiation');
    return { kind: 'oldstyle', size: readExportSize(rest, 0), transmissionFlags: rest.readUInt16BE(10) };
  }
  if (greeting.readBigUInt64BE(8) !== NBD_IHAVEOPT)
    throw new NbdProtocolError(`greeting NBDMAGIC 0x${greeting.toString('hex', 8)}`, SECTION);
  const flags = (await reader.read(2)).readUInt16BE(0);
  const fixed = (flags & NBD_FLAG_FIXED_NEWSTYLE) !== 0;
  const noZeroes = (flags & NBD_FLAG_NO_ZEROES) !== 0;
  if (tls && !fixed)
    throw new NbdTlsError('the server speaks no fixed newstyle negotiation, which TLS needs');
  const answer = Buffer.alloc(4);
  answer.writeUInt32BE((fixed ? NBD_FLAG_C_FIXED_NEWSTYLE : 0) | (noZeroes ? NBD_FLAG_C_NO_ZEROES : 0), 0);
  transport.write([answer]);
  return { kind: fixed ? 'fixed-newstyle' : 'newstyle', noZeroes };
}
