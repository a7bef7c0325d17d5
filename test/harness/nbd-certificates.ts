import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeAuthority } from './certificates.ts';

/**
 * Makes the folder `path` with a certificate authority of its own, a server (localhost, 127.0.0.1) and a
 * client, good for a day: ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem.
 */
export async function makeCertificates(path: string): Promise<string> {
  mkdirSync(path, { mode: 0o755 });
  const authority = await makeAuthority(join(path, 'authority'));
  const server = await authority.issue('server', {
    commonName: 'localhost',
    usage: 'server',
    dnsNames: ['localhost'],
    ipAddresses: ['127.0.0.1'],
  });
  const client = await authority.issue('client', { commonName: 'client', usage: 'client' });
  copyFileSync(authority.certificate, join(path, 'ca-cert.pem'));
  for (const [name, { certificate, key }] of Object.entries({ server, client })) {
    copyFileSync(certificate, join(path, `${name}-cert.pem`));
    copyFileSync(key, join(path, `${name}-key.pem`));
  }
  return path;
}
