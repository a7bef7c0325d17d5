import { NbdConnection } from './connection.ts';
import { dial } from './dial.ts';
import { checkEndpoint, type Endpoint, formatAddress } from './endpoint.ts';
import { NbdConnectError, NbdTlsError, NbdUsageError } from './errors.ts';
import { HandshakeReader } from './handshake-reader.ts';
import { negotiate } from './negotiate.ts';
import { Session, type SessionLimits } from './session.ts';
import { checkTls, loadTlsFiles, type TlsOptions } from './tls-options.ts';
import { parseNbdUri } from './uri.ts';

export interface ConnectOptions {
  /** Metadata contexts to select, such as `base:allocation`. Ask only for what is needed. Default: none. */
  readonly metaContexts?: readonly string[];
  /** Whether a URI may name files of certificates and keys. Default false. */
  readonly allowLocalFiles?: boolean;
  /** Whether to ask for extended headers, which QEMU has since 8.2. Default true. */
  readonly extendedHeaders?: boolean;
  /** Gives up connecting; has no effect once `connect` has returned. */
  readonly signal?: AbortSignal;
  /** For dialling and the whole handshake. Default 10,000. */
  readonly connectTimeoutMs?: number;
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
 * @throws NbdUsageError, NbdConnectError, NbdNegotiationError, NbdProtocolError, or the signal's reason
 */
export async function connect(
  target: string | Endpoint,
  options: ConnectOptions = {},
): Promise<NbdConnection> {
  const endpoint = typeof target === 'string' ? parseNbdUri(target) : target;
  checkEndpoint(endpoint);
  const limits = checkedLimits(options);
  const timeout = AbortSignal.timeout(limits.connectTimeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  try {
    return await open(endpoint, options, limits, signal);
  } catch (error) {
    if (!timeout.aborted || error !== timeout.reason) throw error;
    const where = formatAddress(endpoint.address);
    throw new NbdConnectError(`no NBD handshake with ${where} within ${limits.connectTimeoutMs} ms`, {
      cause: error,
    });
  }
}

async function open(
  endpoint: Endpoint,
  { metaContexts = [], extendedHeaders = true, allowLocalFiles = false }: ConnectOptions,
  limits: SessionLimits,
  signal: AbortSignal,
): Promise<NbdConnection> {
  const reader = new HandshakeReader();
  const tls = await tlsOf(endpoint, allowLocalFiles);
  const transport = await dial(endpoint.address, reader, { tls, signal });
  const abort = (): void => {
    reader.ended(signal.reason as Error);
    transport.destroy();
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    const exportName = endpoint.exportName ?? '';
    const request = { exportName, metaContexts, extendedHeaders, tls: tls !== undefined };
    const negotiated = await negotiate({ transport, reader }, request);
    const session = new Session(transport, negotiated.style, limits);
    handOver(reader, session);
    return new NbdConnection(session, negotiated);
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

function checkedLimits(options: ConnectOptions): SessionLimits & { connectTimeoutMs: number } {
  const limits = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]) {
    const value = options[name] ?? DEFAULTS[name];
    const least = name === 'idleTimeoutMs' ? 0 : 1;
    const most = name.endsWith('Ms') ? MAX_TIMER_MS : Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new NbdUsageError(`${name} is ${value}, not an integer from ${least} to ${most}`);
    limits[name] = value;
  }
  return limits;
}
