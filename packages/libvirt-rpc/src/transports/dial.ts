import type { Endpoint } from '../uri/endpoint.ts';
import { dialExt } from './ext.ts';
import { dialSsh } from './ssh.ts';
import { dialTcp } from './tcp.ts';
import { dialTls } from './tls.ts';
import type { Receiver, Transport } from './transport.ts';
import { dialUnix } from './unix.ts';

/**
 * Connects to where the daemon is. What runs as a program of its own may still fail once it is used.
 *
 * @throws LibvirtConnectError, LibvirtTlsError, or the signal's reason
 */
export function dial(endpoint: Endpoint, receiver: Receiver, signal: AbortSignal): Promise<Transport> {
  switch (endpoint.transport) {
    case 'unix':
      return dialUnix(endpoint, receiver, signal);
    case 'tcp':
      return dialTcp(endpoint, receiver, signal);
    case 'tls':
      return dialTls(endpoint, receiver, signal);
    case 'ssh':
      return dialSsh(endpoint, receiver, signal);
    case 'ext':
      return dialExt(endpoint, receiver, signal);
  }
}
