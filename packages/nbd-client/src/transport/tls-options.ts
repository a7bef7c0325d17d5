import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isUint8Array } from 'node:util/types';
import { isBoolean, isString, type OptionChecks, optionsProblem, refuse, shown } from '../arguments.ts';
import type { Address } from './address.ts';
import { disarm, NbdTlsError, NbdUsageError } from '../errors.ts';

/** How a connection is encrypted. Asked for, it is encrypted or an error: there is no way back to plain text. */
export type TlsOptions = X509Options | PskOptions;

/** X.509 certificates. The server's chain and name are verified. */
export interface X509Options {
  /** Tells it from the other kinds. */
  readonly type: 'x509';
  /** PEM. Default: the certificate authorities that Node trusts. */
  readonly ca?: string | Buffer | undefined;
  /** PEM; both or neither: for a server that wants to know its clients. */
  readonly cert?: string | Buffer | undefined;
  /** PEM; the key of `cert`. */
  readonly key?: string | Buffer | undefined;
  /** The name in the server's certificate. Default: the host; required for a unix socket. */
  readonly hostname?: string | undefined;
  /** false: accepts any certificate, and with it anybody in between. */
  readonly verifyPeer?: boolean | undefined;
}

/** A key that both sides know. */
export interface PskOptions {
  /** Tells it from the other kinds. */
  readonly type: 'psk';
  /** Tells the server which key it is. */
  readonly identity: string;
  /** The bytes of the key. */
  readonly key: Buffer;
}

/** What an NBD URI says about TLS; the files it names are read when connecting, if that is allowed. */
export interface TlsFiles {
  /** Tells it from the other kinds. */
  readonly type: 'files';
  /** Folder with ca-cert.pem, and client-cert.pem and client-key.pem if the server asks for them. */
  readonly certificates?: string | undefined;
  /** Lines of `identity:key in hexadecimal`. */
  readonly pskFile?: string | undefined;
  /** Which of the keys in `pskFile`; default: the first. */
  readonly identity?: string | undefined;
  /** As in `X509Options`. */
  readonly hostname?: string | undefined;
  /** As in `X509Options`. */
  readonly verifyPeer: boolean;
}

/** @throws NbdUsageError on what cannot be right, before anything is dialled */
export function checkTls(tls: TlsOptions, address: Address): void {
  if (tls.type === 'psk') {
    if (tls.key.length === 0 || tls.identity === '')
      throw new NbdUsageError('a PSK needs an identity and a key');
    return;
  }
  if ((tls.cert === undefined) !== (tls.key === undefined))
    throw new NbdUsageError('a client certificate and its key go together');
  if (tls.verifyPeer !== false && tls.hostname === undefined && 'path' in address)
    throw new NbdUsageError(
      'TLS over a unix socket needs tls-hostname: the name in the server’s certificate',
    );
}

const isOneOf =
  (...types: readonly string[]) =>
  (value: unknown): boolean =>
    types.includes(value as string);
const isPem = (value: unknown): boolean => isString(value) || isUint8Array(value);
const NAMED = { hostname: isString, verifyPeer: isBoolean };
const X509: OptionChecks = { type: isOneOf('x509'), ca: isPem, cert: isPem, key: isPem, ...NAMED };
const PSK: OptionChecks = { type: isOneOf('psk'), identity: isString, key: isUint8Array };
const FILES: OptionChecks = {
  type: isOneOf('files'),
  certificates: isString,
  pskFile: isString,
  identity: isString,
  ...NAMED,
};

/** @throws NbdUsageError for anything but one of the kinds, with the fields that it has */
export function checkTlsFields(tls: TlsOptions | TlsFiles): void {
  const { type } = tls;
  if (!isOneOf('x509', 'psk', 'files')(type))
    throw new NbdUsageError(`the type of tls is x509, psk or files, not ${shown(type)}`);
  refuse(optionsProblem(`tls of type ${type}`, tls, { x509: X509, psk: PSK, files: FILES }[type]));
  if (type === 'psk' && !(isString(tls.identity) && isUint8Array(tls.key)))
    throw new NbdUsageError('a PSK needs an identity and a key');
}

/** Reads the files that a URI names. @throws NbdTlsError if one cannot be read or has no such key */
export async function loadTlsFiles(files: TlsFiles): Promise<TlsOptions> {
  if (files.pskFile !== undefined) return loadPsk(files.pskFile, files.identity);
  const { certificates, hostname, verifyPeer } = files;
  const common = { type: 'x509', verifyPeer, ...(hostname !== undefined && { hostname }) } as const;
  if (certificates === undefined) return common;
  const ca = await readOrExplain(join(certificates, 'ca-cert.pem'));
  const cert = await readIfThere(join(certificates, 'client-cert.pem'));
  if (cert === undefined) return { ...common, ca };
  return { ...common, ca, cert, key: await readOrExplain(join(certificates, 'client-key.pem')) };
}

async function loadPsk(path: string, identity: string | undefined): Promise<PskOptions> {
  const lines = (await readOrExplain(path)).toString('utf8').split('\n');
  for (const line of lines) {
    const match = /^([^:]+):([0-9a-fA-F]+)\s*$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) continue;
    if (identity === undefined || match[1] === identity)
      return { type: 'psk', identity: match[1], key: Buffer.from(match[2], 'hex') };
  }
  throw new NbdTlsError(`${path} has no key${identity === undefined ? '' : ` of ${identity}`}`);
}

async function readOrExplain(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const cause = disarm(error as Error);
    throw new NbdTlsError(`cannot read ${path}: ${cause.message}`, { cause });
  }
}

/** @throws NbdTlsError if it is there and cannot be read */
async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readOrExplain(path);
  } catch (error) {
    const { cause } = error as NbdTlsError;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
