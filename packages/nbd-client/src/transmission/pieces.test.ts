import { describe, expect, it } from 'vitest';
import { connect, connectPool } from '../connect.ts';
import { NbdConnectionClosedError, NbdUsageError } from '../errors.ts';
import { FakeServer } from '../fake-server.fixture.ts';
import { rejection } from '../hostile.fixture.ts';
import { NBD_CMD, NBD_FLAG } from '../protocol/constants.ts';
import { patternAt, simple } from '../wire.fixture.ts';

/** Header and payload of each: more pieces than a call can have arguments. */
const WINDOW = 70_000;

describe('a range that takes many requests', () => {
  it('is cut as they are answered, be there millions, and no further behind an error', async () => {
    let answered = 0;
    await using server = await FakeServer.start({
      size: 2n ** 53n - 1n,
      transmissionFlags: NBD_FLAG.HAS_FLAGS | NBD_FLAG.SEND_CACHE,
      request: (request) =>
        request.type === NBD_CMD.CACHE ? simple(request, answered++ === 100 ? 5 : 0) : undefined,
    });
    await using nbd = await connect(server.endpoint);
    // 2^28 requests of 32 MiB.
    await expect(nbd.cache(0, 2 ** 53 - 1)).rejects.toMatchObject({ errnoName: 'EIO' });
    expect(server.requests.length).toBeLessThan(150);
    expect(nbd.statistics).toMatchObject({ requestsInFlight: 0, requestsWaiting: 0 });
  });

  it('of one read of a hundred thousand pieces no more wait than the window takes; an abort ends them all', async () => {
    await using server = await FakeServer.start({
      size: 2n ** 40n,
      blockSize: [1, 512, 512],
      request: ({ type }) => (type === NBD_CMD.DISC ? undefined : 'nothing'),
    });
    const nbd = await connect(server.endpoint);
    const abort = new AbortController();
    const read = rejection(nbd.read(0, 512 * 100_000, { signal: abort.signal }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(nbd.statistics).toMatchObject({ requestsInFlight: 16, requestsWaiting: 0 });
    abort.abort();
    expect(await read).toBe(abort.signal.reason);
    nbd.destroy();
  });

  it('is read to its end, in more turns than the window has places', async () => {
    await using server = await FakeServer.start({ blockSize: [1, 512, 512] });
    await using nbd = await connect(server.endpoint, { maxRequests: 3 });
    expect((await nbd.read(100, 50_000)).equals(patternAt(100, 50_000))).toBe(true);
    expect(server.requests).toHaveLength(Math.ceil(50_000 / 512));
  });

  it('of memory that is given away half-way fails, and asks for nothing instead', async () => {
    const buffer = new Uint8Array(512 * 64);
    await using server = await FakeServer.start({
      blockSize: [1, 512, 512],
      request: ({ type, offset }) => {
        if (type === NBD_CMD.READ && offset === 512 * 20)
          structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
        return undefined;
      },
    });
    await using nbd = await connect(server.endpoint, { maxRequests: 1 });
    expect(await rejection(nbd.readInto(buffer, 0))).toBeInstanceOf(NbdUsageError);
    expect(server.requests.every(({ length }) => length === 512)).toBe(true);
    expect((await nbd.read(512, 512)).equals(patternAt(512, 512))).toBe(true);
  });

  it('of which some were sent counts as sent: no other connection of a pool does it again', async () => {
    await using server = await FakeServer.start({
      transmissionFlags: NBD_FLAG.HAS_FLAGS | NBD_FLAG.CAN_MULTI_CONN,
      blockSize: [1, 512, 512],
      request: (request, connection) => {
        if (request.type !== NBD_CMD.WRITE || connection !== server.connections[0]) return undefined;
        if (request.offset > 0) connection.socket.destroy();
        return request.offset > 0 ? 'nothing' : undefined;
      },
    });
    await using pool = await connectPool(server.endpoint, { connections: 2, maxRequests: 1 });
    const failure = await rejection(pool.write(0, Buffer.alloc(4096)));
    expect(failure).toBeInstanceOf(NbdConnectionClosedError);
    expect(failure).toMatchObject({ sent: true });
    expect(server.requests.map(({ offset }) => offset)).toEqual([0, 512]);
  });
});

it('a window of tens of thousands of writes leaves in one go', async () => {
  await using server = await FakeServer.start({ transmissionFlags: NBD_FLAG.HAS_FLAGS });
  await using nbd = await connect(server.endpoint, { maxRequests: WINDOW });
  server.connections[0]?.socket.pause();
  const bytes = Buffer.alloc(1);
  const writes = Array.from({ length: WINDOW }, () => nbd.write(0, bytes));
  await new Promise((resolve) => setImmediate(resolve));
  expect(nbd.statistics.requestsInFlight).toBe(WINDOW);
  nbd.destroy();
  await Promise.allSettled(writes);
});
