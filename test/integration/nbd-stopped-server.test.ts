import { execFileSync } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  exportInfo,
  listExports,
  listMetaContexts,
  NbdConnectError,
  NbdConnectionClosedError,
  NbdTlsError,
} from 'nbd-ts-client';
import {
  createImage,
  leftovers,
  makeTemporaryFolder,
  type NbdServer,
  requireServers,
  startQemuNbd,
  type TemporaryFolder,
} from '../harness/index.ts';
import { ALLOCATION, collect, KIB, MIB, rejection } from './nbd-checks.fixture.ts';
import { makeTlsBench, secured, TLS_COMMANDS, type TlsBench } from './nbd-tls.fixture.ts';

/** Obeyed at once: on a busy machine, too. */
const AT_ONCE_MS = 100;
const servers = requireServers(...TLS_COMMANDS);

/** How long it takes from the abort to the rejection, which has to be with its reason. */
async function obeyed(start: (signal: AbortSignal) => Promise<unknown>, waitMs = 100): Promise<number> {
  const abort = new AbortController();
  const reason = new Error('enough');
  const attempt = rejection(start(abort.signal));
  await sleep(waitMs);
  const aborted = performance.now();
  abort.abort(reason);
  expect(await attempt).toBe(reason);
  return performance.now() - aborted;
}

