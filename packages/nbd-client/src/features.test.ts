import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, it, vi } from 'vitest';
import { connect, connectPool } from './connect.ts';
import type { ClosedMessage, CommandTrace, ConnectTrace } from './diagnostics.ts';
import { NbdUsageError } from './errors.ts';
import { FakeServer, type Script } from './fake-server.fixture.ts';
import { NBD_CMD, NBD_CMD_FLAG, NBD_FLAG } from './protocol/constants.ts';
import { error, patternAt, u32, u64 } from './wire.fixture.ts';

/** On a busy machine. */
const SOON = { timeout: 10_000 };

const CONTEXT = 'base:allocation';
const BITMAP = 'qemu:dirty-bitmap:b';
const metaContexts = [CONTEXT, BITMAP];
const { HAS_FLAGS, BLOCK_STATUS_PAYLOAD } = NBD_FLAG;

describe('the status of some of the selected contexts', () => {
  const filtering: Script = { extended: true, transmissionFlags: HAS_FLAGS | BLOCK_STATUS_PAYLOAD };

  it('is asked with a payload where the server can filter', async () => {
    await using server = await FakeServer.start(filtering);
    await using nbd = await connect(server.endpoint, { metaContexts });
    expect(nbd.canFilterStatus).toBe(true);
    const status = await nbd.blockStatus(512, 4096, { contexts: [BITMAP] });
    expect([...status]).toEqual([[BITMAP, [{ offset: 512, length: 4096, flags: 0 }]]]);
    expect(server.requests[0]).toMatchObject({
      type: NBD_CMD.BLOCK_STATUS,
      flags: NBD_CMD_FLAG.PAYLOAD_LEN,
      offset: 512,
      length: 12,
      payload: Buffer.concat([u64(4096), u32(2)]),
    });
    for await (const extent of nbd.extents(BITMAP)) expect(extent.length).toBe(nbd.exportSize);
    expect(server.requests[1]?.payload).toEqual(Buffer.concat([u64(nbd.exportSize), u32(2)]));
    await nbd.blockStatus(0, 512, { contexts: metaContexts });
    expect(server.requests[2]).toMatchObject({ flags: 0, length: 512 });
  });

  it.each([
    ['extended', { extended: true, transmissionFlags: HAS_FLAGS }],
    ['structured', { transmissionFlags: HAS_FLAGS | BLOCK_STATUS_PAYLOAD }],
  ])('is picked from the whole answer where it cannot: %s', async (_title, script) => {
    await using server = await FakeServer.start(script);
    await using nbd = await connect(server.endpoint, { metaContexts });
    expect(nbd.canFilterStatus).toBe(false);
    const status = await nbd.blockStatus(0, 512, { contexts: [BITMAP], reqOne: true });
    expect([...status.keys()]).toEqual([BITMAP]);
    expect(server.requests[0]).toMatchObject({ flags: NBD_CMD_FLAG.REQ_ONE, length: 512 });
  });

  it('of none, or of one that was not selected, is found before anything is sent', async () => {
    await using server = await FakeServer.start(filtering);
    await using nbd = await connect(server.endpoint, { metaContexts });
    await expect(nbd.blockStatus(0, 512, { contexts: [] })).rejects.toThrow(NbdUsageError);
    await expect(nbd.blockStatus(0, 512, { contexts: ['x:y'] })).rejects.toThrow(/not selected/);
    await expect(nbd.blockStatus(0, 0)).rejects.toThrow(/0 bytes/);
    expect(server.requests).toEqual([]);
  });
});

describe('a read with DF', () => {
  it('is repeated without it where the server cannot give so much in one piece', async () => {
    await using server = await FakeServer.start({
      request: (request) =>
        (request.flags & NBD_CMD_FLAG.DF) !== 0 && request.length > 65536 ? error(request, 75) : undefined,
    });
    await using nbd = await connect(server.endpoint);
    expect((await nbd.read(0, 200_000, { df: true })).equals(patternAt(0, 200_000))).toBe(true);
    expect(server.requests.map(({ flags }) => flags)).toEqual([NBD_CMD_FLAG.DF, 0]);
  });
});

