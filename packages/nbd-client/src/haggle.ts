import { NbdNegotiationError, NbdProtocolError } from './errors.ts';
import { exchange, greet, type HandshakeIo, refusal, startTls } from './negotiate.ts';
import {
  type BlockSize,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
  parseInfo,
  parseMetaContext,
  parseString,
} from './option.ts';
import { NBD_INFO, NBD_OPT, NBD_REP } from './protocol/constants.ts';

/** An export as a server lists it. */
export interface ExportListing {
  readonly name: string;
  /** Text for people; often empty. */
  readonly description: string;
}

/** What a server says of one export without opening it. */
export interface ExportInfo {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly description: string | undefined;
  readonly blockSize: BlockSize | undefined;
  /** NBD_FLAG_* bits. */
  readonly transmissionFlags: number;
  /** The metadata contexts it offers. */
  readonly metaContexts: readonly string[];
}

/** The exports of a server: NBD_OPT_LIST. @throws NbdNegotiationError if the server does not list them */
export async function haggleList(io: HandshakeIo, tls: boolean): Promise<readonly ExportListing[]> {
  await beginHaggling(io, tls);
  const { replies, final } = await exchange(io, NBD_OPT.LIST);
  if (final.type !== NBD_REP.ACK) throw refusal(NBD_OPT.LIST, final, 'listing the exports');
  leave(io);
  return replies.map(({ type, payload }) => {
    const nameBytes = payload.length < 4 ? Infinity : payload.readUInt32BE(0);
    if (type !== NBD_REP.SERVER || nameBytes > payload.length - 4)
      throw new NbdProtocolError(`reply of type ${type}, ${payload.length} bytes`, 'NBD_REP_SERVER');
    const name = parseString(payload.subarray(4, 4 + nameBytes));
    return { name, description: parseString(payload.subarray(4 + nameBytes)) };
  });
}

/** One export, not opened: NBD_OPT_INFO and NBD_OPT_LIST_META_CONTEXT. */
export async function haggleInfo(io: HandshakeIo, tls: boolean, exportName: string): Promise<ExportInfo> {
  await beginHaggling(io, tls);
  // A server without structured replies may list contexts all the same, but nobody can select them.
  const structured = (await exchange(io, NBD_OPT.STRUCTURED_REPLY)).final.type === NBD_REP.ACK;
  const metaContexts = structured ? await listMetaContexts(io, exportName) : [];
  const wanted = [NBD_INFO.BLOCK_SIZE, NBD_INFO.NAME, NBD_INFO.DESCRIPTION];
  const { replies, final } = await exchange(io, NBD_OPT.INFO, encodeInfoRequest(exportName, wanted));
  if (final.type !== NBD_REP.ACK)
    throw refusal(NBD_OPT.INFO, final, `asking about export ${JSON.stringify(exportName)}`);
  leave(io);
  const infos = replies.map(({ payload }) => parseInfo(payload));
  const find = <Kind extends (typeof infos)[number]['kind']>(
    kind: Kind,
  ): Extract<(typeof infos)[number], { kind: Kind }> | undefined =>
    infos.find((info): info is Extract<(typeof infos)[number], { kind: Kind }> => info.kind === kind);
  const shown = find('export');
  if (shown === undefined || !Number.isSafeInteger(shown.size))
    throw new NbdProtocolError('no size, or one of more than 2^53 - 1 bytes', 'NBD_INFO_EXPORT');
  return {
    name: find('name')?.name ?? exportName,
    size: shown.size,
    description: find('description')?.description,
    blockSize: find('block-size')?.blockSize,
    transmissionFlags: shown.transmissionFlags,
    metaContexts,
  };
}

async function beginHaggling(io: HandshakeIo, tls: boolean): Promise<void> {
  const greeting = await greet(io, tls);
  if (greeting.kind !== 'fixed-newstyle')
    throw new NbdNegotiationError(
      NBD_OPT.LIST,
      null,
      '',
      'asking a server that speaks no fixed newstyle negotiation',
    );
  if (tls) await startTls(io);
}

/** An old server may know no contexts at all. */
async function listMetaContexts(io: HandshakeIo, exportName: string): Promise<readonly string[]> {
  const data = encodeMetaContextRequest(exportName, []);
  const { replies, final } = await exchange(io, NBD_OPT.LIST_META_CONTEXT, data);
  if (final.type !== NBD_REP.ACK) return [];
  return replies.map(({ payload }) => parseMetaContext(payload).name);
}

/** Soft disconnect: the server may answer or just hang up. */
function leave({ transport }: HandshakeIo): void {
  transport.write(encodeOption(NBD_OPT.ABORT));
  transport.end();
}
