import { describe, expect, it, vi } from 'vitest';
import { connect } from './connect.ts';
import { NbdConnectionClosedError, NbdConnectError, NbdUsageError } from './errors.ts';
import { FakeServer } from './fake-server.fixture.ts';
import { NBD_CMD, NBD_CMD_FLAG } from './protocol/constants.ts';
import { data, error, patternAt, type Request } from './wire.fixture.ts';

const KIB = 1024;
const CONTEXT = 'base:allocation';

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it was fulfilled'),
    (reason: unknown) => reason,
  );
}

/** Collects requests and answers none until told. */
async function silentServer(): Promise<FakeServer> {
  return FakeServer.start({ request: ({ type }) => (type === NBD_CMD.DISC ? undefined : 'nothing') });
}

async function requestsOf(server: FakeServer, count: number): Promise<readonly Request[]> {
  await vi.waitFor(() => {
    expect(server.requests.length).toBe(count);
  });
  return server.requests;
}

describe('reading', () => {
  it('splits what is larger than the server takes, and asks for DF where that is known', async () => {
    await using server = await FakeServer.start({ blockSize: [1, 4096, 64 * KIB] });
    await using nbd = await connect(server.endpoint);
    expect((await nbd.read(100, 200 * KIB, { df: true })).equals(patternAt(100, 200 * KIB))).toBe(true);
    expect(server.requests.map(({ length }) => length)).toEqual([64 * KIB, 64 * KIB, 64 * KIB, 8 * KIB]);
    expect(server.requests.every(({ flags }) => flags === NBD_CMD_FLAG.DF)).toBe(true);
    expect(nbd.statistics).toMatchObject({ requests: 4, readBytesRequested: 200 * KIB });
  });

  it('says which command on which part of which export failed', async () => {
    await using server = await FakeServer.start({
      request: (request) => error(request, 5, 'no such sector'),
    });
    await using nbd = await connect({ ...server.endpoint, exportName: 'vda' });
    await expect(nbd.read(512, 1024)).rejects.toMatchObject({
      code: 'ERR_NBD_COMMAND',
      exportName: 'vda',
      offset: 512,
      length: 1024,
      message: 'NBD_CMD_READ of 1024 bytes at 512 of export "vda" failed with EIO (5): no such sector',
    });
    await using other = await connect(server.endpoint);
    await expect(other.read(0, 1)).rejects.toThrow(
      /^NBD_CMD_READ of 1 bytes at 0 of the default export failed/,
    );
  });

  it('sends nothing for nothing', async () => {
    await using server = await FakeServer.start();
    await using nbd = await connect(server.endpoint);
    expect((await nbd.read(2 ** 20, 0)).length).toBe(0);
    expect(server.requests).toEqual([]);
  });

  it('keeps to the window of requests and bytes, and lets one that is too large pass alone', async () => {
    await using server = await silentServer();
    await using nbd = await connect(server.endpoint, { maxRequests: 3, maxBytes: 2048, closeTimeoutMs: 50 });
    const reads = [1024, 1024, 1, 4096].map((length) => nbd.read(0, length).catch(() => undefined));
    const [first, second] = await requestsOf(server, 2);
    server.connections[0]?.socket.write(data(first as Request, 0, 1024));
    await requestsOf(server, 3);
    server.connections[0]?.socket.write(data(second as Request, 0, 1024));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(server.requests.length, 'the large one waits').toBe(3);
    server.connections[0]?.socket.write(data(server.requests[2] as Request, 0, 1));
    await requestsOf(server, 4);
    nbd.destroy();
    await Promise.all(reads);
  });

  it.each([
    ['a negative offset', -1, 1],
    ['a fraction', 0.5, 1],
    ['beyond the end', 2 ** 20, 1],
    ['an unsafe integer', 0, 2 ** 53],
    ['half a block', 0, 256],
  ])('%s is found before anything is sent', async (_title, offset, length) => {
    await using server = await FakeServer.start({ blockSize: [512, 4096, 65536] });
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    expect(await rejection(nbd.read(offset, length))).toBeInstanceOf(NbdUsageError);
    expect(await rejection(nbd.blockStatus(offset, length))).toBeInstanceOf(NbdUsageError);
    expect(server.requests).toEqual([]);
    await nbd.read(0, 512);
  });
});

