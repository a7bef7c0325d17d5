import {
  CONNECT_OPTIONS,
  META_CONTEXT_OPTIONS,
  POOL_OPTIONS,
  checkConnections,
  checkContextNames,
  checkedReconnect,
  checkedLimits,
  checkQuery,
  type ConnectOptions,
  type MetaContextOptions,
  type PoolOptions,
} from './connect-options.ts';
import { optionsProblem, refuse } from './arguments.ts';
import { NbdConnectError } from './errors.ts';
import { HANDSHAKE_OPTIONS, type HandshakeOptions } from './handshake/handshake-options.ts';
import { NbdConnection } from './connection.ts';
import type { Endpoint } from './transport/endpoint.ts';
import {
  type ExportInfo,
  type ExportListing,
  askForInfo,
  askForExports,
  askForMetaContexts,
} from './handshake/ask-server.ts';
import { dialAndSpeak } from './handshake/dial-and-speak.ts';
import type { HandshakeReader } from './handshake/handshake-reader.ts';
import { openExport } from './handshake/open-export.ts';
import { NbdPool } from './pool.ts';
import { Session } from './transmission/session.ts';
import { parseNbdUri } from './transport/uri.ts';

/**
 * Connects to an export and agrees with the server on how to talk.
 *
 * @param target - an NBD URI such as `nbd+unix:///vda?socket=/run/backup.sock`, or an endpoint
 * @throws NbdUsageError, NbdConnectError, NbdTlsError, NbdNegotiationError, NbdProtocolError, or the signal's
 * reason
 */
export async function connect(
  target: string | Endpoint,
  options: ConnectOptions = {},
): Promise<NbdConnection> {
  refuse(optionsProblem('connect', options, CONNECT_OPTIONS));
  const limits = checkedLimits(options);
  const { metaContexts = [], extendedHeaders = true } = options;
  checkContextNames(metaContexts);
  return dialAndSpeak(endpointOf(target), options, async (io, exportName, tls) => {
    const opened = await openExport(io, { exportName, metaContexts, extendedHeaders, tls });
    const session = new Session(io.transport, opened.style, limits, opened.exportName);
    handOver(io.reader, session);
    return new NbdConnection(session, opened);
  });
}

/**
 * Connects several times to an export, if the server allows more than one connection (multi-conn); once
 * otherwise.
 *
 * @throws as `connect`
 */
export async function connectPool(target: string | Endpoint, options: PoolOptions): Promise<NbdPool> {
  refuse(optionsProblem('connectPool', options, POOL_OPTIONS));
  const { connections, reconnect, ...common } = options;
  checkConnections(connections);
  const plan = reconnect && checkedReconnect(reconnect);
  const first = await connect(target, common);
  const further = first.canMultiConn ? connections - 1 : 0;
  const attempts = Array.from({ length: further }, () => connectLike(first, target, common));
  const outcomes = await Promise.allSettled(attempts);
  const others = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  // The signal of `connectPool` has no say any more when a connection is opened again.
  const open = (signal: AbortSignal): Promise<NbdConnection> =>
    connectLike(first, target, { ...common, signal });
  const pool = new NbdPool([first, ...others], plan && { plan, open });
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure === undefined) return pool;
  // Not closed: whoever has given up does not wait for a server that may stand still.
  pool.destroy();
  throw failure.reason;
}

/** A connection that stands for another one. @throws as `connect`; NbdConnectError if the export is not the same */
async function connectLike(
  model: NbdConnection,
  target: string | Endpoint,
  options: ConnectOptions,
): Promise<NbdConnection> {
  const connection = await connect(target, options);
  if (factsOf(connection) === factsOf(model)) return connection;
  connection.destroy();
  throw new NbdConnectError(
    'unreachable',
    'the server offers another export than before, or other features of it',
  );
}

function factsOf({
  exportSize,
  transmissionFlags,
  headerStyle,
  blockSize,
  metaContexts,
}: NbdConnection): string {
  const { minimum, preferred, maximum } = blockSize;
  const facts = [exportSize, transmissionFlags, headerStyle, minimum, preferred, maximum];
  return JSON.stringify([facts, [...metaContexts].sort()]);
}

/** The exports of a server. @throws as `connect`; NbdNegotiationError also if it does not list them */
export async function listExports(
  target: string | Endpoint,
  options: HandshakeOptions = {},
): Promise<readonly ExportListing[]> {
  refuse(optionsProblem('listExports', options, HANDSHAKE_OPTIONS));
  return dialAndSpeak(endpointOf(target), options, (io, _exportName, tls) => askForExports(io, tls));
}

/** What a server says of an export, without opening it. @throws as `connect` */
export async function exportInfo(
  target: string | Endpoint,
  options: HandshakeOptions = {},
): Promise<ExportInfo> {
  refuse(optionsProblem('exportInfo', options, HANDSHAKE_OPTIONS));
  return dialAndSpeak(endpointOf(target), options, (io, exportName, tls) => askForInfo(io, tls, exportName));
}

/**
 * The names of the metadata contexts that a server offers for an export, without opening it.
 *
 * @throws as `connect`; NbdNegotiationError also if the server knows no metadata contexts
 */
export async function listMetaContexts(
  target: string | Endpoint,
  options: MetaContextOptions = {},
): Promise<readonly string[]> {
  refuse(optionsProblem('listMetaContexts', options, META_CONTEXT_OPTIONS));
  const { queries = [] } = options;
  for (const query of queries) checkQuery(query);
  return dialAndSpeak(endpointOf(target), options, (io, exportName, tls) =>
    askForMetaContexts(io, tls, exportName, queries),
  );
}

/** Anything that is no string is checked as an endpoint. */
function endpointOf(target: string | Endpoint): Endpoint {
  return typeof target === 'string' ? parseNbdUri(target) : target;
}

/** Gives the session what arrived behind the handshake. */
function handOver(reader: HandshakeReader, session: Session): void {
  const rest = reader.takeRest();
  if (rest.length > 0) session.receive(rest);
  if (reader.hasEnded) session.ended(undefined);
}
