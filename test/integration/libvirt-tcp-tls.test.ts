import { connect, type ConnectWarning, LibvirtConnectError, LibvirtTlsError } from 'libvirt-ts-rpc';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { encodeKeepalive } from '../../packages/libvirt-rpc/src/rpc/packet.ts';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  type Authority,
  type CertificateFiles,
  leftovers,
  makeAuthority,
  makePkiFolder,
  makeTemporaryFolder,
  type PkiFiles,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TemporaryFolder,
  virsh,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'virsh', 'qemu-system-x86_64', 'certtool');

/** A server that does not ask for certificates, on a free port. */
async function serveTls(
  files: CertificateFiles,
  onConnection: (socket: TLSSocket) => void,
): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<TLSSocket>();
  const options = { key: readFileSync(files.key), cert: readFileSync(files.certificate) };
  const impostor = createTlsServer(options, (socket) => {
    sockets.add(socket);
    onConnection(socket);
  });
  impostor.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => impostor.listen(0, '127.0.0.1', resolve));
  return {
    port: (impostor.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => impostor.close(resolve));
    },
  };
}

/** Warnings are looked at where they are expected, and nowhere printed. */
const quiet = { onWarning: () => undefined };

describe.skipIf(servers.skip)(servers.title('TCP and TLS to a real daemon'), () => {
  let folder: TemporaryFolder;
  let libvirtd: PrivateLibvirtd;
  let authority: Authority;
  let server: CertificateFiles;
  let client: CertificateFiles;
  let pki: string;
  let count = 0;

  const folderWith = (files: PkiFiles): string => makePkiFolder(join(folder.path, `pki${++count}`), files);
  const tls = (more = '', at = '127.0.0.1'): string =>
    `qemu+tls://${at}:${libvirtd.ports.tls}/session?pkipath=${pki}${more}`;
  const withPki = (path: string, more = ''): string =>
    `qemu+tls://127.0.0.1:${libvirtd.ports.tls}/session?pkipath=${path}${more}`;

  beforeAll(async () => {
    folder = makeTemporaryFolder();
    authority = await makeAuthority(join(folder.path, 'ca'));
    server = await authority.issue('server', {
      commonName: 'localhost',
      usage: 'server',
      dnsNames: ['localhost'],
      ipAddresses: ['127.0.0.1'],
    });
    client = await authority.issue('client', { commonName: 'client', usage: 'client' });
    pki = folderWith({ ca: authority.certificate, client });
    libvirtd = await startLibvirtd({ listen: { tcp: true, tls: { ca: authority.certificate, server } } });
  });

  afterAll(async () => {
    await libvirtd.stop();
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });

  const failureOf = async (uri: string): Promise<LibvirtTlsError> => {
    const error: unknown = await connect(uri, quiet).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LibvirtTlsError);
    return error as LibvirtTlsError;
  };

  test('TCP works, with a warning that can be taken', async () => {
    const uri = `qemu+tcp://127.0.0.1:${libvirtd.ports.tcp}/session`;
    const warnings: ConnectWarning[] = [];
    await using libvirt = await connect(uri, { onWarning: (warning) => warnings.push(warning) });
    expect(warnings.map(({ code }) => code)).toEqual(['LIBVIRT_CLEARTEXT']);
    expect(await libvirt.getUri()).toBe('qemu:///session');
    expect(await libvirt.getHostname()).toBe((await virsh(uri, 'hostname')).trim());
  });

  test('a warning that nobody takes is the process’s', async () => {
    const emit = vi.spyOn(process, 'emitWarning').mockReturnValue(undefined);
    await using libvirt = await connect(`qemu+tcp://localhost:${libvirtd.ports.tcp}/session`);
    expect(libvirt.uri).toContain('tcp');
    expect(emit.mock.calls).toEqual([
      [expect.stringContaining('plain TCP'), { type: 'LibvirtWarning', code: 'LIBVIRT_CLEARTEXT' }],
    ]);
  });

  test('TLS works by address and by name, and does not warn', async () => {
    const emit = vi.spyOn(process, 'emitWarning').mockReturnValue(undefined);
    for (const uri of [tls(), tls('', 'localhost'), tls().replace('qemu+tls', 'qemu')]) {
      await using libvirt = await connect(uri);
      expect(await libvirt.getUri()).toBe('qemu:///session');
      expect(await libvirt.getHostname()).toBe((await virsh(uri, 'hostname')).trim());
      expect(await libvirt.listAllDomains()).toEqual([]);
    }
    expect(emit).not.toHaveBeenCalled();
  });

  test('many calls and a long reply come whole through TLS', async () => {
    await using libvirt = await connect(tls());
    const capabilities = await libvirt.getCapabilities();
    expect(capabilities.trim()).toBe((await virsh(tls(), 'capabilities')).trim());
    const all = await Promise.all(Array.from({ length: 50 }, () => libvirt.getCapabilities()));
    expect(all.every((text) => text === capabilities)).toBe(true);
  });

  test("a user's own certificates are found in ~/.pki/libvirt", async () => {
    const home = join(folder.path, 'home');
    makePkiFolder(join(home, '.pki/libvirt'), { ca: authority.certificate, client });
    vi.spyOn(process, 'geteuid').mockReturnValue(1000);
    vi.stubEnv('HOME', home);
    await using libvirt = await connect(`qemu://localhost:${libvirtd.ports.tls}/session`);
    expect(await libvirt.getUri()).toBe('qemu:///session');
  });

  test('an alias of libvirt.conf and LIBVIRT_DEFAULT_URI lead there too', async () => {
    const config = join(folder.path, 'config');
    mkdirSync(join(config, 'libvirt'), { recursive: true });
    writeFileSync(join(config, 'libvirt/libvirt.conf'), `uri_aliases = [\n  "here=${tls()}",\n]\n`);
    vi.spyOn(process, 'geteuid').mockReturnValue(1000);
    vi.stubEnv('XDG_CONFIG_HOME', config);
    vi.stubEnv('LIBVIRT_DEFAULT_URI', 'here');
    await using libvirt = await connect();
    expect(libvirt.uri).toBe(tls());
  });

  test('name= is what the daemon opens', async () => {
    await using libvirt = await connect(tls('&name=test:///default'));
    expect(await libvirt.getUri()).toBe('test:///default');
    await expect(connect(tls('&name=nonsense:///'))).rejects.toMatchObject({
      code: 'ERR_LIBVIRT_NO_CONNECT',
    });
  });

  test('a server signed by a stranger is refused', async () => {
    const stranger = await makeAuthority(join(folder.path, 'stranger'));
    const failure = await failureOf(withPki(folderWith({ ca: stranger.certificate, client })));
    expect(failure).toMatchObject({ code: 'ERR_LIBVIRT_TLS', failure: 'untrusted' });
  });

  test('without the certificate of an authority nothing is connected', async () => {
    const empty = folderWith({});
    const failure = await failureOf(withPki(empty));
    expect(failure.failure).toBe('noAuthority');
    expect(failure.message).toContain(`${empty}/cacert.pem`);
  });

  test('a server with another name is refused, unless the caller does not mind', async () => {
    const other = await authority.issue('other', {
      commonName: 'elsewhere.example',
      usage: 'server',
      dnsNames: ['elsewhere.example'],
    });
    await using daemon = await startLibvirtd({
      listen: { tls: { ca: authority.certificate, server: other } },
    });
    const uri = `qemu+tls://127.0.0.1:${daemon.ports.tls}/session?pkipath=${pki}`;
    expect(await failureOf(uri)).toMatchObject({ failure: 'wrongName' });
    expect(await failureOf(uri.replace('127.0.0.1', 'localhost'))).toMatchObject({ failure: 'wrongName' });
    await expect(virsh(uri, 'uri')).rejects.toThrow(/hostname/);
    const warnings: ConnectWarning[] = [];
    await using libvirt = await connect(`${uri}&no_verify=1`, {
      onWarning: (warning) => warnings.push(warning),
    });
    expect(await libvirt.getUri()).toBe('qemu:///session');
    expect(warnings.map(({ code }) => code)).toEqual(['LIBVIRT_UNVERIFIED']);
  });

  test('a server whose certificate has been revoked is refused', async () => {
    const crl = await authority.revoke('crl', [server.certificate]);
    const failure = await failureOf(withPki(folderWith({ ca: authority.certificate, client, crl })));
    expect(failure.failure).toBe('revoked');
    const other = await authority.revoke('other-crl', [client.certificate]);
    await using libvirt = await connect(
      withPki(folderWith({ ca: authority.certificate, client, crl: other })),
    );
    expect(await libvirt.getUri()).toBe('qemu:///session');
  });

  test('a missing client certificate is told apart from one that is refused', async () => {
    const missing = folderWith({ ca: authority.certificate });
    const none = await failureOf(withPki(missing));
    expect(none.failure).toBe('noClientCertificate');
    expect(none.message).toContain(`${missing}/clientcert.pem`);

    const half = folderWith({ ca: authority.certificate, client: { ...client, key: '/dev/null' } });
    expect((await failureOf(withPki(half))).failure).toBe('badCredentials');

    const stranger = await makeAuthority(join(folder.path, 'other-authority'));
    const strange = await stranger.issue('client', { commonName: 'client', usage: 'client' });
    const refused = folderWith({ ca: authority.certificate, client: strange });
    const failure = await failureOf(withPki(refused));
    expect(failure.failure).toBe('clientCertificateRefused');
    expect(failure.message).toContain(`${refused}/clientcert.pem`);
    await expect(virsh(withPki(refused), 'uri')).rejects.toThrow();
  });

  test('an expired client certificate is found out before it is sent, and else by the server', async () => {
    const expired = await authority.issue('expired', {
      commonName: 'client',
      usage: 'client',
      hasExpired: true,
    });
    const path = folderWith({ ca: authority.certificate, client: expired });
    const found = await failureOf(withPki(path));
    expect(found.failure).toBe('badCredentials');
    expect(found.message).toMatch(/clientcert\.pem expired on Jan {1,2}2 00:00:00 2020/);
    expect((await failureOf(withPki(path, '&no_sanity=1'))).failure).toBe('clientCertificateRefused');
  });

  test('files that are no certificates are named', async () => {
    const path = folderWith({ ca: authority.certificate, client });
    writeFileSync(join(path, 'clientcert.pem'), 'no certificate');
    const failure = await failureOf(withPki(path));
    expect(failure.failure).toBe('badCredentials');
    expect(failure.message).toContain(`${path}/clientcert.pem`);
    expect((await failureOf(withPki(path, '&no_sanity=1'))).failure).toBe('badCredentials');
  });

  test('a port without TLS is no TLS', async () => {
    const uri = tls().replace(`:${libvirtd.ports.tls}`, `:${libvirtd.ports.tcp}`);
    // Our hello is a packet length to the daemon, which hangs up.
    expect((await failureOf(uri)).failure).toBe('handshake');
  });

  test('packets in the same record as the greeting are not lost, nor is it hurt by one behind it', async () => {
    for (const split of [false, true]) {
      const heard: Buffer[] = [];
      const ping = encodeKeepalive(1);
      await using impostor = await serveTls(server, (socket) => {
        socket.on('data', (bytes: Buffer) => heard.push(bytes)).on('error', () => undefined);
        if (!split) socket.write(Buffer.concat([Buffer.of(1), ping]));
        else socket.write(Buffer.of(1), () => socket.write(ping));
      });
      const abort = new AbortController();
      const uri = `qemu+tls://127.0.0.1:${impostor.port}/session?pkipath=${pki}`;
      const connecting = connect(uri, { signal: abort.signal }).catch((reason: unknown) => reason);
      await expect
        .poll(() => Buffer.concat(heard).includes(encodeKeepalive(2)), { timeout: 10_000 })
        .toBe(true);
      abort.abort('enough');
      expect(await connecting).toBe('enough');
    }
  });

  test('what stands in a certificate reaches no terminal', async () => {
    const hostile = await authority.issue('hostile', { commonName: 'x\u202ey\u2066', usage: 'server' });
    await using impostor = await serveTls(hostile, () => undefined);
    const error = await failureOf(`qemu+tls://127.0.0.1:${impostor.port}/session?pkipath=${pki}`);
    expect(error.failure).toBe('wrongName');
    expect(error.message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test('nobody on the port is told as such', async () => {
    for (const uri of ['qemu+tcp://127.0.0.1:1/system', `qemu+tls://127.0.0.1:1/system?pkipath=${pki}`]) {
      const error: unknown = await connect(uri, quiet).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(LibvirtConnectError);
      expect((error as Error).message).toMatch(/cannot reach 127\.0\.0\.1, port 1: .*ECONNREFUSED/);
    }
  });

  test('a daemon that dies ends the connection, and one that comes back is reached again', async () => {
    await using daemon = await startLibvirtd({
      listen: { tcp: true, tls: { ca: authority.certificate, server } },
    });
    const uris = [
      `qemu+tcp://127.0.0.1:${daemon.ports.tcp}/session`,
      `qemu+tls://127.0.0.1:${daemon.ports.tls}/session?pkipath=${pki}`,
    ];
    const connections = await Promise.all(uris.map((uri) => connect(uri, quiet)));
    await daemon.kill('SIGKILL');
    for (const libvirt of connections) {
      expect(['peer', 'error']).toContain((await libvirt.closed).reason);
      await expect(libvirt.getUri()).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    }
    await daemon.restart();
    for (const uri of uris) {
      await using libvirt = await connect(uri, quiet);
      expect(await libvirt.getUri()).toBe('qemu:///session');
    }
  });

  describe('a server that does not behave', () => {
    const sockets: Socket[] = [];
    let fake: Server | undefined;

    /** Starts a server that says `hello` to whoever comes, over TLS or without. */
    const start = async (isTls: boolean, hello: Buffer): Promise<number> => {
      const greet = (socket: Socket): void => {
        sockets.push(socket);
        socket.on('error', () => undefined);
        if (hello.length > 0) socket.write(hello);
      };
      fake = isTls
        ? createTlsServer({ cert: readFileSync(server.certificate), key: readFileSync(server.key) }, greet)
        : createServer(greet);
      await new Promise<void>((resolve) => fake?.listen(0, '127.0.0.1', resolve));
      return (fake.address() as { port: number }).port;
    };

    afterEach(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => fake?.close(resolve));
    });

    test.each([
      ['nothing after the handshake', true, ''],
      ['nothing instead of the handshake', false, ''],
    ])('%s: the timeout and the signal end the wait', async (_, isTls, hello) => {
      const port = await start(isTls, Buffer.from(hello));
      const uri = `qemu+tls://localhost:${port}/system?pkipath=${pki}`;
      await expect(connect(uri, { connectTimeoutMs: 300 })).rejects.toThrow('within 300 ms');
      const reason = new Error('enough');
      const controller = new AbortController();
      const connecting = connect(uri, { signal: controller.signal });
      setTimeout(() => {
        controller.abort(reason);
      }, 200);
      await expect(connecting).rejects.toBe(reason);
    });

    test.each([
      ['another byte', Buffer.from([0])],
      ['more than another byte', Buffer.from([0, 1])],
      ['a whole protocol', Buffer.from('220 mail.example ESMTP\r\n')],
    ])('%s in place of the 01 is no daemon', async (_, hello) => {
      const port = await start(true, hello);
      const failure = await failureOf(`qemu+tls://localhost:${port}/system?pkipath=${pki}`);
      expect(failure).toMatchObject({ failure: 'handshake' });
      expect(failure.message).toContain(hello.subarray(0, 16).toString('hex'));
    });

    test('a certificate that has expired is refused', async () => {
      const expired = await authority.issue('old', {
        commonName: 'localhost',
        usage: 'server',
        dnsNames: ['localhost'],
        hasExpired: true,
      });
      const previous = server;
      server = expired;
      try {
        const port = await start(true, Buffer.from([1]));
        const uri = `qemu+tls://localhost:${port}/system?pkipath=${pki}`;
        expect(await failureOf(uri)).toMatchObject({ failure: 'expired' });
      } finally {
        server = previous;
      }
    });

    test('TCP that does not answer ends with the timeout too', async () => {
      const port = await start(false, Buffer.alloc(0));
      const uri = `qemu+tcp://127.0.0.1:${port}/system`;
      await expect(connect(uri, { ...quiet, connectTimeoutMs: 300 })).rejects.toThrow('within 300 ms');
    });
  });
});
