import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { connectPool } from './connect.ts';
import { NbdConnectionClosedError } from './errors.ts';
import { FakeServer } from './fake-server.fixture.ts';
import type { NbdPool } from './pool.ts';
import { NBD_CMD } from './protocol/constants.ts';
import { patternAt } from './wire.fixture.ts';

const CONTEXT = 'base:allocation';
const KIB = 1024;

/** How many of `count` reads, so many at a time, fail; whatever succeeds is compared. */
async function failedReads(pool: NbdPool, count: number, atOnce: number): Promise<readonly unknown[]> {
  const errors: unknown[] = [];
  let next = 0;
  const reader = async (): Promise<void> => {
    while (next < count) {
      const offset = (next++ % 1024) * KIB;
      try {
        expect((await pool.read(offset, KIB)).equals(patternAt(offset, KIB))).toBe(true);
      } catch (error) {
        errors.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, reader));
  return errors;
}

async function untilSize(pool: NbdPool, size: number): Promise<void> {
  await vi.waitFor(() => {
    expect(pool.connections.length).toBe(size);
  });
}

describe('a pool of which one connection was cut', () => {
  it('while it is idle: every read goes to the others, and so do flush and status', async () => {
    await using server = await FakeServer.start();
    await using pool = await connectPool(server.endpoint, { connections: 4, metaContexts: [CONTEXT] });
    // The first one, which was asked for whatever only one connection is asked for.
    server.connections[0]?.socket.destroy();
    await untilSize(pool, 3);
    expect(await failedReads(pool, 2000, 32)).toEqual([]);
    await pool.flush();
    expect([...(await pool.blockStatus(0, KIB)).keys()]).toEqual([CONTEXT]);
    for await (const extent of pool.extents(CONTEXT))
      expect(extent).toMatchObject({ offset: 0, length: 2 ** 20 });
    expect(pool.statistics.requests).toBeGreaterThanOrEqual(2000);
  });

  it('in the middle: what it had sent fails, what waited for its window is read by another', async () => {
    let reads = 0;
    await using server = await FakeServer.start({
      request: ({ type }, connection) => {
        if (type !== NBD_CMD.READ || ++reads < 500 || connection !== server.connections[1]) return undefined;
        connection.socket.destroy();
        return 'nothing';
      },
    });
    await using pool = await connectPool(server.endpoint, { connections: 4, maxRequests: 16 });
    const errors = await failedReads(pool, 2000, 2000);
    expect(errors.length).toBeLessThanOrEqual(16);
    expect(errors.every((error) => error instanceof NbdConnectionClosedError && error.sent)).toBe(true);
    expect(pool.connections.length).toBe(3);
  });

  it('and the others after it: a command fails at once, and says so', async () => {
    await using server = await FakeServer.start();
    const pool = await connectPool(server.endpoint, { connections: 2, metaContexts: [CONTEXT] });
    for (const { socket } of server.connections) socket.destroy();
    expect((await pool.closed).length).toBe(2);
    expect(pool.connections).toEqual([]);
    for (const command of [
      pool.read(0, 1),
      pool.flush(),
      pool.blockStatus(0, 1),
      pool.write(0, Buffer.alloc(1)),
    ])
      await expect(command).rejects.toThrow(NbdConnectionClosedError);
  });
});

describe('a pool that reconnects', () => {
  const reconnect = { attempts: 3, firstDelayMs: 5, maxDelayMs: 20 };

  it('fills the place of a connection that was cut, and adds up what both did', async () => {
    await using server = await FakeServer.start();
    await using pool = await connectPool(server.endpoint, { connections: 2, reconnect });
    await pool.read(0, KIB);
    for (const { socket } of [...server.connections]) socket.destroy();
    await vi.waitFor(() => {
      expect(server.connections.length).toBe(4);
    });
    await untilSize(pool, 2);
    await pool.read(0, KIB);
    expect(pool.statistics.requests).toBe(2);
  });

  it('gives up after its attempts, and then has ended', async () => {
    const server = await FakeServer.start();
    const pool = await connectPool(server.endpoint, { connections: 1, reconnect });
    await server[Symbol.asyncDispose]();
    expect((await pool.closed).length).toBe(1);
    await expect(pool.read(0, 1)).rejects.toThrow(/no connection of the pool is open: cannot connect/);
  });

  it('gives up a server that takes every connection and cuts it', async () => {
    let isCutting = false;
    await using server = await FakeServer.start({
      option: () => {
        if (isCutting) setTimeout(() => server.connections.at(-1)?.socket.destroy(), 2);
        return undefined;
      },
    });
    const patient = { ...reconnect, maxDelayMs: 10_000 };
    const pool = await connectPool(server.endpoint, { connections: 1, reconnect: patient });
    isCutting = true;
    server.connections[0]?.socket.destroy();
    await pool.closed;
    expect(server.connections.length).toBeLessThanOrEqual(1 + reconnect.attempts);
  });

  it('takes no other export in the place of the old one', async () => {
    const script = { size: 2n ** 20n };
    await using server = await FakeServer.start(script);
    const pool = await connectPool(server.endpoint, { connections: 1, reconnect });
    script.size = 2n ** 21n;
    server.connections[0]?.socket.destroy();
    await pool.closed;
    await expect(pool.read(0, 1)).rejects.toThrow(/another export/);
  });

  it.each(['close', 'destroy'] as const)('opens none after %s', async (end) => {
    await using server = await FakeServer.start();
    const pool = await connectPool(server.endpoint, { connections: 2, reconnect: { firstDelayMs: 50 } });
    server.connections[0]?.socket.destroy();
    await untilSize(pool, 1);
    await pool[end]();
    await pool.closed;
    await delay(80);
    expect(server.connections.length).toBe(2);
  });
});
