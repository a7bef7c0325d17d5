import { LibvirtUsageError } from './errors.ts';
import { sanitize } from './sanitize.ts';

/** What the location of a daemon's socket depends on besides the URI. */
export interface UriEnvironment {
  /** Root has no session daemon: it gets the system's. */
  readonly isRoot: boolean;
  /** `XDG_RUNTIME_DIR`, if set. */
  readonly runtimeDir: string | undefined;
  readonly home: string;
}

/** Where a URI leads. */
export interface Target {
  /** What the daemon is asked to open, such as `qemu:///system`. */
  readonly remoteName: string;
  /** Sockets to try, in this order. */
  readonly socketPaths: readonly string[];
  /** How to authenticate: `polkit`, `sasl` or `sasl.MECHANISM`. */
  readonly auth: string | undefined;
  readonly authFile: string | undefined;
}

/** Parameters for the client; all others are part of the name that the daemon gets. */
const CLIENT_PARAMETERS: readonly string[] = [
  'name',
  'socket',
  'mode',
  'auth',
  'authfile',
  'command',
  'keyfile',
  'known_hosts',
  'known_hosts_verify',
  'netcat',
  'no_sanity',
  'no_tty',
  'no_verify',
  'pkipath',
  'proxy',
  'sshauth',
  'tls_priority',
];

/** Drivers that have no daemon of their own. */
const WITHOUT_DAEMON: readonly string[] = ['test', 'remote'];

const SUPPORTED =
  'supported for now: unix sockets, as in qemu:///system or qemu+unix:///session?socket=/path';

/**
 * Takes a connection URI apart: `driver[+transport]://[host]/path[?parameters]`.
 *
 * @throws LibvirtUsageError if it is not one, or its transport is not supported
 */
export function parseUri(uri: string, readOnly: boolean, environment: UriEnvironment): Target {
  const [, driver = '', transport = 'unix', authority = '', path = '', query = ''] =
    /^([a-z][a-z0-9.-]*)(?:\+([a-z0-9]+))?:(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?$/i.exec(uri) ?? [];
  const shown = sanitize(JSON.stringify(uri));
  if (driver === '')
    throw new LibvirtUsageError(`${shown} is not a libvirt URI; an example is qemu:///system`);
  if (transport.toLowerCase() !== 'unix')
    throw new LibvirtUsageError(
      `${shown}: the transport ${sanitize(transport)} is not supported yet; ${SUPPORTED}`,
    );
  if (authority !== '')
    throw new LibvirtUsageError(`${shown}: a host means TLS, which is not supported yet; ${SUPPORTED}`);
  const parameters = parseParameters(query, shown);
  const socketPaths = findSockets(driver, path, parameters, readOnly, environment, shown);
  const remoteName = parameters.get('name') ?? defaultName(driver, path, query);
  return {
    remoteName,
    socketPaths,
    auth: parameters.get('auth'),
    authFile: parameters.get('authfile'),
  };
}

/** The host that a URI names, without brackets; `localhost` if it names none. */
export function uriHost(uri: string): string {
  const [, literal, name] = /^[^:]*:\/\/(?:[^/?#@]*@)?(?:\[([^\]/]*)\]|([^/?#:]+))/.exec(uri) ?? [];
  return literal ?? name ?? 'localhost';
}

/** By lower-case name, values decoded. */
function parseParameters(query: string, shown: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const part of query.split(/[&;]/).filter((text) => text !== '')) {
    const [name, value] = splitOnce(part);
    try {
      parameters.set(parameterName(part), decodeURIComponent(value));
    } catch (cause) {
      throw new LibvirtUsageError(`${shown}: the value of ${sanitize(name)} is not percent-encoded`, {
        cause,
      });
    }
  }
  return parameters;
}

function splitOnce(part: string): [string, string] {
  const at = part.indexOf('=');
  return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
}

function parameterName(part: string): string {
  return splitOnce(part)[0].toLowerCase();
}

function defaultName(driver: string, path: string, query: string): string {
  if (driver.toLowerCase() === 'remote') return '';
  const rest = query
    .split(/[&;]/)
    .filter((part) => part !== '' && !CLIENT_PARAMETERS.includes(parameterName(part)));
  return `${driver}://${path}${rest.length > 0 ? `?${rest.join('&')}` : ''}`;
}

function findSockets(
  driver: string,
  path: string,
  parameters: ReadonlyMap<string, string>,
  readOnly: boolean,
  environment: UriEnvironment,
  shown: string,
): readonly string[] {
  const socket = parameters.get('socket');
  if (socket !== undefined) {
    if (!socket.startsWith('/')) throw new LibvirtUsageError(`${shown}: socket is not an absolute path`);
    return [socket];
  }
  const mode = parameters.get('mode') ?? 'auto';
  if (!['auto', 'direct', 'legacy'].includes(mode))
    throw new LibvirtUsageError(`${shown}: mode is none of auto, direct and legacy`);
  const isSession = !environment.isRoot && (path === '/session' || driver.toLowerCase() === 'test');
  const folder = isSession ? sessionFolder(environment) : '/var/run/libvirt';
  // Only the sockets of a system daemon come in a read-only kind.
  const suffix = readOnly && !isSession ? '-sock-ro' : '-sock';
  const daemons = [
    ...(mode === 'legacy' || WITHOUT_DAEMON.includes(driver.toLowerCase())
      ? []
      : [`virt${driver.toLowerCase()}d`]),
    ...(mode === 'direct' ? [] : ['libvirt']),
  ];
  return daemons.map((daemon) => `${folder}/${daemon}${suffix}`);
}

function sessionFolder({ runtimeDir, home }: UriEnvironment): string {
  return runtimeDir === undefined || runtimeDir === '' ? `${home}/.cache/libvirt` : `${runtimeDir}/libvirt`;
}
