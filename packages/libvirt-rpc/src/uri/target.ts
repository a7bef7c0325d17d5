import type { Endpoint, UnixEndpoint } from './endpoint.ts';
import { ParameterReader } from './parameters.ts';
import { sshEndpoint } from './ssh-endpoint.ts';
import type { LibvirtConf } from './libvirt-conf.ts';
import { LEGACY_DAEMON, socketPaths, type SocketEnvironment } from './socket-paths.ts';
import type { LibvirtUri } from './uri.ts';
import { type ConnectWarning, warning } from './warning.ts';

/** What the location of a daemon depends on besides the URI. */
export interface TargetEnvironment extends SocketEnvironment {
  readonly conf: LibvirtConf;
}

/** Where a URI leads. */
export interface Target {
  /** What the daemon is asked to open, such as `qemu:///system`. */
  readonly remoteName: string;
  readonly endpoint: Endpoint;
  /** What the choice of credentials goes by. */
  readonly account: Account;
  readonly warnings: readonly ConnectWarning[];
}

export interface Account {
  readonly host: string;
  readonly user: string | undefined;
  /** `authfile`: a file with credentials. */
  readonly authFile: string | undefined;
  /** `auth`: the way to authenticate that the caller wants. */
  readonly auth: string | undefined;
}

const TCP_PORT = 16_509;
const TLS_PORT = 16_514;

const EVERYWHERE = ['unix', 'tcp', 'tls', 'ssh', 'ext'] as const;

/** Parameters for the client, and the transports that use them. All others are part of the name for the daemon. */
const CLIENT_PARAMETERS: Readonly<Record<string, readonly Endpoint['transport'][]>> = {
  name: EVERYWHERE,
  auth: EVERYWHERE,
  authfile: EVERYWHERE,
  socket: ['unix', 'ssh'],
  mode: ['unix', 'ssh'],
  command: ['ssh', 'ext'],
  keyfile: ['ssh'],
  known_hosts: ['ssh'],
  known_hosts_verify: ['ssh'],
  netcat: ['ssh'],
  no_tty: ['ssh'],
  proxy: ['ssh'],
  sshauth: ['ssh'],
  no_verify: ['tls', 'ssh'],
  no_sanity: ['tls'],
  pkipath: ['tls'],
  tls_priority: ['tls'],
};

/**
 * Finds out where a URI leads.
 *
 * @throws LibvirtUsageError if a parameter's value makes no sense
 */
export function targetOf(uri: LibvirtUri, readOnly: boolean, environment: TargetEnvironment): Target {
  const parameters = new ParameterReader(uri.parameters, uri.shown);
  const remoteName = parameters.text('name') ?? daemonName(uri, []);
  const endpoint = endpointOf(uri, parameters, readOnly, environment);
  return {
    remoteName,
    endpoint,
    account: {
      host: uri.host ?? 'localhost',
      user: uri.user,
      authFile: parameters.nonEmpty('authfile'),
      auth: parameters.nonEmpty('auth'),
    },
    warnings: [...parameterWarnings(uri, endpoint), ...endpointWarnings(endpoint, environment)],
  };
}

function endpointOf(
  uri: LibvirtUri,
  parameters: ParameterReader,
  readOnly: boolean,
  environment: TargetEnvironment,
): Endpoint {
  const host = uri.host ?? 'localhost';
  switch (uri.transport) {
    case 'unix':
      return unixEndpoint(uri, parameters, readOnly, environment);
    case 'tcp':
      return { transport: 'tcp', host, port: uri.port ?? TCP_PORT };
    case 'tls': {
      if (parameters.text('tls_priority') !== undefined)
        parameters.fail('tls_priority is in the language of GnuTLS, which Node does not speak');
      const folder = parameters.nonEmpty('pkipath');
      return {
        transport: 'tls',
        host,
        port: uri.port ?? TLS_PORT,
        verifies: !parameters.flag('no_verify'),
        checksOwn: !parameters.flag('no_sanity'),
        pki: folder === undefined ? usualPki(environment) : { kind: 'folder', path: folder },
      };
    }
    case 'ext':
      return {
        transport: 'ext',
        command: parameters.nonEmpty('command') ?? parameters.fail('ext needs a command to run'),
      };
    default: {
      const name = parameters.text('name') ?? helperName(uri);
      return sshEndpoint(uri, parameters, { name, readOnly, conf: environment.conf });
    }
  }
}

function usualPki({ isRoot, home }: TargetEnvironment): { kind: 'system' } | { kind: 'user'; home: string } {
  return isRoot ? { kind: 'system' } : { kind: 'user', home };
}

function unixEndpoint(
  uri: LibvirtUri,
  parameters: ParameterReader,
  readOnly: boolean,
  environment: TargetEnvironment,
): UnixEndpoint {
  const socket = parameters.absolutePath('socket');
  const given = parameters.choice('mode', ['auto', 'direct', 'legacy']);
  const mode = given ?? environment.conf.choice('remote_mode', ['auto', 'direct', 'legacy']) ?? 'auto';
  const paths = socket === undefined ? socketPaths(uri, mode, readOnly, environment) : [socket];
  if (paths.length === 0)
    parameters.fail(`there is no daemon for ${uri.driver} alone, which mode=direct wants`);
  return { transport: 'unix', paths };
}

/** What the daemon is asked for: the URI without transport and host, and without what only the client needs. */
function daemonName({ driver, path, parameters }: LibvirtUri, kept: readonly string[]): string {
  if (driver.toLowerCase() === 'remote') return '';
  const rest = parameters
    .filter(({ name }) => !Object.hasOwn(CLIENT_PARAMETERS, name) || kept.includes(name))
    .map(({ raw }) => raw);
  return `${driver}://${path}${rest.length > 0 ? `?${rest.join('&')}` : ''}`;
}

/** The same for the program that looks for the socket on the other side. */
function helperName(uri: LibvirtUri): string {
  const name = daemonName(uri, ['mode', 'socket']);
  return name === '' ? `${LEGACY_DAEMON}:///` : name;
}

function parameterWarnings({ parameters }: LibvirtUri, { transport }: Endpoint): ConnectWarning[] {
  return parameters.flatMap(({ name }) => {
    if (!Object.hasOwn(CLIENT_PARAMETERS, name))
      return [warning('LIBVIRT_URI_PARAMETER', `${name} is not known here: it is passed on to the daemon`)];
    if (CLIENT_PARAMETERS[name]?.includes(transport) === true) return [];
    return [warning('LIBVIRT_URI_PARAMETER', `${name} has no effect with the transport ${transport}`)];
  });
}

function endpointWarnings(endpoint: Endpoint, { conf }: TargetEnvironment): ConnectWarning[] {
  if (endpoint.transport === 'tcp')
    return [
      warning(
        'LIBVIRT_CLEARTEXT',
        `the connection to ${endpoint.host} is plain TCP: everybody on the way can read and change what is said`,
      ),
    ];
  if (endpoint.transport === 'ssh' && endpoint.hostKeys === 'unchecked')
    return [warning('LIBVIRT_UNVERIFIED', `the key of the host ${endpoint.host} is not checked`)];
  if (endpoint.transport !== 'tls') return [];
  return [
    ...(endpoint.verifies
      ? []
      : [warning('LIBVIRT_UNVERIFIED', `the certificate of ${endpoint.host} is not checked`)]),
    ...(conf.text('tls_priority') === undefined
      ? []
      : [warning('LIBVIRT_CONF', 'tls_priority of libvirt.conf is for GnuTLS and not heeded')]),
  ];
}
