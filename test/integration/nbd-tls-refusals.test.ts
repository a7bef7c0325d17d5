import { copyFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  exportInfo,
  listExports,
  NbdNegotiationError,
  NbdTlsError,
  type Address,
  type TlsOptions,
} from 'nbd-ts-client';
import {
  leftovers,
  makeAuthority,
  makeTemporaryFolder,
  requireServers,
  startNbdkit,
} from '../harness/index.ts';
import { expectBytes, rejection, rejections } from './nbd-checks.fixture.ts';
import {
  makeTlsBench,
  PSK_SERVERS,
  secured,
  TLS_COMMANDS,
  type TlsBench,
  X509_SERVERS,
} from './nbd-tls.fixture.ts';

const servers = requireServers(...TLS_COMMANDS);
const allowLocalFiles = true;

describe.skipIf(servers.skip)(servers.title('TLS that is refused'), () => {
  let bench: TlsBench;

  beforeAll(async () => {
    bench = await makeTlsBench();
  });

  afterAll(() => {
    bench.remove();
    expect(leftovers()).toEqual([]);
  });

  it.each(X509_SERVERS)(
    'by the client: %s of a stranger, with a wrong name, or of nobody known',
    async (name) => {
      await using server = await bench.start(name, 'x509');
      const client = `tls-certificates=${bench.certificates}`;
      const attempts: readonly [RegExp, ...string[]][] = [
        [/certificate|self/i, `tls-certificates=${bench.strangers}`],
        [/altnames/, client, 'tls-hostname=elsewhere.example'],
        [/certificate/, 'tls-hostname=localhost'],
      ];
      for (const [why, ...parameters] of attempts) {
        const uri = secured(server.uri, ...parameters);
        const asked = [connect, exportInfo, listExports].map((ask) => ask(uri, { allowLocalFiles }));
        for (const failure of await rejections(...asked)) {
          expect(failure, parameters.join('&')).toBeInstanceOf(NbdTlsError);
          expect(failure.message).toMatch(why);
        }
      }
      // The name in the certificate counts, not the address that was dialled.
      await using nbd = await connect(secured(server.uri, client, 'tls-hostname=localhost'), {
        allowLocalFiles,
      });
      await expectBytes(nbd, bench.content);
    },
  );

  it.each(X509_SERVERS)(
    'by the server: %s without a client certificate, and with a stranger’s',
    async (name) => {
      await using server = await bench.start(name, 'x509');
      const bare = secured(server.uri, `tls-certificates=${bench.authorityOnly}`);
      expect(await rejection(connect(bare, { allowLocalFiles }))).toBeInstanceOf(NbdTlsError);
      const strange: TlsOptions = {
        type: 'x509',
        ...(await readAll({
          ca: join(bench.certificates, 'ca-cert.pem'),
          cert: join(bench.strangers, 'client-cert.pem'),
          key: join(bench.strangers, 'client-key.pem'),
        })),
      };
      const address = server.endpoint as Address;
      const failure = await rejection(connect({ address, exportName: 'vda', tls: strange }));
      expect(failure).toBeInstanceOf(NbdTlsError);
    },
  );

  it('a name in a certificate that a terminal would obey is only shown, in the message and in its cause', async () => {
    await using folder = makeTemporaryFolder('tls');
    const hostile = folder.subfolder('pki');
    const authority = await makeAuthority(join(folder.path, 'authority'));
    const issued = await authority.issue('server', { commonName: 'x\u202ey\u2066', usage: 'server' });
    copyFileSync(authority.certificate, join(hostile, 'ca-cert.pem'));
    copyFileSync(issued.certificate, join(hostile, 'server-cert.pem'));
    copyFileSync(issued.key, join(hostile, 'server-key.pem'));
    const args = ['--tls=require', `--tls-certificates=${hostile}`];
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['1M'], args, transport: 'tcp' });
    const uri = secured(server.uri, `tls-certificates=${hostile}`, 'tls-hostname=localhost');
    const failure = await rejection(connect(uri, { allowLocalFiles }));
    expect(failure).toBeInstanceOf(NbdTlsError);
    expect(failure.message).toContain(String.raw`x\u{202e}y\u{2066}`);
    // Line breaks are those of `inspect`.
    expect(inspect(failure, { depth: 9 }).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  it('nobody is verified only where that is turned off', async () => {
    await using server = await bench.start('nbdkit', 'psk');
    const address = server.endpoint as Address;
    const args = ['--tls=require', `--tls-certificates=${bench.certificates}`];
    await using open = await startNbdkit({ plugin: 'memory', parameters: ['1M'], args, transport: 'tcp' });
    const unverified = { type: 'x509', verifyPeer: false } as const;
    await using nbd = await connect({ address: open.endpoint as Address, tls: unverified });
    expect((await nbd.read(0, 512)).equals(Buffer.alloc(512))).toBe(true);
    await using byUri = await connect(secured(open.uri, 'tls-verify-peer=0'));
    expect(byUri.exportSize).toBe(nbd.exportSize);
    // A server that knows only keys has no certificate to show.
    expect(await rejection(connect({ address, exportName: 'vda', tls: unverified }))).toBeInstanceOf(
      NbdTlsError,
    );
  });

  it.each(PSK_SERVERS)('%s: a wrong key, an unknown user, and certificates instead', async (name) => {
    await using server = await bench.start(name, 'psk');
    const address = server.endpoint as Address;
    const alice = bench.keyOf('alice') as TlsOptions & { type: 'psk' };
    const wrong: readonly TlsOptions[] = [
      { ...alice, key: Buffer.alloc(alice.key.length, 1) },
      { ...alice, identity: 'mallory' },
      { ...alice, identity: 'bob' },
      {
        type: 'x509',
        ...(await readAll({ ca: join(bench.certificates, 'ca-cert.pem') })),
        hostname: 'localhost',
      },
    ];
    const attempts = wrong.map((tls) => connect({ address, exportName: 'vda', tls }));
    for (const failure of await rejections(...attempts)) expect(failure).toBeInstanceOf(NbdTlsError);
    await using nbd = await connect({ address, exportName: 'vda', tls: alice });
    await expectBytes(nbd, bench.content);
  });

  it.each(PSK_SERVERS)('%s with certificates does not take a key', async (name) => {
    await using server = await bench.start(name, 'x509');
    const address = server.endpoint as Address;
    expect(
      await rejection(connect({ address, exportName: 'vda', tls: bench.keyOf('alice') })),
    ).toBeInstanceOf(NbdTlsError);
  });

  it.each(X509_SERVERS)('%s insists on TLS: plain text is refused, with its own words', async (name) => {
    await using server = await bench.start(name, 'x509');
    const attempts = [
      connect(server.uri),
      connectPool(server.uri, { connections: 2 }),
      exportInfo(server.uri),
    ];
    for (const failure of await rejections(...attempts)) {
      expect(failure).toBeInstanceOf(NbdNegotiationError);
      expect(failure.message).toMatch(/TLS/);
    }
  });

  it.each(X509_SERVERS)(
    '%s has no TLS: asked for, it is an error and nothing goes out in plain text',
    async (name) => {
      await using server = await bench.startPlain(name);
      const uri = secured(server.uri, `tls-certificates=${bench.certificates}`);
      const attempts = [connect, exportInfo, listExports].map((ask) => ask(uri, { allowLocalFiles }));
      for (const failure of await rejections(...attempts)) {
        expect(failure).toBeInstanceOf(NbdTlsError);
        expect(failure.message).toMatch(/the server refuses TLS/);
      }
      await using nbd = await connect(server.uri);
      await expectBytes(nbd, bench.content);
    },
  );

  it.each([
    ['oldstyle', ['-o']],
    ['newstyle that is not fixed', ['--mask-handshake=0']],
    ['newstyle without TLS', ['--tls=off']],
  ])('there is no way down to %s', async (_title, args) => {
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['1M'], args, transport: 'tcp' });
    const address = server.endpoint as Address;
    const wanted: readonly TlsOptions[] = [{ type: 'x509', verifyPeer: false }, bench.keyOf('alice')];
    for (const failure of await rejections(...wanted.map((tls) => connect({ address, tls }))))
      expect(failure).toBeInstanceOf(NbdTlsError);
  });

  it('a decoy behind TLS that falls back is not taken for the disk', async () => {
    const args = ['--tls=on', `--tls-psk=${bench.keyFile}`];
    const fallback = { plugin: 'memory', parameters: ['1M'], filters: ['tls-fallback'], args };
    await using server = await startNbdkit({ ...fallback, transport: 'tcp' });
    const address = server.endpoint as Address;
    await using secure = await connect({ address, tls: bench.keyOf('alice') });
    expect(secure.exportSize).toBe(2 ** 20);
    const wrong = { ...bench.keyOf('alice'), key: Buffer.alloc(32, 1) } as TlsOptions;
    expect(await rejection(connect({ address, tls: wrong }))).toBeInstanceOf(NbdTlsError);
  });

  it('a URI names no files unless that is allowed', async () => {
    for (const parameter of ['tls-certificates=/etc', 'tls-psk-file=/etc/passwd']) {
      const refused = await rejection(connect(`nbds://127.0.0.1:1/?${parameter}`));
      expect(refused).toMatchObject({ code: 'ERR_NBD_USAGE' });
      expect(refused.message).toMatch(/allowLocalFiles/);
    }
  });
});

async function readAll<Key extends string>(
  files: Readonly<Record<Key, string>>,
): Promise<Record<Key, Buffer>> {
  const entries = Object.entries<string>(files).map(
    async ([key, path]) => [key, await readFile(path)] as const,
  );
  return Object.fromEntries(await Promise.all(entries)) as Record<Key, Buffer>;
}