describe('an abort', () => {
  it('in the middle of the payload rejects at once; the buffer is not written again and the reply is dropped', async () => {
    await using server = await silentServer();
    await using nbd = await connect(server.endpoint);
    const abort = new AbortController();
    const reason = new Error('enough');
    const buffer = Buffer.alloc(256 * KIB, 0xaa);
    const read = rejection(nbd.readInto(buffer, 0, { signal: abort.signal }));
    const neighbour = nbd.read(0, 512);
    const [first, second] = (await requestsOf(server, 2)) as [Request, Request];
    const reply = data(first, 0, 256 * KIB);
    const socket = server.connections[0]?.socket;
    socket?.write(reply.subarray(0, 100 * KIB));
    await vi.waitFor(() => {
      expect(buffer[90 * KIB]).toBe(patternAt(90 * KIB, 1)[0]);
    });
    abort.abort(reason);
    expect(await read).toBe(reason);
    const seen = Buffer.from(buffer);
    socket?.write(Buffer.concat([reply.subarray(100 * KIB), data(second, 0, 512)]));
    expect((await neighbour).equals(patternAt(0, 512))).toBe(true);
    expect(buffer.equals(seen)).toBe(true);
  });

  it('before it is sent, and while it waits for the window, sends nothing', async () => {
    await using server = await silentServer();
    await using nbd = await connect(server.endpoint, { maxRequests: 1, closeTimeoutMs: 50 });
    const abort = new AbortController();
    const first = nbd.read(0, 512).catch(() => undefined);
    const waiting = rejection(nbd.read(512, 512, { signal: abort.signal }));
    await requestsOf(server, 1);
    abort.abort();
    expect(await waiting).toBe(abort.signal.reason);
    expect(await rejection(nbd.read(0, 512, { signal: abort.signal }))).toBe(abort.signal.reason);
    expect(server.requests.length).toBe(1);
    nbd.destroy();
    await first;
  });

  it('of many reads that share a signal takes one listener', async () => {
    await using server = await silentServer();
    await using nbd = await connect(server.endpoint, { closeTimeoutMs: 50 });
    const abort = new AbortController();
    const add = vi.spyOn(abort.signal, 'addEventListener');
    const remove = vi.spyOn(abort.signal, 'removeEventListener');
    const reads = Array.from({ length: 20 }, () => rejection(nbd.read(0, 512, { signal: abort.signal })));
    await requestsOf(server, 16);
    abort.abort();
    await Promise.all(reads);
    expect(add).toHaveBeenCalledTimes(1);
    expect(remove.mock.calls.length).toBeLessThanOrEqual(1);
    nbd.destroy();
  });

  it('of connect rejects with the reason', async () => {
    await using server = await FakeServer.start({ greeting: Buffer.alloc(0) });
    const abort = new AbortController();
    const connecting = rejection(connect(server.endpoint, { signal: abort.signal }));
    setTimeout(() => {
      abort.abort();
    }, 10);
    expect(await connecting).toBe(abort.signal.reason);
    expect(await rejection(connect(server.endpoint, { signal: abort.signal }))).toBe(abort.signal.reason);
  });
});

