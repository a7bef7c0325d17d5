import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, NbdNegotiationError, NbdTlsError, NbdUsageError, type TlsOptions } from 'nbd-ts-client';
import {
  commandPath,
  createImage,
  makeTemporaryFolder,
  requireServers,
  run,
  startNbdkit,
  startQemuNbd,
  type TemporaryFolder,
} from '../harness/index.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'nbdkit', 'certtool');
const MIB = 1024 * 1024;
const KEY = 'c0ffee0123456789c0ffee0123456789';

describe.skipIf(servers.skip)(servers.title('TLS'), () => {
  let folder: TemporaryFolder;
  let certificates: string;
  let strangers: string;
  let pskFile: string;
  let image: string;

  beforeAll(async () => {
    folder = makeTemporaryFolder('tls');
    certificates = join(folder.path, 'pki');
    strangers = join(folder.path, 'strangers');
    await makeCertificates(certificates);
    await makeCertificates(strangers);
    pskFile = join(folder.path, 'keys.psk');
    writeFileSync(pskFile, `alice:${KEY}\n`, { mode: 0o600 });
    image = join(folder.path, 'disk.raw');
    await createImage({
      path: image,
      size: 8 * MIB,
      format: 'raw',
      fill: [{ pattern: 0x5a, offset: 0, length: MIB }],
    });
  });

  afterAll(() => {
    folder.remove();
  });

  const nbdkit = (...args: string[]) =>
    startNbdkit({ plugin: 'pattern', parameters: ['8M'], args, transport: 'tcp' });
  const qemuNbd = () =>
    startQemuNbd({
      image,
      format: 'raw',
      transport: 'tcp',
      args: [
        '--object',
        `tls-creds-x509,id=t,endpoint=server,dir=${certificates},verify-peer=yes`,
        '--tls-creds',
        't',
      ],
    });
  const secure = (uri: string, parameters: string): string => `${uri.replace('nbd:', 'nbds:')}?${parameters}`;
  const allowLocalFiles = true;

  it('qemu-nbd with client certificates', async () => {
    await using server = await qemuNbd();
    await using nbd = await connect(secure(server.uri, `tls-certificates=${certificates}`), {
      allowLocalFiles,
    });
    const whole = await nbd.read(0, 8 * MIB);
    expect(whole.subarray(0, MIB).equals(Buffer.alloc(MIB, 0x5a))).toBe(true);
    expect(whole.subarray(MIB).equals(Buffer.alloc(7 * MIB))).toBe(true);
  });

  it('nbdkit with x509 and with a PSK', async () => {
    await using x509 = await nbdkit('--tls=require', `--tls-certificates=${certificates}`);
    await using nbd = await connect(secure(x509.uri, `tls-certificates=${certificates}`), {
      allowLocalFiles,
    });
    expect((await nbd.read(0, MIB)).readBigUInt64BE(4096)).toBe(4096n);
    await using psk = await nbdkit('--tls=require', `--tls-psk=${pskFile}`);
    const uri = secure(psk.uri.replace('//', '//alice@'), `tls-psk-file=${pskFile}`);
    await using other = await connect(uri, { allowLocalFiles });
    expect((await other.read(0, MIB)).readBigUInt64BE(8192)).toBe(8192n);
  });

  it('a unix socket, where the name has to be given', async () => {
    const args = ['--tls=require', `--tls-certificates=${certificates}`];
    await using server = await startNbdkit({ plugin: 'pattern', parameters: ['8M'], args });
    const uri = `${server.uri.replace('nbd+unix', 'nbds+unix')}&tls-certificates=${certificates}`;
    await using nbd = await connect(`${uri}&tls-hostname=localhost`, { allowLocalFiles });
    expect((await nbd.read(0, 512)).length).toBe(512);
    await expect(connect(uri, { allowLocalFiles })).rejects.toThrow(NbdUsageError);
  });

  it('is verified: a stranger, a wrong name and no authority are refused', async () => {
    await using server = await nbdkit('--tls=require', `--tls-certificates=${certificates}`);
    const refused = async (parameters: string, why: RegExp): Promise<void> => {
      const failure: unknown = await connect(secure(server.uri, parameters), { allowLocalFiles }).catch(
        (e: unknown) => e,
      );
      expect(failure).toBeInstanceOf(NbdTlsError);
      expect((failure as Error).message).toMatch(why);
    };
    await refused(`tls-certificates=${strangers}`, /certificate|self/i);
    await refused(`tls-certificates=${certificates}&tls-hostname=elsewhere.example`, /altnames/);
    await refused('tls-hostname=localhost', /certificate/);
    const unverified = { type: 'x509', verifyPeer: false } as const;
    await using nbd = await connect({
      address: server.endpoint as { host: string; port: number },
      tls: unverified,
    });
    expect((await nbd.read(0, 512)).length).toBe(512);
  });

  it('a client certificate that is missing and a wrong key are TLS errors', async () => {
    await using strict = await qemuNbd();
    const ca = join(folder.path, 'ca-only');
    mkdirSync(ca);
    writeFileSync(join(ca, 'ca-cert.pem'), await run('cat', [join(certificates, 'ca-cert.pem')]));
    await expect(connect(secure(strict.uri, `tls-certificates=${ca}`), { allowLocalFiles })).rejects.toThrow(
      NbdTlsError,
    );
    await using psk = await nbdkit('--tls=require', `--tls-psk=${pskFile}`);
    const wrong: TlsOptions = { type: 'psk', identity: 'alice', key: Buffer.alloc(16, 1) };
    const address = psk.endpoint as { host: string; port: number };
    await expect(connect({ address, tls: wrong })).rejects.toThrow(NbdTlsError);
  });

  it('there is no way down: TLS that is asked for and not there is an error, and the other way round', async () => {
    const tls: TlsOptions = { type: 'x509', verifyPeer: false };
    for (const args of [[], ['-o'], ['--mask-handshake=0']]) {
      await using plain = await nbdkit(...args);
      const address = plain.endpoint as { host: string; port: number };
      await expect(connect({ address, tls }), args.join()).rejects.toThrow(NbdTlsError);
    }
    await using strict = await nbdkit('--tls=require', `--tls-certificates=${certificates}`);
    await expect(connect(strict.uri)).rejects.toThrow(NbdNegotiationError);
    await expect(connect(strict.uri)).rejects.toThrow(/TLS_REQD/);
  });

  it('a URI names no files unless that is allowed', async () => {
    await expect(connect('nbds://127.0.0.1:1/?tls-certificates=/etc')).rejects.toThrow(/allowLocalFiles/);
  });
});

