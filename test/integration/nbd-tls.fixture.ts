import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TlsOptions } from 'nbd-ts-client';
import {
  addBitmap,
  commandPath,
  createImage,
  giveTo,
  imageIo,
  makeCertificates,
  makePresharedKeys,
  makeTemporaryFolder,
  type NbdServer,
  type NbdTransport,
  run,
  startNbdkit,
  startQemuNbd,
  startReferenceServer,
  type TemporaryFolder,
  unprivilegedUser,
} from '../harness/index.ts';
import { MIB } from './nbd-checks.fixture.ts';

/** The commands that the tests of TLS need. */
export const TLS_COMMANDS = [
  'qemu-nbd',
  'qemu-img',
  'qemu-io',
  'nbdkit',
  'nbd-server',
  'certtool',
  'psktool',
] as const;

/** The servers that speak TLS; nbd-server knows no pre-shared keys. */
export const X509_SERVERS = ['qemu-nbd', 'nbdkit', 'nbd-server'] as const;
export const PSK_SERVERS = ['qemu-nbd', 'nbdkit'] as const;
export type TlsServerName = (typeof X509_SERVERS)[number];

/** What a server asks of its clients: certificates of its own authority, or a key both know. */
export type TlsKind = 'x509' | 'psk';

/** Certificates, keys and an image, and servers that use them. */
export interface TlsBench {
  /** Folders with an authority, a server and a client each; the servers use the first. */
  readonly certificates: string;
  readonly strangers: string;
  /** Only the servers' authority. */
  readonly authorityOnly: string;
  readonly keyFile: string;
  /** What every server's export holds. */
  readonly content: Buffer;
  /** A server of the export `vda` that takes nobody without TLS. */
  start(name: TlsServerName, kind: TlsKind, transport?: NbdTransport): Promise<NbdServer>;
  /** The same without TLS. */
  startPlain(name: TlsServerName): Promise<NbdServer>;
  /** The key of one user of the key file. */
  keyOf(user: string): TlsOptions;
  remove(): void;
}

export async function makeTlsBench(): Promise<TlsBench> {
  const folder = makeTemporaryFolder('tls');
  const certificates = await makeCertificates(join(folder.path, 'pki'));
  const strangers = await makeCertificates(join(folder.path, 'strangers'));
  giveTo(unprivilegedUser(), join(certificates, 'server-key.pem')); // nbd-server runs as that user
  const authorityOnly = join(folder.path, 'authority');
  mkdirSync(authorityOnly);
  writeFileSync(join(authorityOnly, 'ca-cert.pem'), readFileSync(join(certificates, 'ca-cert.pem')));
  const keyFile = await makePresharedKeys(join(folder.path, 'psk'), 'alice', 'bob');
  // Without this file QEMU computes such parameters whenever it starts, which takes seconds.
  for (const path of [certificates, dirname(keyFile)]) {
    const group = ['--get-dh-params', '--sec-param', 'medium', '--outfile', 'dh-params.pem'];
    await run(commandPath('certtool'), group, { cwd: path });
  }
  const images = await makeImages(folder);
  const content = readFileSync(images.raw);
  const start = (
    name: TlsServerName,
    kind: TlsKind | 'plain',
    transport: NbdTransport,
  ): Promise<NbdServer> => {
    const exportName = 'vda';
    if (name === 'nbd-server') {
      const secure = {
        force_tls: true,
        cacertfile: join(certificates, 'ca-cert.pem'),
        certfile: join(certificates, 'server-cert.pem'),
        keyfile: join(certificates, 'server-key.pem'),
      };
      return startReferenceServer({
        transport,
        exports: [{ name: exportName, path: images.raw }],
        settings: { allowlist: true, ...(kind !== 'plain' && secure) },
      });
    }
    if (name === 'qemu-nbd') {
      const credentials = {
        plain: [],
        x509: ['--object', `tls-creds-x509,id=t,endpoint=server,dir=${certificates},verify-peer=yes`],
        psk: ['--object', `tls-creds-psk,id=t,endpoint=server,dir=${dirname(keyFile)}`],
      }[kind];
      const args = kind === 'plain' ? [] : [...credentials, '--tls-creds', 't'];
      return startQemuNbd({ image: images.qcow2, bitmaps: ['b0'], transport, exportName, args });
    }
    const args = {
      plain: [],
      x509: ['--tls=require', `--tls-certificates=${certificates}`, '--tls-verify-peer'],
      psk: ['--tls=require', `--tls-psk=${keyFile}`],
    }[kind];
    return startNbdkit({
      plugin: 'file',
      parameters: [images.raw],
      readOnly: true,
      args,
      transport,
      exportName,
    });
  };
  return {
    ...{ certificates, strangers, authorityOnly, keyFile, content },
    start: (name, kind, transport = 'tcp') => start(name, kind, transport),
    startPlain: (name) => start(name, 'plain', 'tcp'),
    keyOf(user) {
      const hex = new RegExp(`^${user}:([0-9a-f]+)$`, 'm').exec(readFileSync(keyFile, 'utf8'))?.[1] ?? '';
      return { type: 'psk', identity: user, key: Buffer.from(hex, 'hex') };
    },
    remove: () => {
      folder.remove();
    },
  };
}

/** The same content twice, for servers of either kind. */
async function makeImages(
  folder: TemporaryFolder,
): Promise<{ readonly raw: string; readonly qcow2: string }> {
  const fill = [
    { pattern: 0x5a, offset: 0, length: MIB },
    { pattern: 0x5b, offset: 7 * MIB, length: MIB },
  ];
  const image = { size: 8 * MIB, fill };
  const raw = join(folder.path, 'disk.raw');
  await createImage({ ...image, path: raw, format: 'raw', owner: unprivilegedUser() });
  const qcow2 = await createImage({ ...image, path: join(folder.path, 'disk.qcow2') });
  await addBitmap(qcow2, 'b0');
  for (const [path, format] of [
    [raw, 'raw'],
    [qcow2, 'qcow2'],
  ] as const)
    await imageIo(path, format, ['write -P 0x5c 3M 64k']);
  return { raw, qcow2 };
}

/** The URI with TLS and these parameters. */
export function secured(uri: string, ...parameters: readonly string[]): string {
  const secure = uri.replace(/^nbd/, 'nbds');
  if (parameters.length === 0) return secure;
  return `${secure}${secure.includes('?') ? '&' : '?'}${parameters.join('&')}`;
}
