import type { Endpoint } from '../uri/endpoint.ts';
import { dialTcp } from './tcp.ts';
import type { Receiver, Transport } from './transport.ts';
import { dialUnix } from './unix.ts';

/**
 * Connects to where the daemon is. What runs as a program of its own may still fail once it is used.
 *
 * @throws LibvirtConnectError, LibvirtTlsError, or the signal's reason
 */
export async function dial(endpoint: Endpoint, receiver: Receiver, signal: AbortSignal): Promise<Transport> {
  switch (endpoint.transport) {
    case 'unix':
      return dialUnix(endpoint, receiver, signal);
    case 'tcp':
      return dialTcp(endpoint, receiver, signal);
    // What most programs never use is loaded only here: TLS alone takes longer to load than all the rest.
    case 'tls': {
      const { dialTls } = await import('./tls.ts');
      return dialTls(endpoint, receiver, signal);
    }
    case 'ssh': {
      const { dialSsh } = await import('./ssh.ts');
      return dialSsh(endpoint, receiver, signal);
    }
    case 'ext': {
      const { dialExt } = await import('./ext.ts');
      return dialExt(endpoint, receiver, signal);
    }
  }
}
