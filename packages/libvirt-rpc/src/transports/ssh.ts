import type { SshEndpoint } from '../uri/endpoint.ts';
import { startProgram } from './process-transport.ts';
import { sshArguments } from './ssh-arguments.ts';
import type { Receiver, Transport } from './transport.ts';

/**
 * Starts the system's ssh, with the user's configuration and agent. That the host is not reached, or has no
 * libvirt, shows only when the transport is used.
 */
export function dialSsh(endpoint: SshEndpoint, receiver: Receiver, signal: AbortSignal): Promise<Transport> {
  const program = {
    command: endpoint.program,
    args: sshArguments(endpoint),
    what: `ssh to ${endpoint.host}`,
    secure: endpoint.hostKeys === 'unchecked' ? 'unverified' : 'ssh',
    isUnattended: endpoint.isUnattended,
  } as const;
  return startProgram(program, receiver, signal);
}
