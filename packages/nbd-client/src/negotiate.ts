import { NbdConnectError, NbdNegotiationError, NbdProtocolError, NbdTlsError, sanitize } from './errors.ts';
import type { HandshakeReader } from './handshake-reader.ts';
import {
  type BlockSize,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  OPTION_REPLY_HEADER_BYTES,
  parseInfo,
  parseMetaContext,
  parseOptionReplyHeader,
} from './option.ts';
import {
  isErrorReply,
  NBD_FLAG,
  NBD_FLAG_C_FIXED_NEWSTYLE,
  NBD_FLAG_C_NO_ZEROES,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_IHAVEOPT,
  NBD_INFO,
  NBD_MAGIC,
  NBD_OLDSTYLE_MAGIC,
  NBD_OPT,
  NBD_REP,
} from './protocol/constants.ts';
import {
  DEFAULT_MAXIMUM_PAYLOAD,
  MAX_OPTION_REPLIES,
  MAX_OPTION_TOTAL_BYTES,
  MAX_PAYLOAD,
  MAX_STRING_BYTES,
  UNLIMITED_PAYLOAD,
} from './protocol/limits.ts';
import { readUint64 } from './protocol/uint64.ts';
import type { HeaderStyle } from './reply-parser.ts';
import type { Transport } from './transport.ts';

/** What the transmission phase needs to know. */
export interface Negotiated {
  readonly exportName: string;
  /** Bytes. */
  readonly exportSize: number;
  readonly transmissionFlags: number;
  readonly blockSize: BlockSize;
  readonly style: HeaderStyle;
  /** The selected metadata contexts by the id that the server uses for them. */
  readonly contexts: ReadonlyMap<number, string>;
}

export interface NegotiationRequest {
  readonly exportName: string;
  readonly metaContexts: readonly string[];
  /** Whether to ask for extended headers. */
  readonly extendedHeaders: boolean;
  /** Whether to encrypt before anything else. */
  readonly tls: boolean;
}

/** The two ends a handshake talks through. */
export interface HandshakeIo {
  readonly transport: Transport;
  readonly reader: HandshakeReader;
}

interface OptionReply {
  readonly type: number;
  readonly payload: Buffer;
}

const SECTION = 'Newstyle negotiation';
/** Size, flags and padding behind the magics of an oldstyle greeting. */
const OLDSTYLE_REST_BYTES = 136;
const EXPORT_NAME_REPLY_BYTES = 10;
/** Padding of the reply to NBD_OPT_EXPORT_NAME, unless both sides agreed to leave it out. */
const ZEROES_BYTES = 124;
const DEFAULT_BLOCK_SIZE: BlockSize = { minimum: 1, preferred: 4096, maximum: DEFAULT_MAXIMUM_PAYLOAD };

/**
 * The handshake, from the greeting to the acknowledged NBD_OPT_GO.
 *
 * @throws NbdNegotiationError if the server refuses an option that is needed; NbdProtocolError if it breaks
 * the specification
 */
export async function negotiate(io: HandshakeIo, request: NegotiationRequest): Promise<Negotiated> {
  const greeting = await greet(io, request.tls);
  if (request.tls) await startTls(io);
  if (greeting.kind === 'oldstyle') return oldstyle(greeting, request);
  if (greeting.kind === 'newstyle') return exportName(io, request, greeting);
  const style = await negotiateStyle(io, request);
  const contexts =
    style === 'simple' || request.metaContexts.length === 0
      ? new Map<number, string>()
      : await setMetaContexts(io, request);
  return go(io, request, style, contexts, greeting);
}

/** What the server's first bytes say. Only fixed newstyle has options with answers. */
type Greeting =
  | { readonly kind: 'oldstyle'; readonly size: number; readonly transmissionFlags: number }
  | { readonly kind: 'newstyle' | 'fixed-newstyle'; readonly noZeroes: boolean };

