import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.ts';
import { commandPath } from './requirements.ts';

/**
 * Makes the folder `path` with a certificate authority of its own, a server (localhost, 127.0.0.1) and a
 * client, good for a day: ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem.
 */
export async function makeCertificates(path: string): Promise<string> {
  mkdirSync(path, { mode: 0o755 });
  const certtool = (...args: string[]): Promise<string> => run(commandPath('certtool'), args, { cwd: path });
  const template = (name: string, lines: readonly string[]): string => {
    writeFileSync(join(path, `${name}.info`), `${['expiration_days = 1', ...lines].join('\n')}\n`);
    return `${name}.info`;
  };
  const key = async (name: string): Promise<string> => {
    await certtool('--generate-privkey', '--bits', '2048', '--outfile', `${name}-key.pem`);
    return `${name}-key.pem`;
  };
  const ca = template('ca', ['cn = "test authority"', 'ca', 'cert_signing_key']);
  const ownKey = ['--load-privkey', await key('ca')];
  await certtool('--generate-self-signed', ...ownKey, '--template', ca, '--outfile', 'ca-cert.pem');
  const authority = ['--load-ca-certificate', 'ca-cert.pem', '--load-ca-privkey', 'ca-key.pem'];
  const signed = async (name: string, lines: readonly string[]): Promise<void> => {
    const request = ['--load-privkey', await key(name), '--template', template(name, lines)];
    await certtool('--generate-certificate', ...request, ...authority, '--outfile', `${name}-cert.pem`);
  };
  await signed('server', [
    'cn = "localhost"',
    'dns_name = "localhost"',
    'ip_address = "127.0.0.1"',
    'tls_www_server',
    'encryption_key',
    'signing_key',
  ]);
  await signed('client', ['cn = "client"', 'tls_www_client', 'encryption_key', 'signing_key']);
  return path;
}
