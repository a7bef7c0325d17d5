import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { LibvirtConnectError, LibvirtTlsError, type TlsFailure } from '../errors.ts';
import { onAbort } from '../abort-listeners.ts';
import { sanitize } from '../sanitize.ts';
import type { TlsEndpoint } from '../uri/endpoint.ts';
import { whenConnected } from './connect-socket.ts';
import { checkDates, type Pki, readPki } from './pki.ts';
import { SocketTransport } from './socket-transport.ts';
import { messageOf } from './tcp.ts';
import type { Receiver, Transport } from './transport.ts';

/** What the server says, once it has looked at our certificate, before any packet. */
const ACCEPTED = 1;

/** What OpenSSL calls what is wrong with the server's certificate. */
const SERVER_FAILURES: Readonly<Record<string, TlsFailure>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'wrongName',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'expired',
  CERT_REVOKED: 'revoked',
  CRL_HAS_EXPIRED: 'untrusted',
  CRL_NOT_YET_VALID: 'untrusted',
  CRL_SIGNATURE_FAILURE: 'untrusted',
  UNABLE_TO_GET_CRL: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'untrusted',
  CERT_SIGNATURE_FAILURE: 'untrusted',
  CERT_UNTRUSTED: 'untrusted',
  CERT_REJECTED: 'untrusted',
  CERT_CHAIN_TOO_LONG: 'untrusted',
  INVALID_CA: 'untrusted',
  INVALID_PURPOSE: 'untrusted',
  PATH_LENGTH_EXCEEDED: 'untrusted',
};

/** A connection that was never made: nothing of TLS had begun. */
const UNREACHED = /^(?:ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOTFOUND|EAI_\w+|EACCES|EPERM)$/;

/**
 * Connects with TLS, and waits until the server has accepted our certificate.
 *
 * @throws LibvirtTlsError, LibvirtConnectError, or the signal's reason
 */
export async function dialTls(
  endpoint: TlsEndpoint,
  receiver: Receiver,
  signal: AbortSignal,
): Promise<Transport> {
  const pki = await readPki(endpoint.pki);
  signal.throwIfAborted();
  if (endpoint.checksOwn) checkDates(pki, new Date());
  if (pki.ca === undefined && endpoint.verifies)
    throw new LibvirtTlsError('noAuthority', `no certificate authority: there is no ${pki.places.ca}`);
  const socket = await handshake(endpoint, pki, signal);
  await accepted(socket, pki, signal);
  return new SocketTransport(socket, endpoint.verifies ? 'tls' : 'unverified', receiver);
}

async function handshake(endpoint: TlsEndpoint, pki: Pki, signal: AbortSignal): Promise<TLSSocket> {
  const { host, port } = endpoint;
  const at = `${host}, port ${port}`;
  const connecting = start(endpoint, pki);
  try {
    return await whenConnected(connecting, 'secureConnect', signal);
  } catch (cause) {
    signal.throwIfAborted();
    const { code } = codeOf(cause);
    const message = sanitize(messageOf(cause));
    if (UNREACHED.test(code)) throw new LibvirtConnectError(`cannot reach ${at}: ${message}`, { cause });
    const failure = SERVER_FAILURES[code];
    if (failure !== undefined)
      throw new LibvirtTlsError(failure, `the certificate of ${at} is refused: ${message}`, { cause });
    throw new LibvirtTlsError('handshake', `no TLS with ${at}: ${message}`, { cause });
  }
}

function start({ host, port, verifies }: TlsEndpoint, { ca, crl, client }: Pki): TLSSocket {
  const options: ConnectionOptions = {
    host,
    port,
    rejectUnauthorized: verifies,
    minVersion: 'TLSv1.2',
    // An address is not a name to ask for; it is compared with the certificate all the same.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca: ca.pem }),
    ...(crl === undefined ? {} : { crl: crl.pem }),
    ...(client === undefined ? {} : { cert: client.certificate.pem, key: client.key.pem }),
  };
  try {
    const socket = connect(options);
    socket.setNoDelay(true);
    return socket;
  } catch (cause) {
    const files = [ca, crl, client?.certificate, client?.key].flatMap((file) => file?.path ?? []);
    throw new LibvirtTlsError('badCredentials', `${(cause as Error).message} (${files.join(', ')})`, {
      cause,
    });
  }
}

/** With TLS 1.3 the handshake is over for us before the server has seen our certificate. */
function accepted(socket: TLSSocket, pki: Pki, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let unlisten: () => void = () => undefined;
    const settle = (): void => {
      unlisten();
      socket.off('readable', readable).off('error', refused).off('close', refused);
    };
    const fail = (error: Error): void => {
      settle();
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const aborted = (): void => {
      fail(signal.reason as Error);
    };
    const refused = (error?: unknown): void => {
      fail(refusal(pki, error instanceof Error ? error : undefined));
    };
    const readable = (): void => {
      const said = socket.read() as Buffer | null;
      if (said === null) {
        if (socket.readableEnded) refused();
        return;
      }
      if (said[0] !== ACCEPTED) {
        const shown = said.subarray(0, 16).toString('hex');
        fail(
          new LibvirtTlsError('handshake', `the server says ${shown} in place of its 01: no libvirt daemon`),
        );
        return;
      }
      settle();
      // What stands behind it in the same record is the first of its packets.
      if (said.length > 1) socket.unshift(said.subarray(1));
      resolve();
    };
    socket.on('readable', readable).once('error', refused).once('close', refused);
    unlisten = onAbort(signal, aborted);
  });
}

function refusal({ client, places }: Pki, cause: Error | undefined): LibvirtTlsError {
  const said = cause === undefined ? '' : ` (${sanitize(cause.message)})`;
  if (client === undefined)
    return new LibvirtTlsError(
      'noClientCertificate',
      `the server wants a certificate of ours, and there is no pair of ${places.certificate} and ${places.key}${said}`,
      { cause },
    );
  return new LibvirtTlsError(
    'clientCertificateRefused',
    `the server refuses ${client.certificate.path}, or the address we come from${said}`,
    { cause },
  );
}

function codeOf(error: unknown): { code: string } {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return { code: String((first as NodeJS.ErrnoException).code) };
}
