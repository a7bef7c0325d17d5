import { NbdNegotiationError, NbdProtocolError } from '../errors.ts';
import { agreeOnHeaders, askOption, type HandshakeIo, leave, refusal } from './ask-option.ts';
import { collectFacts } from './export-facts.ts';
import { greet } from './greeting.ts';
import { startTls } from './start-tls.ts';
import {
  type BlockSize,
  encodeInfoRequest,
  encodeMetaContextRequest,
  parseMetaContext,
  parseString,
} from './option-messages.ts';
import { NBD_INFO, NBD_OPT, NBD_REP } from '../protocol/constants.ts';
import type { HeaderStyle } from '../protocol/header-style.ts';

/** An export as a server lists it. Both texts as the server sent them: `sanitize` them before showing them. */
export interface ExportListing {
  readonly name: string;
  /** Text for people; often empty. */
  readonly description: string;
}

/** What a server says of one export without opening it. Texts are as the server sent them. */
export interface ExportInfo {
  /** The name that the server itself uses, if it tells; otherwise the one that was asked for. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Text for people, if the server has one. */
  readonly description: string | undefined;
  /** As announced: a `maximum` of 0xffffffff means that there is none. */
  readonly blockSize: BlockSize | undefined;
  /** NBD_FLAG bits, less those that the headers agreed on cannot carry. */
  readonly transmissionFlags: number;
  /** The headers that server and client agreed on. */
  readonly headerStyle: HeaderStyle;
  /** The metadata contexts it offers. */
  readonly metaContexts: readonly string[];
}

/** QEMU's own contexts. QEMU 3.0 lists them only if they are asked for. */
const QEMU_NAMESPACE = 'qemu:';

/** The exports of a server: NBD_OPT_LIST. @throws NbdNegotiationError if the server does not list them */
export async function askForExports(io: HandshakeIo, tls: boolean): Promise<readonly ExportListing[]> {
  await beginAsking(io, tls, NBD_OPT.LIST);
  const { payloads, final } = await askOption(io, NBD_OPT.LIST);
  if (final.type !== NBD_REP.ACK) throw refusal(NBD_OPT.LIST, final, 'listing the exports');
  const listings = payloads.map((payload) => {
    const nameBytes = payload.length < 4 ? Infinity : payload.readUInt32BE(0);
    if (nameBytes > payload.length - 4)
      throw new NbdProtocolError(`a listing of ${payload.length} bytes`, 'NBD_REP_SERVER');
    const name = parseString(payload.subarray(4, 4 + nameBytes));
    return { name, description: parseString(payload.subarray(4 + nameBytes)) };
  });
  await leave(io);
  return listings;
}

/** One export, not opened: NBD_OPT_INFO and NBD_OPT_LIST_META_CONTEXT. */
export async function askForInfo(io: HandshakeIo, tls: boolean, exportName: string): Promise<ExportInfo> {
  await beginAsking(io, tls, NBD_OPT.INFO);
  // Contexts are listed only behind one of these, and some transmission flags are shown only then.
  const headerStyle = await agreeOnHeaders(io, true);
  // A server without structured replies may list contexts all the same, but nobody can select them.
  const metaContexts =
    headerStyle === 'simple' ? [] : await metaContextNames(io, exportName, []).catch(noneIfRefused);
  const wanted = [NBD_INFO.BLOCK_SIZE, NBD_INFO.NAME, NBD_INFO.DESCRIPTION];
  const { payloads, final } = await askOption(io, NBD_OPT.INFO, encodeInfoRequest(exportName, wanted));
  if (final.type !== NBD_REP.ACK) throw refusal(NBD_OPT.INFO, final, `asking about ${label(exportName)}`);
  const { name = exportName, ...facts } = collectFacts(payloads, headerStyle);
  await leave(io);
  return { ...facts, name, headerStyle, metaContexts };
}

/** The metadata contexts of an export that fit one of the queries, or all: NBD_OPT_LIST_META_CONTEXT. */
export async function askForMetaContexts(
  io: HandshakeIo,
  tls: boolean,
  exportName: string,
  queries: readonly string[],
): Promise<readonly string[]> {
  await beginAsking(io, tls, NBD_OPT.LIST_META_CONTEXT);
  await agreeOnHeaders(io, true);
  const names = await metaContextNames(io, exportName, queries);
  await leave(io);
  return names;
}

async function beginAsking(io: HandshakeIo, tls: boolean, option: number): Promise<void> {
  const greeting = await greet(io, tls);
  if (greeting.kind !== 'fixed-newstyle')
    throw new NbdNegotiationError({ option, reply: null, what: 'asking the server', isUnasked: true });
  if (tls) await startTls(io);
}

/** A server without contexts is as good as one that has none to offer. */
function noneIfRefused(error: unknown): readonly string[] {
  if (error instanceof NbdNegotiationError && error.reply !== NBD_REP.ERR_SHUTDOWN) return [];
  throw error;
}

async function metaContextNames(
  io: HandshakeIo,
  exportName: string,
  queries: readonly string[],
): Promise<readonly string[]> {
  const ask = async (asked: readonly string[]): Promise<readonly string[]> => {
    const data = encodeMetaContextRequest(exportName, asked);
    const { payloads, final } = await askOption(io, NBD_OPT.LIST_META_CONTEXT, data);
    // What came before an error does not count.
    if (final.type !== NBD_REP.ACK)
      throw refusal(
        NBD_OPT.LIST_META_CONTEXT,
        final,
        `listing the metadata contexts of ${label(exportName)}`,
      );
    return payloads.map((payload) => parseMetaContext(payload).name);
  };
  const names = await ask(queries);
  if (queries.length > 0 || names.some((name) => name.startsWith(QEMU_NAMESPACE))) return names;
  return [...new Set([...names, ...(await ask([QEMU_NAMESPACE]).catch(noneIfRefused))])];
}

function label(exportName: string): string {
  return exportName === '' ? 'the default export' : `export ${JSON.stringify(exportName)}`;
}
