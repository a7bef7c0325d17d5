import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  exportInfo,
  listExports,
  NbdCommandError,
  NbdConnectError,
  NbdConnectionClosedError,
} from 'nbd-ts-client';
import {
  createImage,
  faultyImage,
  leftovers,
  makeTemporaryFolder,
  type MediaFault,
  type NbdServer,
  requireServers,
  startNbdkit,
  startQemuNbd,
  startStorageDaemon,
  type TemporaryFolder,
} from '../harness/index.ts';
import {
  ALLOCATION,
  collect,
  cutShort,
  expectBytes,
  KIB,
  MIB,
  rejection,
  rejections,
} from './nbd-checks.fixture.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'qemu-io', 'qemu-storage-daemon', 'nbdkit');

describe.skipIf(servers.skip)(servers.title('faults of real servers'), () => {
  let folder: TemporaryFolder;
  let image: string;
  const size = 8 * MIB;

  beforeAll(async () => {
    folder = makeTemporaryFolder('nbd');
    image = join(folder.path, 'disk.raw');
    const fill = [{ pattern: 7, offset: 0, length: size }];
    await createImage({ path: image, size, format: 'raw', fill });
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  /** nbdkit whose reads take so long each. */
  const slow = (delay: string): Promise<NbdServer> =>
    startNbdkit({ plugin: 'memory', parameters: ['64M', `delay-read=${delay}`], filters: ['delay'] });

  describe('media errors', () => {
    const faulty = (...faults: readonly MediaFault[]): Promise<NbdServer> =>
      startQemuNbd({ image, imageOpts: faultyImage(image, faults), exportName: 'vda', readOnly: false });

    it('a bad sector fails the read that touches it, whichever way it is read, and no other', async () => {
      await using server = await faulty({ iotype: 'read', errno: 5, sector: 4096 });
      await using nbd = await connect(server.uri);
      const reads = Array.from({ length: 32 }, (_, index) =>
        nbd.read(index * 256 * KIB, 256 * KIB, { df: true }),
      );
      for (const [index, outcome] of (await Promise.allSettled(reads)).entries()) {
        if (index !== 8) {
          expect(outcome).toMatchObject({ status: 'fulfilled' });
          continue;
        }
        expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(NbdCommandError) as Error });
        expect((outcome as PromiseRejectedResult).reason).toMatchObject({
          ...{ errno: 5, errnoName: 'EIO', command: 'NBD_CMD_READ' },
          ...{ exportName: 'vda', offset: 2 * MIB, length: 256 * KIB },
          message: expect.stringMatching(
            /^NBD_CMD_READ of 262144 bytes at 2097152 of export "vda" failed with EIO \(5\)/,
          ) as string,
        });
      }
      const whole = await rejection(nbd.readInto(Buffer.alloc(size), 0, { df: true }));
      expect(whole).toMatchObject({ errnoName: 'EIO' });
      expect((await nbd.read(2 * MIB - 512, 512, { df: true })).equals(Buffer.alloc(512, 7))).toBe(true);
      expect((await nbd.read(2 * MIB + 512, 512, { df: true })).equals(Buffer.alloc(512, 7))).toBe(true);
    });

    it('without DF QEMU answers the same by hanging up: that is a closed connection, and a new one works', async () => {
      await using server = await faulty({ iotype: 'read', errno: 5, sector: 4096 });
      await using nbd = await connect(server.uri);
      expect(await rejection(nbd.read(2 * MIB, 4096))).toBeInstanceOf(NbdConnectionClosedError);
      await nbd.closed;
      expect(await rejection(nbd.read(0, 512))).toBeInstanceOf(NbdConnectionClosedError);
      await using again = await connect(server.uri);
      expect((await again.read(0, 512)).equals(Buffer.alloc(512, 7))).toBe(true);
    });

    it.each([
      ['write', 28, 'NBD_CMD_WRITE', 'ENOSPC'],
      ['write-zeroes', 28, 'NBD_CMD_WRITE_ZEROES', 'ENOSPC'],
      ['discard', 5, 'NBD_CMD_TRIM', 'EIO'],
      ['flush', 5, 'NBD_CMD_FLUSH', 'EIO'],
      ['block-status', 5, 'NBD_CMD_BLOCK_STATUS', 'EIO'],
    ] as const)(
      '%s with errno %i is an error of %s; the connection goes on',
      async (iotype, errno, command, name) => {
        const path = join(folder.path, `${iotype}.raw`);
        await createImage({ path, size, format: 'raw' });
        await using server = await startQemuNbd({
          image: path,
          imageOpts: faultyImage(path, [{ iotype, errno }]),
          exportName: 'vdb',
          readOnly: false,
          args: ['--discard=unmap'],
        });
        await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
        const attempt = {
          write: () => nbd.write(4096, Buffer.alloc(KIB, 1)),
          'write-zeroes': () => nbd.writeZeroes(4096, KIB),
          discard: () => nbd.trim(4096, 4096),
          // QEMU flushes only what was written.
          flush: () => nbd.write(4096, Buffer.alloc(KIB, 1)).then(() => nbd.flush()),
          'block-status': () => nbd.blockStatus(0, MIB),
        }[iotype];
        const failure = await rejection(attempt());
        expect(failure).toBeInstanceOf(NbdCommandError);
        expect(failure).toMatchObject({ errnoName: name, command, exportName: 'vdb' });
        if (iotype === 'block-status')
          expect(await rejection(collect(nbd.extents(ALLOCATION)))).toMatchObject({ command });
        expect((await nbd.read(0, 512, { df: true })).equals(Buffer.alloc(512))).toBe(true);
      },
    );
  });

  it.each(['nbdkit', 'qemu-storage-daemon'] as const)('%s is killed in mid-read', async (name) => {
    await using server =
      name === 'nbdkit'
        ? await slow('3')
        : await startStorageDaemon({
            blockdevs: ['driver=null-co,node-name=n,size=67108864,read-zeroes=on,latency-ns=3000000000'],
            node: 'n',
          });
    await using pool = await connectPool(server.uri, { connections: 2, metaContexts: [ALLOCATION] });
    const members = pool.connections;
    expect(members).toHaveLength(2);
    const stream = rejection(collect(pool.createReadStream()));
    const reads = cutShort(
      Array.from({ length: 32 }, (_, index) => pool.read(index * MIB, MIB, { df: true })),
      NbdConnectionClosedError,
    );
    setTimeout(() => {
      server.kill('SIGKILL');
    }, 100);
    expect((await reads).length).toBeGreaterThan(16);
    expect(await stream).toBeInstanceOf(NbdConnectionClosedError);
    for (const { closed } of members) expect((await closed).reason).toMatch(/peer|error/);
    expect(pool.connections).toHaveLength(0);
    const [status, again] = await rejections(pool.blockStatus(0, MIB), connect(server.uri));
    expect(status).toBeInstanceOf(NbdConnectionClosedError);
    expect(again).toBeInstanceOf(NbdConnectError);
  });

  it('one that stands still is given up after the idle timeout, and not before', async () => {
    await using server = await slow('100ms');
    await using nbd = await connect(server.uri, { idleTimeoutMs: 3000 });
    // Progress within the limit, though the whole takes longer.
    for (let turn = 0; turn < 32; turn++) await nbd.read(0, MIB);
    server.kill('SIGSTOP');
    const started = performance.now();
    const reads = Array.from({ length: 8 }, (_, index) => nbd.read(index * MIB, MIB));
    const reasons = await rejections(...reads, collect(nbd.createReadStream()));
    expect(performance.now() - started).toBeGreaterThan(2500);
    for (const reason of reasons) expect(reason).toBeInstanceOf(NbdConnectionClosedError);
    expect(reasons[0]?.message).toMatch(/no byte from the NBD server for 3000 ms/);
    expect(reasons[0]?.cause).toBeInstanceOf(NbdConnectError);
    expect(await nbd.closed).toMatchObject({ reason: 'error' });
  });

  it('one that stands still: no handshake without end, no close without end', async () => {
    await using server = await slow('100ms');
    const nbd = await connect(server.uri, { closeTimeoutMs: 300 });
    server.kill('SIGSTOP');
    const read = rejection(nbd.read(0, 512));
    const limit = { connectTimeoutMs: 300 };
    const attempts = [
      connect(server.uri, limit),
      listExports(server.uri, limit),
      exportInfo(server.uri, limit),
    ];
    for (const reason of await rejections(...attempts)) {
      expect(reason).toBeInstanceOf(NbdConnectError);
      expect(reason.message).toMatch(/no NBD handshake with .* within 300 ms/);
    }
    const given = new Error('enough');
    expect(await rejection(connect(server.uri, { signal: AbortSignal.abort(given) }))).toBe(given);
    const abort = new AbortController();
    const attempt = rejection(connect(server.uri, { signal: abort.signal }));
    await sleep(50);
    abort.abort(given);
    expect(await attempt).toBe(given);
    expect(await nbd.close()).toMatchObject({ reason: 'close' });
    expect(await read).toBeInstanceOf(NbdConnectionClosedError);
  });

  it('a pause shorter than the idle timeout harms nothing', async () => {
    await using server = await startQemuNbd({ image, format: 'raw' });
    await using nbd = await connect(server.uri, { idleTimeoutMs: 30_000 });
    server.kill('SIGSTOP');
    const check = expectBytes(nbd, Buffer.alloc(size, 7));
    await sleep(300);
    server.kill('SIGCONT');
    await check;
  });

  it('a server that opens slowly is waited for', async () => {
    const delayed = { plugin: 'memory', parameters: ['1M', 'delay-open=1'], filters: ['delay'] };
    await using server = await startNbdkit(delayed);
    expect(await rejection(connect(server.uri, { connectTimeoutMs: 200 }))).toBeInstanceOf(NbdConnectError);
    await using nbd = await connect(server.uri);
    expect((await nbd.read(0, 512)).equals(Buffer.alloc(512))).toBe(true);
  });
});
