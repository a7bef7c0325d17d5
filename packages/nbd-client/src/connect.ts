import { NbdConnection } from './connection.ts';
import { dial } from './dial.ts';
import { checkEndpoint, type Endpoint, formatAddress } from './endpoint.ts';
import { NbdConnectError, NbdTlsError, NbdUsageError } from './errors.ts';
import { HandshakeReader } from './handshake-reader.ts';
import { type ExportInfo, type ExportListing, haggleInfo, haggleList } from './haggle.ts';
import { type HandshakeIo, negotiate } from './negotiate.ts';
import { NbdPool } from './pool.ts';
import { Session, type SessionLimits } from './session.ts';
import { checkTls, loadTlsFiles, type TlsOptions } from './tls-options.ts';
import { parseNbdUri } from './uri.ts';

/** For everything that dials. */
export interface HandshakeOptions {
  /** Gives up connecting; has no effect once the promise is settled. */
  readonly signal?: AbortSignal;
  /** For dialling and the whole handshake. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Whether a URI may name files of certificates and keys. Default false. */
  readonly allowLocalFiles?: boolean;
}

export interface ConnectOptions extends HandshakeOptions {
  /** Metadata contexts to select, such as `base:allocation`. Ask only for what is needed. Default: none. */
  readonly metaContexts?: readonly string[];
  /** Whether to ask for extended headers, which QEMU has since 8.2. Default true. */
  readonly extendedHeaders?: boolean;
  /** Ends the connection if requests are under way and no byte arrives for so long; 0: never. Default 60,000. */
  readonly idleTimeoutMs?: number;
  /** For `close` to finish what is under way. Default 5,000. */
  readonly closeTimeoutMs?: number;
  /** Requests on the wire at once. Default 16, as many as QEMU works on. */
  readonly maxRequests?: number;
  /** Payload bytes on the wire at once. Default 64 MiB. */
  readonly maxBytes?: number;
}

const DEFAULTS = {
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  closeTimeoutMs: 5_000,
  maxRequests: 16,
  maxBytes: 64 * 1024 * 1024,
};

/** The longest delay of a Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

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
  return handshake(target, options, async (io, endpoint, tls) => {
    const request = { exportName: endpoint.exportName ?? '', metaContexts, extendedHeaders, tls };
    const negotiated = await negotiate(io, request);
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
export async function connectPool(
  target: string | Endpoint,
  options: ConnectOptions & { readonly connections: number },
): Promise<NbdPool> {
  const { connections, ...common } = options;
  if (!Number.isSafeInteger(connections) || connections < 1)
    throw new NbdUsageError(`connections is ${connections}, not an integer from 1 on`);
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
export function listExports(
  target: string | Endpoint,
  options: HandshakeOptions = {},
): Promise<readonly ExportListing[]> {
  return handshake(target, options, (io, _endpoint, tls) => haggleList(io, tls));
}

/** What a server says of an export, without opening it. @throws as `connect` */
export function exportInfo(target: string | Endpoint, options: HandshakeOptions = {}): Promise<ExportInfo> {
  return handshake(target, options, (io, { exportName = '' }, tls) => haggleInfo(io, tls, exportName));
}

/** Dials and speaks the handshake, within the time and the signal given. */
async function handshake<T>(
  target: string | Endpoint,
  options: HandshakeOptions,
  speak: (io: HandshakeIo, endpoint: Endpoint, tls: boolean) => Promise<T>,
): Promise<T> {
  const endpoint = typeof target === 'string' ? parseNbdUri(target) : target;
  checkEndpoint(endpoint);
  const timeoutMs = checkedOption('connectTimeoutMs', options.connectTimeoutMs);
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const tls = await tlsOf(endpoint, options.allowLocalFiles ?? false);
  try {
    return await spoken(endpoint, tls, signal, speak);
  } catch (error) {
    if (!timeout.aborted || error !== timeout.reason) throw error;
    const where = formatAddress(endpoint.address);
    throw new NbdConnectError(`no NBD handshake with ${where} within ${timeoutMs} ms`, { cause: error });
  }
}

async function spoken<T>(
  endpoint: Endpoint,
  tls: TlsOptions | undefined,
  signal: AbortSignal,
  speak: (io: HandshakeIo, endpoint: Endpoint, tls: boolean) => Promise<T>,
): Promise<T> {
  const reader = new HandshakeReader();
  const transport = await dial(endpoint.address, reader, { tls, signal });
  const abort = (): void => {
    reader.abandon(signal.reason);
    transport.destroy();
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await speak({ transport, reader }, endpoint, tls !== undefined);
  } catch (error) {
    transport.destroy();
    throw tls !== undefined && error instanceof NbdConnectError ? refusedByTls(error) : error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function tlsOf({ address, tls }: Endpoint, allowLocalFiles: boolean): Promise<TlsOptions | undefined> {
  if (tls?.type !== 'files') {
    if (tls !== undefined) checkTls(tls, address);
    return tls;
  }
  if (!allowLocalFiles && (tls.certificates ?? tls.pskFile) !== undefined)
    throw new NbdUsageError('the URI names local files, which takes the option allowLocalFiles');
  const loaded = await loadTlsFiles(tls);
  checkTls(loaded, address);
  return loaded;
}

/** With TLS 1.3 a server that refuses the client's certificate does so after the handshake, by hanging up. */
function refusedByTls(cause: NbdConnectError): NbdTlsError {
  return new NbdTlsError(`${cause.message}, behind TLS: it may want another client certificate`, { cause });
}

/** Gives the session what arrived behind the handshake. */
function handOver(reader: HandshakeReader, session: Session): void {
  const rest = reader.takeRest();
  if (rest.length > 0) session.receive(rest);
  if (reader.hasEnded) session.ended(undefined);
}

function checkedLimits(options: ConnectOptions): SessionLimits {
  return {
    idleTimeoutMs: checkedOption('idleTimeoutMs', options.idleTimeoutMs),
    closeTimeoutMs: checkedOption('closeTimeoutMs', options.closeTimeoutMs),
    maxRequests: checkedOption('maxRequests', options.maxRequests),
    maxBytes: checkedOption('maxBytes', options.maxBytes),
  };
}

function checkedOption(name: keyof typeof DEFAULTS, value: number = DEFAULTS[name]): number {
  const least = name === 'idleTimeoutMs' ? 0 : 1;
  const most = name.endsWith('Ms') ? MAX_TIMER_MS : Number.MAX_SAFE_INTEGER;
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new NbdUsageError(`${name} is ${value}, not an integer from ${least} to ${most}`);
  return value;
}
