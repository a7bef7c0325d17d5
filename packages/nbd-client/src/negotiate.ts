import { NbdConnectError, NbdNegotiationError, NbdProtocolError, NbdTlsError, sanitize } from './errors.ts';
import { accepts, exchange, type HandshakeIo, refusal } from './exchange.ts';
import {
  checkedFlags,
  checkedSize,
  collectFacts,
  DEFAULT_BLOCK_SIZE,
  withPayloadLimit,
} from './export-facts.ts';
import {
  type BlockSize,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  parseMetaContext,
} from './option.ts';
import {
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
import { readUint64 } from './protocol/uint64.ts';
import type { HeaderStyle } from './reply-parser.ts';

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

const SECTION = 'Newstyle negotiation';
/** Size, flags and padding behind the magics of an oldstyle greeting. */
const OLDSTYLE_REST_BYTES = 136;
const EXPORT_NAME_REPLY_BYTES = 10;
/** Padding of the reply to NBD_OPT_EXPORT_NAME, unless both sides agreed to leave it out. */
const ZEROES_BYTES = 124;

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
  if (greeting.kind === 'newstyle') return exportName(io, request, { greeting, ...SIMPLE });
  const style = await negotiateStyle(io, request.extendedHeaders);
  const contexts =
    style === 'simple' || request.metaContexts.length === 0
      ? new Map<number, string>()
      : await setMetaContexts(io, request);
  return go(io, request, { greeting, style, contexts });
}

/** What was agreed on before an export is opened. */
interface Agreed {
  readonly greeting: Greeting & { kind: 'newstyle' | 'fixed-newstyle' };
  readonly style: HeaderStyle;
  readonly contexts: ReadonlyMap<number, string>;
}

const SIMPLE = { style: 'simple', contexts: new Map<number, string>() } as const;

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
    if (rest.readUInt16BE(8) !== 0)
      throw new NbdProtocolError(`oldstyle flags 0x${rest.toString('hex', 8, 12)}`, 'Oldstyle negotiation');
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
  return plainExport(request, SIMPLE, greeting.size, greeting.transmissionFlags);
}

/** The way to an export that every newstyle server knows. It has no error: the server just hangs up. */
async function exportName(
  { transport, reader }: HandshakeIo,
  request: NegotiationRequest,
  agreed: Agreed,
): Promise<Negotiated> {
  transport.write(encodeOption(NBD_OPT.EXPORT_NAME, Buffer.from(request.exportName)));
  const bytes = await reader.read(EXPORT_NAME_REPLY_BYTES).catch((error: unknown) => {
    // An abort and a timeout are no answer of the server's.
    if (!(error instanceof NbdConnectError)) throw error;
    throw new NbdNegotiationError(NBD_OPT.EXPORT_NAME, null, '', `opening ${exportLabel(request)}`);
  });
  if (!agreed.greeting.noZeroes) await reader.read(ZEROES_BYTES);
  return plainExport(request, agreed, readUint64(bytes, 0), bytes.readUInt16BE(8));
}

/** An export whose server told no block sizes. */
function plainExport(
  { exportName }: NegotiationRequest,
  { style, contexts }: Pick<Agreed, 'style' | 'contexts'>,
  size: number,
  transmissionFlags: number,
): Negotiated {
  return {
    exportName,
    exportSize: checkedSize(size),
    transmissionFlags: checkedFlags(transmissionFlags, style),
    blockSize: DEFAULT_BLOCK_SIZE,
    style,
    contexts,
  };
}

/** Extended headers imply structured replies; simple replies are the floor. */
export async function negotiateStyle(io: HandshakeIo, extendedHeaders: boolean): Promise<HeaderStyle> {
  if (extendedHeaders && (await accepts(io, NBD_OPT.EXTENDED_HEADERS))) return 'extended';
  return (await accepts(io, NBD_OPT.STRUCTURED_REPLY)) ? 'structured' : 'simple';
}

async function setMetaContexts(io: HandshakeIo, request: NegotiationRequest): Promise<Map<number, string>> {
  const data = encodeMetaContextRequest(request.exportName, request.metaContexts);
  const { payloads, final } = await exchange(io, NBD_OPT.SET_META_CONTEXT, data);
  // A server without contexts: none is selected, as with a server that does not know the ones asked for.
  if (final.type === NBD_REP.ERR_UNSUP) return new Map();
  if (final.type !== NBD_REP.ACK)
    throw refusal(NBD_OPT.SET_META_CONTEXT, final, `selecting metadata contexts of ${exportLabel(request)}`);
  const contexts = new Map<number, string>();
  const names = new Set<string>();
  for (const payload of payloads) {
    const { id, name } = parseMetaContext(payload);
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

async function go(io: HandshakeIo, request: NegotiationRequest, agreed: Agreed): Promise<Negotiated> {
  const { exportName: name } = request;
  const { style, contexts } = agreed;
  const { payloads, final } = await exchange(io, NBD_OPT.GO, encodeInfoRequest(name, [NBD_INFO.BLOCK_SIZE]));
  if (final.type === NBD_REP.ERR_UNSUP && style !== 'extended') return exportName(io, request, agreed);
  if (final.type !== NBD_REP.ACK) throw refusal(NBD_OPT.GO, final, `opening ${exportLabel(request)}`);
  const { size, transmissionFlags, blockSize } = collectFacts(payloads, style);
  return {
    exportName: name,
    exportSize: size,
    transmissionFlags,
    blockSize: withPayloadLimit(blockSize ?? DEFAULT_BLOCK_SIZE),
    style,
    contexts,
  };
}

function exportLabel({ exportName }: NegotiationRequest): string {
  return exportName === '' ? 'the default export' : `export ${JSON.stringify(exportName)}`;
}
