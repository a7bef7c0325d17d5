import type { Address } from './address.ts';
import { checkEndpoint, type Endpoint } from './endpoint.ts';
import { isString, shown } from '../arguments.ts';
import { NbdUsageError } from '../errors.ts';
import type { TlsFiles } from './tls-options.ts';

const SCHEMES = ['nbd', 'nbds', 'nbd+unix', 'nbds+unix'] as const;
const TLS_PARAMETERS = [
  'tls-type',
  'tls-hostname',
  'tls-verify-peer',
  'tls-certificates',
  'tls-psk-file',
] as const;
/** Spaces, line breaks, and what a terminal or an editor obeys instead of showing it. */
const NOT_IN_A_URI = /[\p{Z}\p{Cc}\p{Cf}\p{Cs}]/u;
/** scheme "://" authority path "?" query "#" fragment: RFC 3986, appendix B. */
const URI = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/is;
const AUTHORITY = /^(?:([^@]*)@)?(\[[^\]]*\]|[^:[\]]*)(?::([0-9]*))?$/;
/** Roughly: what dials it knows better. The zone is behind %25, RFC 6874. */
const IPV6 = /^[0-9a-f.]*:[0-9a-f:.]*(?:%[^%]+)?$/i;

interface Parts {
  readonly uri: string;
  readonly authority: string;
  readonly path: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Parses an NBD URI: doc/uri.md of NetworkBlockDevice/nbd.
 *
 * By hand and not with `URL`, which collapses `/../` in an export name and turns `+` in a socket path into a
 * space. The export is the path without its first slash, percent-decoded.
 *
 * @throws NbdUsageError that names what is wrong; unknown query parameters are an error
 */
export function parseNbdUri(uri: string): Endpoint {
  if (!isString(uri)) throw new NbdUsageError(`an NBD URI is a string, not ${shown(uri)}`);
  const raw = NOT_IN_A_URI.exec(uri)?.[0];
  if (raw !== undefined) {
    const code = (raw.codePointAt(0) ?? 0).toString(16);
    throw fail(
      uri,
      `it has a raw space or control character (U+${code.padStart(4, '0')}): percent-encode it`,
    );
  }
  const match = URI.exec(uri);
  if (match === null)
    throw fail(uri, 'it does not have the form scheme://[host[:port]]/[export][?socket=PATH]');
  const [, scheme = '', authority = '', path = '', query, fragment] = match;
  if (fragment !== undefined) throw fail(uri, 'it has a fragment; write %23 for # in a name');
  const parts = { uri, authority, path, parameters: parseQuery(uri, query) };
  const kind = scheme.toLowerCase();
  checkParameters(kind, parts);
  const tls = kind.startsWith('nbds') ? parseTls(parts) : undefined;
  const endpoint = {
    address: parseAddress(kind, parts),
    exportName: parseExport(parts),
    ...(tls && { tls }),
  };
  checkEndpoint(endpoint);
  return endpoint;
}

function parseAddress(scheme: string, parts: Parts): Address {
  const { uri, parameters } = parts;
  const socket = parameters.get('socket');
  switch (scheme) {
    case 'nbd':
    case 'nbds':
      if (socket !== undefined) throw fail(uri, 'socket= goes with nbd+unix and nbds+unix');
      return parseHost(parts);
    case 'nbd+unix':
    case 'nbds+unix':
      if (parts.authority.replace(scheme === 'nbds+unix' ? /^[^@]*@$/ : '', '') !== '')
        throw fail(uri, 'a unix socket takes no host');
      if (socket === undefined) throw fail(uri, 'a unix socket needs ?socket=PATH');
      return { path: socket };
    default:
      throw fail(uri, `the scheme ${scheme} is not one of ${SCHEMES.join(', ')}`);
  }
}

function checkParameters(kind: string, { uri, parameters }: Parts): void {
  const known: readonly string[] = kind.startsWith('nbds') ? ['socket', ...TLS_PARAMETERS] : ['socket'];
  for (const name of parameters.keys())
    if (!known.includes(name)) throw fail(uri, `the query parameter ${JSON.stringify(name)} is unknown`);
}

/** The `tls-…` parameters; the files they name are not read here. */
function parseTls({ uri, authority, parameters }: Parts): TlsFiles {
  const [hostname, certificates, pskFile] = ['tls-hostname', 'tls-certificates', 'tls-psk-file'].map((name) =>
    parameters.get(name),
  );
  const type = parameters.get('tls-type') ?? (pskFile === undefined ? 'x509' : 'psk');
  if (type !== 'x509' && type !== 'psk')
    throw fail(uri, `tls-type is x509 or psk, not ${JSON.stringify(type)}`);
  if ((type === 'psk') !== (pskFile !== undefined))
    throw fail(uri, 'tls-type=psk and tls-psk-file go together');
  const user = AUTHORITY.exec(authority)?.[1];
  return {
    type: 'files',
    verifyPeer: parseBoolean(uri, parameters.get('tls-verify-peer') ?? '1'),
    ...(hostname !== undefined && { hostname }),
    ...(certificates !== undefined && { certificates }),
    ...(pskFile !== undefined && { pskFile }),
    ...(user !== undefined && { identity: decode(uri, user) }),
  };
}

function parseBoolean(uri: string, text: string): boolean {
  if (['1', 'true', 'yes', 'on'].includes(text)) return true;
  if (['0', 'false', 'no', 'off'].includes(text)) return false;
  throw fail(uri, `tls-verify-peer is 0 or 1, not ${JSON.stringify(text)}`);
}

function parseHost({ uri, authority }: Parts): Address {
  const match = AUTHORITY.exec(authority);
  if (match === null) throw fail(uri, `the authority ${JSON.stringify(authority)} is not [host][:port]`);
  const [, user, host = '', port] = match;
  if (user !== undefined && !/^nbds/i.test(uri)) throw fail(uri, 'a user name is only used with TLS');
  const name = decode(uri, host.startsWith('[') ? host.slice(1, -1) : host);
  if (host.startsWith('[') && !IPV6.test(name))
    throw fail(uri, `${JSON.stringify(host)} is not an IPv6 address in brackets`);
  return {
    host: name === '' ? 'localhost' : name,
    ...(port === undefined || port === '' ? {} : { port: Number(port) }),
  };
}

function parseExport({ uri, path }: Parts): string {
  return decode(uri, path.startsWith('/') ? path.slice(1) : path);
}

function parseQuery(uri: string, query: string | undefined): Map<string, string> {
  const parameters = new Map<string, string>();
  if (query === undefined || query === '') return parameters;
  for (const part of query.split('&')) {
    const [name = '', ...value] = part.split('=');
    const key = decode(uri, name).toLowerCase();
    if (parameters.has(key)) throw fail(uri, `the query parameter ${JSON.stringify(key)} is there twice`);
    parameters.set(key, decode(uri, value.join('=')));
  }
  return parameters;
}

function decode(uri: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw fail(uri, `${JSON.stringify(text)} is not valid percent-encoding of UTF-8`);
  }
}

function fail(uri: string, why: string): NbdUsageError {
  return new NbdUsageError(`not a usable NBD URI: ${JSON.stringify(uri)}: ${why}`);
}
