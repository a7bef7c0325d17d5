import {
  NbdConnectError,
  NbdNegotiationError,
  NbdProtocolError,
  NbdUsageError,
  sanitize,
} from '../errors.ts';
import { agreeOnHeaders, askOption, type HandshakeIo, refusal } from './ask-option.ts';
import { type Greeting, greet } from './greeting.ts';
import { startTls } from './start-tls.ts';
import { checkedFlags, collectFacts, DEFAULT_BLOCK_SIZE, withPayloadLimit } from './export-facts.ts';
import {
  type BlockSize,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  parseMetaContext,
  readExportSize,
} from './option-messages.ts';
import { NBD_INFO, NBD_OPT, NBD_REP } from '../protocol/constants.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';

/** What the transmission phase needs to know. */
export interface OpenedExport {
  readonly exportName: string;
  /** Bytes. */
  readonly exportSize: number;
  readonly transmissionFlags: number;
  readonly blockSize: BlockSize;
  readonly style: HeaderStyle;
  /** The selected metadata contexts by the id that the server uses for them. */
  readonly contexts: ReadonlyMap<number, string>;
}

/** What is wanted of it. */
export interface ExportRequest {
  readonly exportName: string;
  readonly metaContexts: readonly string[];
  /** Whether to ask for extended headers. */
  readonly extendedHeaders: boolean;
  /** Whether to encrypt before anything else. */
  readonly tls: boolean;
}

const EXPORT_NAME_REPLY_BYTES = 10;
/** Padding of the reply to NBD_OPT_EXPORT_NAME, unless both sides agreed to leave it out. */
const ZEROES_BYTES = 124;

/**
 * The handshake, from the greeting to the acknowledged NBD_OPT_GO.
 *
 * @throws NbdNegotiationError if the server refuses an option that is needed; NbdProtocolError if it breaks
 * the specification
 */
export async function openExport(io: HandshakeIo, request: ExportRequest): Promise<OpenedExport> {
  const greeting = await greet(io, request.tls);
  if (request.tls) await startTls(io);
  if (greeting.kind === 'oldstyle') return oldstyle(greeting, request);
  if (greeting.kind === 'newstyle') return openByName(io, request, { greeting, ...SIMPLE });
  const style = await agreeOnHeaders(io, request.extendedHeaders);
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

/** Oldstyle has one export and no name for it: nothing was sent that could have asked for another one. */
function oldstyle(greeting: Greeting & { kind: 'oldstyle' }, request: ExportRequest): OpenedExport {
  if (request.exportName !== '')
    throw new NbdUsageError(
      `${exportLabel(request)} was asked for, but the server is oldstyle: its only export has no name`,
    );
  return plainExport(request, SIMPLE, greeting.size, greeting.transmissionFlags);
}

/** The way to an export that every newstyle server knows. It has no error: the server just hangs up. */
async function openByName(
  { transport, reader }: HandshakeIo,
  request: ExportRequest,
  agreed: Agreed,
): Promise<OpenedExport> {
  transport.write([encodeOption(NBD_OPT.EXPORT_NAME, Buffer.from(request.exportName))]);
  const bytes = await reader.read(EXPORT_NAME_REPLY_BYTES).catch((error: unknown) => {
    // An abort and a timeout are no answer of the server's.
    if (!(error instanceof NbdConnectError)) throw error;
    throw new NbdNegotiationError({
      option: NBD_OPT.EXPORT_NAME,
      reply: null,
      what: `opening ${exportLabel(request)}`,
    });
  });
  if (!agreed.greeting.noZeroes) await reader.read(ZEROES_BYTES);
  return plainExport(request, agreed, readExportSize(bytes, 0), bytes.readUInt16BE(8));
}

/** An export whose server told no block sizes. */
function plainExport(
  { exportName }: ExportRequest,
  { style, contexts }: Pick<Agreed, 'style' | 'contexts'>,
  size: number,
  transmissionFlags: number,
): OpenedExport {
  return {
    exportName,
    exportSize: size,
    transmissionFlags: checkedFlags(transmissionFlags, style),
    blockSize: DEFAULT_BLOCK_SIZE,
    style,
    contexts,
  };
}

async function setMetaContexts(io: HandshakeIo, request: ExportRequest): Promise<Map<number, string>> {
  const data = encodeMetaContextRequest(request.exportName, request.metaContexts);
  const { payloads, final } = await askOption(io, NBD_OPT.SET_META_CONTEXT, data);
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

async function go(io: HandshakeIo, request: ExportRequest, agreed: Agreed): Promise<OpenedExport> {
  const { exportName: name } = request;
  const { style, contexts } = agreed;
  const { payloads, final } = await askOption(io, NBD_OPT.GO, encodeInfoRequest(name, [NBD_INFO.BLOCK_SIZE]));
  if (final.type === NBD_REP.ERR_UNSUP && style !== 'extended') return openByName(io, request, agreed);
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

function exportLabel({ exportName }: ExportRequest): string {
  return exportName === '' ? 'the default export' : `export ${JSON.stringify(exportName)}`;
}
