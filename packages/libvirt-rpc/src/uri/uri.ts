import { LibvirtUsageError } from '../errors.ts';
import { sanitize } from '../sanitize.ts';
import { type Parameter, parseParameters } from './parameters.ts';

/** The transports that a URI may name; libssh and libssh2 are ssh by other libraries. */
const TRANSPORTS = ['unix', 'tcp', 'tls', 'ssh', 'libssh', 'libssh2', 'ext'] as const;

export type UriTransport = (typeof TRANSPORTS)[number];

/** A connection URI taken apart: `driver[+transport]://[user@][host][:port]/path[?parameters]`. */
export interface LibvirtUri {
  readonly driver: string;
  readonly transport: UriTransport;
  readonly user: string | undefined;
  /** Without the brackets of an IPv6 address. */
  readonly host: string | undefined;
  readonly port: number | undefined;
  /** As it was written. */
  readonly path: string;
  readonly parameters: readonly Parameter[];
  /** For messages. */
  readonly shown: string;
}

const URI = /^([a-z][a-z0-9.-]*)(?:\+([a-z0-9]+))?:(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?$/i;
const AUTHORITY = /^(?:([^@]*)@)?(?:\[([^\]]*)\]|([^:@[\]]*))(?::(\d*))?$/;

/** Letters of any script may stand in names; what a shell or an option parser takes for something else may not. */
const HOST_NAME = /^[\p{L}\p{N}_][\p{L}\p{N}._-]*$/u;
const IPV6 = /^[0-9a-f:.]*:[0-9a-f:.]*(?:%[\w.-]+)?$/i;
/** What ssh itself refuses in the name of a user, because it may end in a shell. */
const BAD_USER = /^-|\\$|[\s'"`$;&<>|(){}\p{Cc}]/u;

/** Drivers for which `driver://system` is the slip of a slash and never a host. */
const WITH_SYSTEM_AND_SESSION: readonly string[] = ['qemu', 'vbox', 'vz'];

/**
 * Takes a URI apart, and refuses what libvirt or a shell behind ssh could take for something else.
 *
 * @throws LibvirtUsageError
 */
export function parseUri(text: string): LibvirtUri {
  const shown = sanitize(JSON.stringify(text));
  const [, driver = '', named, authority = '', path = '', query = ''] = URI.exec(text) ?? [];
  if (driver === '')
    throw new LibvirtUsageError(`${shown} is not a libvirt URI; an example is qemu:///system`);
  const { user, host, port } = parseAuthority(authority, shown);
  if (WITH_SYSTEM_AND_SESSION.includes(driver) && /^(?:system|session)$/.test(host ?? '') && path.length < 2)
    throw new LibvirtUsageError(`${shown} lacks a slash: ${driver}:///${host ?? ''}`);
  const transport = chooseTransport(named, host, shown);
  return { driver, transport, user, host, port, path, parameters: parseParameters(query, shown), shown };
}

function chooseTransport(named: string | undefined, host: string | undefined, shown: string): UriTransport {
  if (named === undefined) return host === undefined ? 'unix' : 'tls';
  const transport = TRANSPORTS.find((known) => known === named.toLowerCase());
  if (transport === undefined)
    throw new LibvirtUsageError(
      `${shown}: the transport ${sanitize(named)} is none of ${TRANSPORTS.join(', ')}`,
    );
  if (transport === 'unix' && host !== undefined)
    throw new LibvirtUsageError(`${shown}: a unix socket has no host; +ssh, +tls and +tcp reach another one`);
  return transport;
}

function parseAuthority(text: string, shown: string): Pick<LibvirtUri, 'user' | 'host' | 'port'> {
  if (text === '') return { user: undefined, host: undefined, port: undefined };
  const match = AUTHORITY.exec(text);
  if (match === null) throw new LibvirtUsageError(`${shown}: ${sanitize(text)} is not [user@]host[:port]`);
  const [, user, ipv6, name = '', port] = match;
  return {
    user: user === undefined || user === '' ? undefined : checkedUser(user, shown),
    host: ipv6 === undefined ? checkedName(name, shown) : checkedIpv6(ipv6, shown),
    port: port === undefined || port === '' ? undefined : checkedPort(port, shown),
  };
}

function checkedUser(encoded: string, shown: string): string {
  if (encoded.includes(':'))
    // Not shown: it may be a password.
    throw new LibvirtUsageError('a libvirt URI holds no password: give the user alone');
  let user: string;
  try {
    user = decodeURIComponent(encoded);
  } catch (cause) {
    throw new LibvirtUsageError(`${shown}: the user is not percent-encoded`, { cause });
  }
  if (BAD_USER.test(user))
    throw new LibvirtUsageError(`${shown}: the user has a character that a shell may take for its own`);
  return user;
}

function checkedName(name: string, shown: string): string | undefined {
  if (name === '') return undefined;
  if (!HOST_NAME.test(name)) throw new LibvirtUsageError(`${shown}: ${sanitize(name)} is not a host`);
  return name;
}

function checkedIpv6(address: string, shown: string): string {
  const decoded = address.replace('%25', '%'); // a zone, as RFC 6874 writes it
  if (!IPV6.test(decoded))
    throw new LibvirtUsageError(`${shown}: ${sanitize(address)} is not an IPv6 address`);
  return decoded;
}

function checkedPort(text: string, shown: string): number {
  const port = Number(text);
  if (port < 1 || port > 65_535)
    throw new LibvirtUsageError(`${shown}: ${text} is not a port from 1 to 65535`);
  return port;
}
