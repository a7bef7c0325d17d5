import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.ts';
import { commandPath } from './requirements.ts';
import { giveTo, type User } from './user.ts';

export interface CertificateSpec {
  readonly commonName: string;
  readonly usage: 'server' | 'client';
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** Its time has passed. */
  readonly hasExpired?: boolean;
}

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate authority of a test. */
export interface Authority {
  readonly certificate: string;
  issue(name: string, spec: CertificateSpec): Promise<CertificateFiles>;
  /** A list that revokes these certificates, and none if there are none. */
  revoke(name: string, certificates: readonly string[]): Promise<string>;
}

/** Makes an authority with certtool; all its files are in `folder`, which it makes. */
export async function makeAuthority(folder: string): Promise<Authority> {
  mkdirSync(folder, { mode: 0o755 });
  const certtool = (...args: string[]): Promise<string> =>
    run(commandPath('certtool'), args, { cwd: folder });
  const template = (name: string, lines: readonly string[]): string => {
    const path = join(folder, `${name}.info`);
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  };
  const newKey = async (name: string): Promise<string> => {
    const path = join(folder, `${name}.key`);
    // libvirtd 9.0 wants keys that can encipher keys, so no elliptic curves.
    await certtool('--generate-privkey', '--key-type', 'rsa', '--bits', '2048', '--outfile', path);
    return path;
  };
  const certificate = join(folder, 'ca.pem');
  const key = await newKey('ca');
  const lines = ['cn = "authority"', 'ca', 'cert_signing_key', 'crl_signing_key', 'expiration_days = 1'];
  const self = ['--generate-self-signed', '--template', template('ca', lines)];
  await certtool(...self, '--load-privkey', key, '--outfile', certificate);
  const issuer = ['--load-ca-certificate', certificate, '--load-ca-privkey', key];
  return {
    certificate,
    async issue(name, spec) {
      const files = { certificate: join(folder, `${name}.pem`), key: await newKey(name) };
      const info = template(name, linesOf(spec));
      const args = ['--generate-certificate', '--load-privkey', files.key, '--template', info, ...issuer];
      await certtool(...args, '--outfile', files.certificate);
      return files;
    },
    async revoke(name, certificates) {
      const path = join(folder, `${name}.crl`);
      const revoked = certificates.flatMap((revokee) => ['--load-certificate', revokee]);
      const info = template(`${name}-crl`, ['crl_next_update = 1', 'crl_number = 1']);
      await certtool('--generate-crl', ...issuer, ...revoked, '--template', info, '--outfile', path);
      return path;
    },
  };
}

function linesOf({ commonName, usage, dnsNames, ipAddresses, hasExpired }: CertificateSpec): string[] {
  return [
    `cn = "${commonName}"`,
    `tls_www_${usage}`,
    'signing_key',
    'encryption_key',
    ...(dnsNames ?? []).map((name) => `dns_name = "${name}"`),
    ...(ipAddresses ?? []).map((address) => `ip_address = "${address}"`),
    ...(hasExpired === true
      ? ['activation_date = "2020-01-01 00:00:00"', 'expiration_date = "2020-01-02 00:00:00"']
      : ['expiration_days = 1']),
  ];
}

/** What may lie in a folder that libvirt looks for certificates in. */
export interface PkiFiles {
  readonly ca?: string;
  readonly crl?: string;
  readonly client?: CertificateFiles;
  readonly server?: CertificateFiles;
}

/** Makes such a folder, with libvirt's names, for `user`. */
export function makePkiFolder(folder: string, { ca, crl, client, server }: PkiFiles, user?: User): string {
  mkdirSync(folder, { recursive: true });
  const place = (from: string | undefined, name: string): void => {
    if (from === undefined) return;
    const path = join(folder, name);
    copyFileSync(from, path);
    if (user !== undefined) giveTo(user, path);
  };
  place(ca, 'cacert.pem');
  place(crl, 'cacrl.pem');
  place(client?.certificate, 'clientcert.pem');
  place(client?.key, 'clientkey.pem');
  place(server?.certificate, 'servercert.pem');
  place(server?.key, 'serverkey.pem');
  return folder;
}