describe.skipIf(servers.skip)(servers.title('a QEMU that stands still (SIGSTOP)'), () => {
  let folder: TemporaryFolder;
  let bench: TlsBench;
  let image: string;

  beforeAll(async () => {
    bench = await makeTlsBench();
    folder = makeTemporaryFolder('nbd');
    image = join(folder.path, 'disk.raw');
    await createImage({ path: image, size: 8 * MIB, format: 'raw' });
  });

  afterAll(() => {
    bench.remove();
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  const start = (): Promise<NbdServer> => startQemuNbd({ image, format: 'raw', readOnly: false });

  it('an abort is obeyed at once in the handshake, whatever it is for', async () => {
    await using server = await start();
    server.kill('SIGSTOP');
    const { uri } = server;
    for (const attempt of [
      (signal: AbortSignal) => connect(uri, { signal, metaContexts: [ALLOCATION] }),
      (signal: AbortSignal) => connectPool(uri, { signal, connections: 4 }),
      (signal: AbortSignal) => exportInfo(uri, { signal }),
      (signal: AbortSignal) => listExports(uri, { signal }),
      (signal: AbortSignal) => listMetaContexts(uri, { signal }),
    ])
      expect(await obeyed(attempt)).toBeLessThan(AT_ONCE_MS);
  });

  it('an abort is obeyed at once when only some connections of a pool are open', async () => {
    // It takes two clients; the third is never greeted.
    await using server = await startQemuNbd({ image, format: 'raw', readOnly: false, shared: 2 });
    const took = await obeyed((signal) => {
      setTimeout(() => {
        server.kill('SIGSTOP');
      }, 300);
      return connectPool(server.uri, { signal, connections: 4 });
    }, 500);
    expect(took).toBeLessThan(AT_ONCE_MS);
  });

  it('an abort is obeyed at once in the TLS handshake, and that is bounded', async () => {
    await using server = await bench.start('qemu-nbd', 'x509');
    const options = { allowLocalFiles: true } as const;
    const uri = secured(server.uri, `tls-certificates=${bench.certificates}`, 'tls-hostname=localhost');
    await (await connect(uri, options)).close();
    // Takes NBD_OPT_STARTTLS, and says nothing of TLS.
    const { path, server: silent } = silentTls(folder);
    try {
      const stuck = secured(
        `nbd+unix:///?socket=${path}`,
        `tls-certificates=${bench.certificates}`,
        'tls-hostname=h',
      );
      expect(await obeyed((signal) => connect(stuck, { ...options, signal }))).toBeLessThan(AT_ONCE_MS);
      const failure = await rejection(connect(stuck, { ...options, handshakeTimeoutMs: 200 }));
      expect(failure).toMatchObject({ code: 'ERR_NBD_CONNECT', reason: 'timeout' });
    } finally {
      silent.close();
    }
    server.kill('SIGSTOP');
    expect(await obeyed((signal) => connect(uri, { ...options, signal }))).toBeLessThan(AT_ONCE_MS);
  });

  it('an abort is obeyed at once while a file of certificates is a pipe that nobody writes to', async () => {
    await using server = await start();
    const certificates = folder.subfolder('pipes');
    execFileSync('mkfifo', [join(certificates, 'ca-cert.pem')]);
    const uri = secured(server.uri, `tls-certificates=${certificates}`, 'tls-hostname=localhost');
    const took = await obeyed((signal) => connect(uri, { signal, allowLocalFiles: true }));
    expect(took).toBeLessThan(AT_ONCE_MS);
    // Lets the thread go that opens it.
    execFileSync('sh', ['-c', `: > ${join(certificates, 'ca-cert.pem')}`]);
  });

  it('an abort is obeyed at once by every command and stream, sent or waiting', async () => {
    await using server = await start();
    const nbd = await connect(server.uri, { metaContexts: [ALLOCATION], closeTimeoutMs: 100 });
    server.kill('SIGSTOP');
    for (const command of [
      (signal: AbortSignal) => nbd.read(0, MIB, { signal }),
      (signal: AbortSignal) => nbd.readInto(Buffer.alloc(MIB), 0, { signal }),
      (signal: AbortSignal) => nbd.write(0, Buffer.alloc(4 * MIB), { signal }),
      (signal: AbortSignal) => nbd.writeZeroes(0, MIB, { signal }),
      (signal: AbortSignal) => nbd.cache(0, MIB, { signal }),
      (signal: AbortSignal) => nbd.flush({ signal }),
      (signal: AbortSignal) => nbd.blockStatus(0, MIB, { signal }),
      (signal: AbortSignal) => collect(nbd.extents(ALLOCATION, { signal })),
      (signal: AbortSignal) => collect(nbd.createReadStream({ signal })),
      // More than the window: most of them wait to be sent.
      (signal: AbortSignal) => Promise.all(Array.from({ length: 500 }, () => nbd.read(0, KIB, { signal }))),
    ])
      expect(await obeyed(command)).toBeLessThan(AT_ONCE_MS);
    const closing = performance.now();
    expect(await nbd.close()).toMatchObject({ reason: 'close' });
    expect(performance.now() - closing).toBeLessThan(1_000);
  });

  it('is given up after idleTimeoutMs, which is an option, and not before', async () => {
    await using server = await start();
    await using nbd = await connect(server.uri, { idleTimeoutMs: 800 });
    server.kill('SIGSTOP');
    const started = performance.now();
    const failures = await Promise.all([rejection(nbd.read(0, MIB)), rejection(nbd.flush())]);
    const took = performance.now() - started;
    expect(took).toBeGreaterThan(700);
    expect(took).toBeLessThan(3_000);
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(NbdConnectionClosedError);
      expect(failure).toMatchObject({ sent: true, cause: { reason: 'timeout' } });
      expect(failure.message).toMatch(/no byte from the NBD server for 800 ms/);
    }
    expect(await nbd.closed).toMatchObject({ reason: 'error', error: { reason: 'timeout' } });
  });

  it('is never sat with in a handshake longer than handshakeTimeoutMs, the goodbye included', async () => {
    await using server = await start();
    server.kill('SIGSTOP');
    const limits = { connectTimeoutMs: 20_000, handshakeTimeoutMs: 300 };
    for (const attempt of [connect, exportInfo, listExports, listMetaContexts]) {
      const started = performance.now();
      const failure = await rejection(attempt(server.uri, limits));
      expect(failure).toBeInstanceOf(NbdConnectError);
      expect(failure).toMatchObject({ reason: 'timeout' });
      expect(performance.now() - started).toBeLessThan(1_300);
    }
    const uri = secured(server.uri, 'tls-hostname=localhost');
    const failure = await rejection(connect(uri, limits));
    expect(failure).not.toBeInstanceOf(NbdTlsError);
    expect(failure).toMatchObject({ reason: 'timeout' });
  });
});

/** A server that grants NBD_OPT_STARTTLS and is silent from then on. */
function silentTls(folder: TemporaryFolder): { readonly path: string; readonly server: Server } {
  const path = join(folder.path, 'silent');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(Buffer.from('4e42444d4147494349484156454f50540003', 'hex'));
    // Flags and the option; then one reply, NBD_REP_ACK.
    socket.once('data', () => socket.write(Buffer.from('0003e889045565a9000000050000000100000000', 'hex')));
  });
  server.listen(path);
  return { path, server };
}
