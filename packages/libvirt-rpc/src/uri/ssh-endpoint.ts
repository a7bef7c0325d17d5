import { SSH_METHODS, type SshEndpoint, type SshMethod, type SshProxy } from './endpoint.ts';
import type { LibvirtConf } from './libvirt-conf.ts';
import type { ParameterReader } from './parameters.ts';
import { systemSocket } from './socket-paths.ts';
import type { LibvirtUri } from './uri.ts';

const PROXIES = ['auto', 'native', 'netcat'] as const;

interface Wanted {
  /** What virt-ssh-helper is asked for. */
  readonly name: string;
  readonly readOnly: boolean;
  readonly conf: LibvirtConf;
}

/** What a URI with ssh, libssh or libssh2 asks of the system's ssh. */
export function sshEndpoint(uri: LibvirtUri, parameters: ParameterReader, wanted: Wanted): SshEndpoint {
  return {
    transport: 'ssh',
    program: parameters.nonEmpty('command') ?? 'ssh',
    host: uri.host ?? 'localhost',
    port: uri.port,
    user: uri.user,
    keyFile: parameters.nonEmpty('keyfile'),
    knownHostsFile: knownHosts(parameters),
    hostKeys: hostKeys(parameters),
    methods: methods(parameters),
    isUnattended: parameters.flag('no_tty'),
    proxy: chooseProxy(uri, parameters, wanted),
    readOnly: wanted.readOnly,
  };
}

function knownHosts(parameters: ParameterReader): string | undefined {
  const path = parameters.nonEmpty('known_hosts');
  // It is quoted for ssh, whose quotes have no way to hold one of their own.
  if (path?.includes('"') === true) parameters.fail('known_hosts has a quotation mark');
  return path;
}

function hostKeys(parameters: ParameterReader): SshEndpoint['hostKeys'] {
  switch (parameters.choice('known_hosts_verify', ['normal', 'auto', 'ignore'])) {
    case 'normal':
      return 'known';
    case 'auto':
      return 'accept-new';
    case 'ignore':
      return 'unchecked';
    case undefined:
      return parameters.flag('no_verify') ? 'unchecked' : undefined;
  }
}

function methods(parameters: ParameterReader): readonly SshMethod[] | undefined {
  const given = parameters.text('sshauth');
  if (given === undefined) return undefined;
  return given.split(',').map((text) => {
    const method = SSH_METHODS.find((known) => known === text.trim().toLowerCase());
    return method ?? parameters.fail(`sshauth is none of ${SSH_METHODS.join(', ')}`);
  });
}

function chooseProxy(uri: LibvirtUri, parameters: ParameterReader, wanted: Wanted): SshProxy {
  const socket = parameters.absolutePath('socket');
  const netcat = parameters.nonEmpty('netcat');
  if (socket === undefined && parameters.choice('mode', ['auto', 'direct', 'legacy']) === 'direct')
    parameters.fail('mode=direct reaches only a local daemon');
  // The path of a session's socket is known on its own host alone, and the system's socket is another daemon.
  const isSession = socket === undefined && uri.path === '/session';
  const program = netcat ?? 'nc';
  const both = { program, socket: socket ?? systemSocket(wanted.readOnly), uri: wanted.name };
  const given = parameters.choice('proxy', PROXIES) ?? wanted.conf.choice('remote_proxy', PROXIES);
  switch (given ?? (socket === undefined ? 'auto' : 'netcat')) {
    case 'native':
      if (netcat !== undefined) parameters.fail('netcat has no place beside proxy=native');
      return { kind: 'native', uri: both.uri };
    case 'netcat':
      if (isSession) parameters.fail('netcat cannot find the socket of a session: give socket=/path');
      return { kind: 'netcat', program, socket: both.socket };
    case 'auto':
      if (netcat !== undefined) return { kind: 'netcat', program, socket: both.socket };
      return isSession ? { kind: 'native', uri: both.uri } : { kind: 'auto', ...both };
  }
}
