import { onAbort } from '../abort-listeners.ts';
import { Deadline } from '../deadline.ts';
import { traceConnect } from '../diagnostics.ts';
import { dial } from '../transport/dial.ts';
import { formatAddress } from '../transport/address.ts';
import { checkEndpoint, type Endpoint } from '../transport/endpoint.ts';
import { NbdConnectError, NbdNegotiationError, NbdTlsError, NbdUsageError } from '../errors.ts';
import { type HandshakeIo, leave } from './ask-option.ts';
import { checkedTimeouts, type HandshakeOptions } from './handshake-options.ts';
import { HandshakeReader } from './handshake-reader.ts';
import { checkTls, checkTlsFields, loadTlsFiles, type TlsOptions } from '../transport/tls-options.ts';

/** What is said once the server is reached; `tls` tells whether it has to be encrypted first. */
export type Speak<T> = (io: HandshakeIo, exportName: string, tls: boolean) => Promise<T>;

/**
 * Dials and speaks the handshake, within the times and the signal given.
 *
 * @throws NbdUsageError, NbdConnectError, NbdTlsError, NbdNegotiationError, NbdProtocolError, or the signal's
 * reason
 */
export async function dialAndSpeak<T>(
  endpoint: Endpoint,
  options: HandshakeOptions,
  speak: Speak<T>,
): Promise<T> {
  checkEndpoint(endpoint);
  const server = formatAddress(endpoint.address);
  const trace = { server, exportName: endpoint.exportName ?? '', tls: endpoint.tls !== undefined };
  return traceConnect(trace, () => dialled(endpoint, options, speak));
}

async function dialled<T>(endpoint: Endpoint, options: HandshakeOptions, speak: Speak<T>): Promise<T> {
  const { connectTimeoutMs, handshakeTimeoutMs } = checkedTimeouts(options);
  const where = formatAddress(endpoint.address);
  const deadline = new Deadline(options.signal);
  const late = (ms: number) => () =>
    new NbdConnectError('timeout', `no NBD handshake with ${where} within ${ms} ms`);
  deadline.set(connectTimeoutMs, late(connectTimeoutMs));
  try {
    // A file may be a pipe or lie on a network.
    const tls = await beforeAbort(tlsOf(endpoint, options.allowLocalFiles ?? false), deadline.signal);
    const reader = new HandshakeReader();
    const transport = await dial(endpoint.address, reader, { tls, signal: deadline.signal });
    deadline.set(handshakeTimeoutMs, late(handshakeTimeoutMs));
    return await spoken({ transport, reader }, endpoint, tls !== undefined, deadline.signal, speak);
  } finally {
    deadline.clear();
  }
}

/** What the promise brings, unless the signal comes first. */
async function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let unlisten: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    unlisten = onAbort(signal, () => {
      reject(signal.reason as Error);
    });
  });
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    unlisten?.();
  }
}

async function spoken<T>(
  io: HandshakeIo,
  endpoint: Endpoint,
  tls: boolean,
  signal: AbortSignal,
  speak: Speak<T>,
): Promise<T> {
  const { transport, reader } = io;
  const abort = (): void => {
    reader.abandon(signal.reason);
    transport.destroy();
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    return await speak(io, endpoint.exportName ?? '', tls);
  } catch (error) {
    // Refused, but nobody did anything wrong: the server gets a goodbye.
    if (error instanceof NbdNegotiationError && error.reply !== null) await leave(io);
    transport.destroy();
    if (signal.aborted) throw signal.reason;
    throw tls && error instanceof NbdConnectError ? refusedByTls(error) : error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function tlsOf({ address, tls }: Endpoint, allowLocalFiles: boolean): Promise<TlsOptions | undefined> {
  if (tls !== undefined) checkTlsFields(tls);
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
