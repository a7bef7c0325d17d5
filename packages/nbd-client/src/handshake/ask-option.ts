import { NbdNegotiationError, NbdProtocolError } from '../errors.ts';
import type { HandshakeReader } from './handshake-reader.ts';
import { encodeOption, OPTION_REPLY_HEADER_BYTES, parseOptionReplyHeader } from './option-messages.ts';
import { isErrorReply, NBD_OPT, NBD_REP } from '../protocol/constants.ts';
import { MAX_OPTION_REPLIES, MAX_OPTION_TOTAL_BYTES, MAX_STRING_BYTES } from '../protocol/limits.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';
import type { Transport } from '../transport/transport.ts';

/** The two ends a handshake talks through. */
export interface HandshakeIo {
  readonly transport: Transport;
  readonly reader: HandshakeReader;
}

/** The last reply to an option: NBD_REP_ACK or an error. */
export interface FinalReply {
  readonly type: number;
  readonly payload: Buffer;
}

/** How long a server may take to hang up after a goodbye. */
const LEAVE_TIMEOUT_MS = 1000;

/** The only type of reply that may come before the final one. */
const REPLIES_BEFORE: ReadonlyMap<number, number> = new Map<number, number>([
  [NBD_OPT.LIST, NBD_REP.SERVER],
  [NBD_OPT.INFO, NBD_REP.INFO],
  [NBD_OPT.GO, NBD_REP.INFO],
  [NBD_OPT.LIST_META_CONTEXT, NBD_REP.META_CONTEXT],
  [NBD_OPT.SET_META_CONTEXT, NBD_REP.META_CONTEXT],
]);

/**
 * One option and all its replies: the payloads of those that the option has, and the final one. The next
 * option goes out only after that.
 *
 * @throws NbdNegotiationError if the server is about to shut down; NbdProtocolError
 */
export async function askOption(
  { transport, reader }: HandshakeIo,
  option: number,
  data?: Buffer,
): Promise<{ readonly payloads: readonly Buffer[]; readonly final: FinalReply }> {
  transport.write([encodeOption(option, data)]);
  const payloads: Buffer[] = [];
  let total = 0;
  for (;;) {
    const { type, length } = parseOptionReplyHeader(await reader.read(OPTION_REPLY_HEADER_BYTES), option);
    const payload = length === 0 ? Buffer.alloc(0) : await reader.read(length);
    if (type === NBD_REP.ACK && length !== 0)
      throw new NbdProtocolError(`NBD_REP_ACK with a payload of ${length} bytes`, 'Option reply types');
    const final = { type, payload };
    if (type === NBD_REP.ERR_SHUTDOWN) throw refusal(option, final, 'negotiating');
    if (type === NBD_REP.ACK || isErrorReply(type)) return { payloads, final };
    if (type !== REPLIES_BEFORE.get(option))
      throw new NbdProtocolError(`reply of type ${type} to option ${option}`, 'Option reply types');
    total += length;
    if (payloads.push(payload) > MAX_OPTION_REPLIES || total > MAX_OPTION_TOTAL_BYTES)
      throw new NbdProtocolError(`${payloads.length} replies to one option`, 'Fixed newstyle negotiation');
  }
}

/**
 * Asks for something that is good to have.
 *
 * @throws NbdNegotiationError if the refusal means that nothing else would be granted either
 */
async function isGranted(io: HandshakeIo, option: number): Promise<boolean> {
  const { final } = await askOption(io, option);
  if (final.type === NBD_REP.ERR_TLS_REQD || final.type === NBD_REP.ERR_EXT_HEADER_REQD)
    throw refusal(option, final, 'negotiating');
  return final.type === NBD_REP.ACK;
}

/** The error for an option that was refused. */
export function refusal(option: number, reply: FinalReply, what: string): NbdNegotiationError {
  const serverMessage = reply.payload.toString('utf8', 0, MAX_STRING_BYTES);
  return new NbdNegotiationError({ option, reply: reply.type, what, serverMessage });
}

/** Soft disconnect (NBD_OPT_ABORT): the server may answer or just hang up; one that does neither is left. */
export function leave({ transport, reader }: HandshakeIo): Promise<void> {
  if (reader.hasEnded) return Promise.resolve();
  return new Promise((resolve) => {
    const deadline = setTimeout(() => {
      transport.destroy();
      resolve();
    }, LEAVE_TIMEOUT_MS);
    transport.receiver = {
      target: () => Infinity,
      filled: () => undefined,
      receive: () => undefined,
      flushed: () => undefined,
      ended: () => {
        clearTimeout(deadline);
        resolve();
      },
    };
    transport.write([encodeOption(NBD_OPT.ABORT)]);
    transport.end();
  });
}

/** Extended headers imply structured replies; simple replies are the floor. */
export async function agreeOnHeaders(io: HandshakeIo, extendedHeaders: boolean): Promise<HeaderStyle> {
  if (extendedHeaders && (await isGranted(io, NBD_OPT.EXTENDED_HEADERS))) return 'extended';
  return (await isGranted(io, NBD_OPT.STRUCTURED_REPLY)) ? 'structured' : 'simple';
}
