import {
  checkConnections,
  checkContextNames,
  checkedLimits,
  checkQuery,
  type ConnectOptions,
  type HandshakeOptions,
  type MetaContextOptions,
  type PoolOptions,
} from './connect-options.ts';
import { NbdConnection } from './connection.ts';
import type { Endpoint } from './endpoint.ts';
import { type ExportInfo, type ExportListing, haggleInfo, haggleList, haggleMetaContexts } from './haggle.ts';
import { handshake } from './handshake.ts';
import type { HandshakeReader } from './handshake-reader.ts';
import { negotiate } from './negotiate.ts';
import { NbdPool } from './pool.ts';
import { Session } from './session.ts';
import { parseNbdUri } from './uri.ts';

/**
 * Connects to an export and negotiates it.
 *
 * @param target - an NBD URI such as `nbd+unix:///vda?socket=/run/backup.sock`, or an endpoint
 * @throws NbdUsageError, NbdConnectError, NbdTlsError, NbdNegotiationError, NbdProtocolError, or the signal's
 * reason
 */
export async function connect(
  target: string | Endpoint,
  options: ConnectOptions = {},
): Promise<NbdConnection> {
  const limits = checkedLimits(options);
  const { metaContexts = [], extendedHeaders = true } = options;
  checkContextNames(metaContexts);
  return handshake(endpointOf(target), options, async (io, exportName, tls) => {
    const negotiated = await negotiate(io, { exportName, metaContexts, extendedHeaders, tls });
    const session = new Session(io.transport, negotiated.style, limits, negotiated.exportName);
    handOver(io.reader, session);
    return new NbdConnection(session, negotiated);
  });
}

/**
 * Connects several times to an export, if the server allows more than one connection (multi-conn); once
 * otherwise.
 *
 * @throws as `connect`
 */
export async function connectPool(target: string | Endpoint, options: PoolOptions): Promise<NbdPool> {
  const { connections, ...common } = options;
  checkConnections(connections);
  const first = await connect(target, common);
  const further = first.canMultiConn ? connections - 1 : 0;
  const attempts = Array.from({ length: further }, () => connect(target, { ...common, metaContexts: [] }));
  const outcomes = await Promise.allSettled(attempts);
  const others = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const pool = new NbdPool(first, others);
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure === undefined) return pool;
  await pool.close();
  throw failure.reason;
}

/** The exports of a server. @throws as `connect`; NbdNegotiationError also if it does not list them */
export async function listExports(
  target: string | Endpoint,
  options: HandshakeOptions = {},
): Promise<readonly ExportListing[]> {
  return handshake(endpointOf(target), options, (io, _exportName, tls) => haggleList(io, tls));
}

/** What a server says of an export, without opening it. @throws as `connect` */
export async function exportInfo(
  target: string | Endpoint,
  options: HandshakeOptions = {},
): Promise<ExportInfo> {
  return handshake(endpointOf(target), options, (io, exportName, tls) => haggleInfo(io, tls, exportName));
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
  const { queries = [] } = options;
  for (const query of queries) checkQuery(query);
  return handshake(endpointOf(target), options, (io, exportName, tls) =>
    haggleMetaContexts(io, tls, exportName, queries),
  );
}

function endpointOf(target: string | Endpoint): Endpoint {
  return typeof target === 'string' ? parseNbdUri(target) : target;
}

/** Gives the session what arrived behind the handshake. */
function handOver(reader: HandshakeReader, session: Session): void {
  const rest = reader.takeRest();
  if (rest.length > 0) session.receive(rest);
  if (reader.hasEnded) session.ended(undefined);
}