describe('a pool', () => {
  it('knows what its connections know, and adds up what they did', async () => {
    const flags = HAS_FLAGS | NBD_FLAG.CAN_MULTI_CONN | NBD_FLAG.SEND_CACHE | NBD_FLAG.ROTATIONAL;
    await using server = await FakeServer.start({ transmissionFlags: flags });
    const pool = await connectPool(server.endpoint, { connections: 3, metaContexts: [CONTEXT] });
    expect(pool.connections.length).toBe(3);
    expect(pool).toMatchObject({
      exportName: '',
      exportSize: 2 ** 20,
      transmissionFlags: flags,
      headerStyle: 'structured',
      metaContexts: [CONTEXT],
      canMultiConn: true,
      canCache: true,
      canFlush: false,
      canFua: false,
      canTrim: false,
      isReadOnly: false,
      isRotational: true,
    });
    await Promise.all([pool.cache(0, 512), pool.write(0, Buffer.alloc(512)), pool.read(0, 1024)]);
    expect(pool.statistics).toMatchObject({
      requests: 3,
      readBytesRequested: 1024,
      writtenBytes: 512,
      requestsInFlight: 0,
      requestsWaiting: 0,
    });
    expect(pool.connections.map(({ statistics }) => statistics.requests)).toEqual([1, 1, 1]);
    await pool.close();
    expect(await pool.closed).toEqual([{ reason: 'close' }, { reason: 'close' }, { reason: 'close' }]);
  });

  it('is one connection where the server allows no more', async () => {
    await using server = await FakeServer.start({ transmissionFlags: HAS_FLAGS });
    await using pool = await connectPool(server.endpoint, { connections: 3 });
    expect(pool.connections.length).toBe(1);
    await expect(connectPool(server.endpoint, { connections: 0 })).rejects.toThrow(NbdUsageError);
  });

  it('of which one connection is refused is none: the others are closed', async () => {
    await using server = await FakeServer.start({
      request: ({ type }) => (type === NBD_CMD.DISC ? undefined : 'nothing'),
      option: () => (server.connections.length > 2 ? Buffer.alloc(20) : undefined),
    });
    await expect(connectPool(server.endpoint, { connections: 4 })).rejects.toThrow(/magic/);
    await vi.waitFor(() => {
      for (const { socket } of server.connections) expect(socket.destroyed).toBe(true);
    }, SOON);
  });
});

describe('those who watch', () => {
  it('see connects, commands with their errors, and ends', async () => {
    const seen: unknown[] = [];
    const started = (message: unknown): void => void seen.push({ ...(message as CommandTrace) });
    const ended = (message: unknown): void => void seen.push((message as CommandTrace).errno);
    const connects = (message: unknown): void => void seen.push({ ...(message as ConnectTrace) });
    const closed = (message: unknown): void => void seen.push((message as ClosedMessage).reason);
    const listeners: [string, (message: unknown) => void][] = [
      ['tracing:nbd-ts-client:command:start', started],
      ['tracing:nbd-ts-client:command:asyncEnd', ended],
      ['tracing:nbd-ts-client:connect:asyncEnd', connects],
      ['nbd-ts-client:closed', closed],
    ];
    for (const [name, listener] of listeners) subscribe(name, listener);
    try {
      await using server = await FakeServer.start({
        request: (request) => (request.type === NBD_CMD.READ ? error(request, 5) : undefined),
      });
      const nbd = await connect({ ...server.endpoint, exportName: 'vda' });
      await expect(nbd.read(512, 1024)).rejects.toThrow('EIO');
      await nbd.close();
      const path = 'path' in server.endpoint.address ? server.endpoint.address.path : '';
      const read = { command: 'NBD_CMD_READ', flags: 0, offset: 512, length: 1024 };
      expect(seen).toEqual([
        { server: path, exportName: 'vda', tls: false, result: undefined },
        { connection: expect.any(Number) as number, ...read },
        5,
        'close',
      ]);
    } finally {
      for (const [name, listener] of listeners) unsubscribe(name, listener);
    }
  });
});

describe('an abstract unix socket', () => {
  it('is connected to by a URI', async () => {
    const name = `nbd-test-${process.pid}`;
    await using server = await FakeServer.start({}, `\0${name}`);
    await using nbd = await connect(`nbd+unix:///?socket=%00${name}`);
    expect((await nbd.read(0, 512)).equals(patternAt(0, 512))).toBe(true);
    expect(server.connections.length).toBe(1);
  });
});