/** Reads the greeting and answers it. */
export async function greet({ transport, reader }: HandshakeIo, tls: boolean): Promise<Greeting> {
  const greeting = await reader.read(16);
  if (greeting.readBigUInt64BE(0) !== NBD_MAGIC)
    throw new NbdProtocolError(`greeting 0x${greeting.toString('hex', 0, 8)}`, SECTION);
  if (greeting.readBigUInt64BE(8) === NBD_OLDSTYLE_MAGIC) {
    if (tls) throw new NbdTlsError('the server speaks the oldstyle negotiation, which has no TLS');
    const rest = await reader.read(OLDSTYLE_REST_BYTES);
    // The upper half of its flags must be 0, and what follows is padding.
    return { kind: 'oldstyle', size: readUint64(rest, 0), transmissionFlags: rest.readUInt16BE(10) };
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
  transport.write(answer);
  return { kind: fixed ? 'fixed-newstyle' : 'newstyle', noZeroes };
}

/** Encrypts the connection, or fails: nothing but this option goes out in plain text. */
export async function startTls(io: HandshakeIo): Promise<void> {
  const { final } = await exchange(io, NBD_OPT.STARTTLS);
  if (final.type !== NBD_REP.ACK) {
    const cause = refusal(NBD_OPT.STARTTLS, final, 'starting TLS');
    throw new NbdTlsError(`the server refuses TLS: ${cause.message}`, { cause });
  }
  // The server is silent until the client has spoken TLS: whatever is here came from somebody in between.
  if (io.reader.takeRest().length > 0) throw new NbdTlsError('bytes in plain text behind the start of TLS');
  await io.transport.startTls();
}

/** Oldstyle has one export and no name for it. */
function oldstyle(greeting: Greeting & { kind: 'oldstyle' }, request: NegotiationRequest): Negotiated {
  if (request.exportName !== '')
    throw new NbdProtocolError('an oldstyle server has no export names', 'Oldstyle negotiation');
  return plainExport(request, greeting.size, greeting.transmissionFlags);
}

/** The way to an export that every newstyle server knows. It has no error: the server just hangs up. */
async function exportName(
  { transport, reader }: HandshakeIo,
  request: NegotiationRequest,
  { noZeroes }: Greeting & { kind: 'newstyle' | 'fixed-newstyle' },
): Promise<Negotiated> {
  transport.write(encodeOption(NBD_OPT.EXPORT_NAME, Buffer.from(request.exportName)));
  const bytes = await reader.read(EXPORT_NAME_REPLY_BYTES).catch((error: unknown) => {
    // An abort and a timeout are no answer of the server's.
    if (!(error instanceof NbdConnectError)) throw error;
    throw new NbdNegotiationError(NBD_OPT.EXPORT_NAME, null, '', `opening ${exportLabel(request)}`);
  });
  if (!noZeroes) await reader.read(ZEROES_BYTES);
  return plainExport(request, readUint64(bytes, 0), bytes.readUInt16BE(8));
}

/** An export whose server told neither block sizes nor contexts. */
function plainExport(
  { exportName }: NegotiationRequest,
  size: number,
  transmissionFlags: number,
): Negotiated {
  return {
    exportName,
    exportSize: checkedSize(size),
    transmissionFlags: checkedFlags(transmissionFlags, 'simple'),
    blockSize: DEFAULT_BLOCK_SIZE,
    style: 'simple',
    contexts: new Map(),
  };
}

/** Extended headers imply structured replies; simple replies are the floor. */
async function negotiateStyle(io: HandshakeIo, request: NegotiationRequest): Promise<HeaderStyle> {
  if (request.extendedHeaders) {
    const { final } = await exchange(io, NBD_OPT.EXTENDED_HEADERS);
    if (final.type === NBD_REP.ACK) return 'extended';
  }
  const { final } = await exchange(io, NBD_OPT.STRUCTURED_REPLY);
  return final.type === NBD_REP.ACK ? 'structured' : 'simple';
}

async function setMetaContexts(io: HandshakeIo, request: NegotiationRequest): Promise<Map<number, string>> {
  const data = encodeMetaContextRequest(request.exportName, request.metaContexts);
  const { replies, final } = await exchange(io, NBD_OPT.SET_META_CONTEXT, data);
  if (final.type !== NBD_REP.ACK)
    throw refusal(NBD_OPT.SET_META_CONTEXT, final, `selecting metadata contexts of ${exportLabel(request)}`);
  const contexts = new Map<number, string>();
  const names = new Set<string>();
  for (const reply of replies) {
    if (reply.type !== NBD_REP.META_CONTEXT) throw unexpected(NBD_OPT.SET_META_CONTEXT, reply.type);
    const { id, name } = parseMetaContext(reply.payload);
    if (contexts.has(id) || names.has(name))
      throw new NbdProtocolError(
        `metadata context ${sanitize(name)} (id ${id}) selected twice`,
        'Metadata querying',
      );
    names.add(name);
    // One that was never asked for is dropped: a status chunk with its id is then an error.
    if (request.metaContexts.includes(name)) contexts.set(id, name);
  }
  return contexts;
}

async function go(
  io: HandshakeIo,
  request: NegotiationRequest,
  style: HeaderStyle,
  contexts: ReadonlyMap<number, string>,
  greeting: Greeting & { kind: 'newstyle' | 'fixed-newstyle' },
): Promise<Negotiated> {
  const data = encodeInfoRequest(request.exportName, [NBD_INFO.BLOCK_SIZE]);
  const { replies, final } = await exchange(io, NBD_OPT.GO, data);
  if (final.type === NBD_REP.ERR_UNSUP && style === 'simple') return exportName(io, request, greeting);
  if (final.type !== NBD_REP.ACK) throw refusal(NBD_OPT.GO, final, `opening ${exportLabel(request)}`);
  let size: number | undefined;
  let transmissionFlags = 0;
  let blockSize = DEFAULT_BLOCK_SIZE;
  for (const reply of replies) {
    if (reply.type !== NBD_REP.INFO) throw unexpected(NBD_OPT.GO, reply.type);
    const info = parseInfo(reply.payload);
    if (info.kind === 'block-size') blockSize = info.blockSize;
    if (info.kind !== 'export') continue;
    if (size !== undefined && (size !== info.size || transmissionFlags !== info.transmissionFlags))
      throw new NbdProtocolError('NBD_INFO_EXPORT sent twice with different values', 'NBD_OPT_INFO');
    size = info.size;
    transmissionFlags = info.transmissionFlags;
  }
  if (size === undefined) throw new NbdProtocolError('NBD_OPT_GO without NBD_INFO_EXPORT', 'NBD_OPT_INFO');
  return {
    exportName: request.exportName,
    exportSize: checkedSize(size),
    transmissionFlags: checkedFlags(transmissionFlags, style),
    blockSize: { ...blockSize, maximum: payloadLimit(blockSize) },
    style,
    contexts,
  };
}

/** "No limit" is not to be taken at its word: QEMU never takes more than 32 MiB. */
function payloadLimit({ maximum }: BlockSize): number {
  return maximum === UNLIMITED_PAYLOAD ? DEFAULT_MAXIMUM_PAYLOAD : Math.min(maximum, MAX_PAYLOAD);
}

function checkedSize(size: number): number {
  if (Number.isSafeInteger(size)) return size;
  throw new NbdProtocolError('an export of more than 2^53 - 1 bytes', 'NBD_INFO_EXPORT');
}

/** Clears the flags that promise what the agreed headers cannot do. */
function checkedFlags(flags: number, style: HeaderStyle): number {
  if ((flags & NBD_FLAG.HAS_FLAGS) === 0)
    throw new NbdProtocolError('transmission flags without NBD_FLAG_HAS_FLAGS', 'Transmission flags');
  let known = flags;
  if (style === 'simple') known &= ~NBD_FLAG.SEND_DF;
  if (style !== 'extended') known &= ~NBD_FLAG.BLOCK_STATUS_PAYLOAD;
  if ((flags & NBD_FLAG.SEND_WRITE_ZEROES) === 0) known &= ~NBD_FLAG.SEND_FAST_ZERO;
  return known;
}

/** One option and all its replies. The next option goes out only after the final one. */
export async function exchange(
  { transport, reader }: HandshakeIo,
  option: number,
  data?: Buffer,
): Promise<{ replies: OptionReply[]; final: OptionReply }> {
  transport.write(encodeOption(option, data));
  const replies: OptionReply[] = [];
  let total = 0;
  for (;;) {
    const { type, length } = parseOptionReplyHeader(await reader.read(OPTION_REPLY_HEADER_BYTES), option);
    const payload = length === 0 ? Buffer.alloc(0) : await reader.read(length);
    const reply = { type, payload };
    if (type === NBD_REP.ACK && length !== 0)
      throw new NbdProtocolError(`NBD_REP_ACK with a payload of ${length} bytes`, 'Option reply types');
    if (type === NBD_REP.ACK || isErrorReply(type)) return { replies, final: reply };
    total += length;
    if (replies.push(reply) > MAX_OPTION_REPLIES || total > MAX_OPTION_TOTAL_BYTES)
      throw new NbdProtocolError(`${replies.length} replies to one option`, 'Fixed newstyle negotiation');
  }
}

/** The error for an option that was refused. */
export function refusal(option: number, reply: OptionReply, what: string): NbdNegotiationError {
  const text = reply.payload.toString('utf8', 0, MAX_STRING_BYTES);
  return new NbdNegotiationError(option, reply.type, sanitize(text), what);
}

function unexpected(option: number, type: number): NbdProtocolError {
  return new NbdProtocolError(`reply of type ${type} to option ${option}`, 'Option reply types');
}

function exportLabel({ exportName }: NegotiationRequest): string {
  return exportName === '' ? 'the default export' : `export ${JSON.stringify(exportName)}`;
}