/** A certificate authority of our own with a server and a client, good for a day. */
async function makeCertificates(path: string): Promise<void> {
  mkdirSync(path, { mode: 0o755 });
  const certtool = (...args: string[]): Promise<string> => run(commandPath('certtool'), args, { cwd: path });
  const template = (name: string, lines: string[]): string => {
    writeFileSync(join(path, `${name}.info`), `${['expiration_days = 1', ...lines].join('\n')}\n`);
    return `${name}.info`;
  };
  const key = async (name: string): Promise<string> => {
    await certtool('--generate-privkey', '--bits', '2048', '--outfile', `${name}-key.pem`);
    return `${name}-key.pem`;
  };
  const ca = template('ca', ['cn = "test authority"', 'ca', 'cert_signing_key']);
  await certtool(
    '--generate-self-signed',
    '--load-privkey',
    await key('ca'),
    '--template',
    ca,
    '--outfile',
    'ca-cert.pem',
  );
  const signed = async (name: string, lines: string[]): Promise<void> => {
    const files = [
      '--load-ca-certificate',
      'ca-cert.pem',
      '--load-ca-privkey',
      'ca-key.pem',
      '--outfile',
      `${name}-cert.pem`,
    ];
    const info = template(name, lines);
    await certtool('--generate-certificate', '--load-privkey', await key(name), '--template', info, ...files);
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
}