describe('the end of a connection', () => {
  it('close lets what is under way finish, says goodbye and refuses what comes after', async () => {
    await using server = await silentServer();
    const nbd = await connect(server.endpoint);
    const read = nbd.read(0, 512);
    const [request] = await requestsOf(server, 1);
    const closing = nbd.close();
    expect(await rejection(nbd.read(0, 512))).toBeInstanceOf(NbdConnectionClosedError);
    server.connections[0]?.socket.write(data(request as Request, 0, 512));
    expect((await read).length).toBe(512);
    expect(await closing).toEqual({ reason: 'close' });
    expect(server.requests.at(-1)?.type).toBe(NBD_CMD.DISC);
    expect(await nbd.close()).toEqual({ reason: 'close' });
  });

  it('close is bounded', async () => {
    await using server = await silentServer();
    const nbd = await connect(server.endpoint, { closeTimeoutMs: 30 });
    const read = rejection(nbd.read(0, 512));
    expect((await nbd.close()).reason).toBe('close');
    expect(await read).toBeInstanceOf(NbdConnectionClosedError);
  });

  it('destroy rejects what is under way', async () => {
    await using server = await silentServer();
    const nbd = await connect(server.endpoint);
    const read = rejection(nbd.read(0, 512));
    const cause = new Error('why');
    nbd.destroy(cause);
    nbd.destroy();
    expect(await read).toMatchObject({ code: 'ERR_NBD_CLOSED', cause });
    expect(await nbd.closed).toEqual({ reason: 'destroy', error: cause });
  });

  it('a server that is silent with requests under way is given up, an idle connection is not', async () => {
    await using server = await silentServer();
    const nbd = await connect(server.endpoint, { idleTimeoutMs: 30 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    const failure = await rejection(nbd.read(0, 512));
    expect(failure).toMatchObject({ code: 'ERR_NBD_CLOSED', cause: expect.any(NbdConnectError) as Error });
    expect(await nbd.closed).toMatchObject({ reason: 'error', error: { reason: 'timeout' } });
  });

  it('a server that hangs up is told apart', async () => {
    await using server = await FakeServer.start();
    const nbd = await connect(server.endpoint);
    server.connections[0]?.socket.destroy();
    expect(await nbd.closed).toEqual({ reason: 'peer' });
  });

  it('no server at all is a connect error that says where', async () => {
    const failure = await rejection(connect('nbd+unix:///?socket=/nowhere/socket'));
    expect(failure).toMatchObject({
      code: 'ERR_NBD_CONNECT',
      message: expect.stringContaining('/nowhere/socket') as string,
    });
    expect(await rejection(connect('nbd://127.0.0.1:1/'))).toMatchObject({ code: 'ERR_NBD_CONNECT' });
  });

  it.each([
    { connectTimeoutMs: 0 },
    { maxRequests: 1.5 },
    { idleTimeoutMs: -1 },
    { closeTimeoutMs: 2 ** 31 },
  ])('the option %j is refused', async (options) => {
    expect(await rejection(connect('nbd+unix:///?socket=/x', options))).toBeInstanceOf(NbdUsageError);
  });
});

describe('extents', () => {
  it('joins neighbours across replies, within a range', async () => {
    await using server = await FakeServer.start({
      size: 2n ** 34n,
      request: (request) => {
        if (request.type !== NBD_CMD.BLOCK_STATUS) return undefined;
        const length = Math.min(request.length, 2 ** 30);
        return Buffer.concat([
          Buffer.from('668e33ef00010005', 'hex'),
          bigint(request.cookie),
          word(12),
          word(1),
          word(length),
          word(request.offset >= 2 ** 33 ? 3 : 0),
        ]);
      },
    });
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    const all = await collect(nbd.extents(CONTEXT));
    expect(all).toEqual([
      { offset: 0, length: 2 ** 33, flags: 0 },
      { offset: 2 ** 33, length: 2 ** 33, flags: 3 },
    ]);
    expect(server.requests.every(({ length }) => length <= 2 ** 32 - 2 ** 16)).toBe(true);
    expect(await collect(nbd.extents(CONTEXT, { start: 512, end: 1024 }))).toEqual([
      { offset: 512, length: 512, flags: 0 },
    ]);
    expect(() => nbd.extents('qemu:dirty-bitmap:x')).toThrow(NbdUsageError);
  });
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function bigint(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
