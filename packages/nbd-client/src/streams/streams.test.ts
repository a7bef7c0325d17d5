import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it, vi } from 'vitest';
import { connect, connectPool } from '../connect.ts';
import { NbdCommandError, NbdUsageError } from '../errors.ts';
import { FakeServer, type Script } from '../fake-server.fixture.ts';
import { NBD_CMD, NBD_CMD_FLAG, NBD_FLAG } from '../protocol/constants.ts';
import { error, patternAt, type Request, simple } from '../wire.fixture.ts';
import type { RestoreChunk } from './write-streams.ts';

/** On a busy machine. */
const SOON = { timeout: 10_000 };

const MIB = 2 ** 20;
const WRITABLE =
  NBD_FLAG.HAS_FLAGS | NBD_FLAG.SEND_FLUSH | NBD_FLAG.SEND_WRITE_ZEROES | NBD_FLAG.CAN_MULTI_CONN;

/** Writes are applied, and answered at once or when told. */
function disk(
  bytes: number,
  hold: (request: Request) => boolean = () => false,
): Script & { content: Buffer } {
  const content = Buffer.alloc(bytes, 0xff);
  return {
    content,
    size: BigInt(bytes),
    transmissionFlags: WRITABLE,
    request: (request) => {
      if (request.type === NBD_CMD.WRITE) request.payload.copy(content, request.offset);
      if (request.type === NBD_CMD.WRITE_ZEROES)
        content.fill(0, request.offset, request.offset + request.length);
      return hold(request) ? 'nothing' : undefined;
    },
  };
}

describe('a read stream', () => {
  it('brings a range in order, reads ahead, and carries DF where it is asked to', async () => {
    await using server = await FakeServer.start({ size: 4n * 2n ** 20n });
    await using nbd = await connect(server.endpoint);
    const all = (await nbd.createReadStream({ start: 512, end: 3 * MIB, df: true }).toArray()) as Buffer[];
    expect(Buffer.concat(all).equals(patternAt(512, 3 * MIB - 512))).toBe(true);
    expect(server.requests.every(({ flags }) => flags === NBD_CMD_FLAG.DF)).toBe(true);
  });

  it('reads no further than its bound while nobody takes anything', async () => {
    await using server = await FakeServer.start({ size: 64n * 2n ** 20n });
    await using nbd = await connect(server.endpoint);
    const stream = nbd.createReadStream();
    stream.read(1);
    await vi.waitFor(() => {
      expect(nbd.statistics.requestsInFlight + nbd.statistics.requestsWaiting).toBe(0);
      expect(server.requests.length).toBeGreaterThan(1);
    }, SOON);
    expect(server.requests.length).toBeLessThanOrEqual(16);
    stream.destroy();
  });

  it('that is destroyed ends at once although the server is silent, and asks no further', async () => {
    await using server = await FakeServer.start({
      size: 64n * 2n ** 20n,
      request: ({ type }) => (type === NBD_CMD.READ ? 'nothing' : undefined),
    });
    const nbd = await connect(server.endpoint, { maxRequests: 2, closeTimeoutMs: 50 });
    const abort = new AbortController();
    const bytes = nbd.createReadStream({ signal: abort.signal }).toArray();
    await vi.waitFor(() => {
      expect(server.requests.length).toBe(2);
    }, SOON);
    expect(nbd.statistics.requestsWaiting).toBe(6);
    abort.abort();
    await expect(bytes).rejects.toThrow(/abort/i);
    expect(nbd.statistics.requestsWaiting).toBe(0);
    await nbd.close();
  });

  it('fails with the error of a read', async () => {
    await using server = await FakeServer.start({
      request: (request) => (request.offset >= 2 ** 19 ? error(request, 5) : undefined),
    });
    await using nbd = await connect(server.endpoint);
    await expect(nbd.createReadStream().toArray()).rejects.toThrow(NbdCommandError);
  });

  it.each([
    { start: -1 },
    { end: 2 ** 40 },
    { start: 512, end: 0 },
    { start: 0.5 },
    { start: Number.NaN },
    { start: 1 },
  ])('of %j is refused', async (options) => {
    await using server = await FakeServer.start({ blockSize: [512, 4096, 65536] });
    await using nbd = await connect(server.endpoint);
    expect(() => nbd.createReadStream(options)).toThrow(NbdUsageError);
  });
});

describe('a write stream', () => {
  it('writes several pieces at once and flushes behind the last one', async () => {
    const target = disk(4 * MIB);
    await using server = await FakeServer.start(target);
    await using nbd = await connect(server.endpoint);
    const pieces = Array.from({ length: 30 }, (_, index) => patternAt(index * 100_000, 100_000));
    await pipeline(Readable.from(pieces), nbd.createWriteStream({ start: 1000 }));
    expect(target.content.subarray(1000, 1000 + 3_000_000).equals(patternAt(0, 3_000_000))).toBe(true);
    expect(target.content[999]).toBe(0xff);
    expect(server.requests.at(-1)?.type).toBe(NBD_CMD.FLUSH);
    expect(nbd.statistics.writtenBytes).toBe(3_000_000);
  });

  it('makes its source wait while the server is slow', async () => {
    const held: Request[] = [];
    const target = disk(64 * MIB, (request) => request.type === NBD_CMD.WRITE && held.push(request) > 0);
    await using server = await FakeServer.start(target);
    await using nbd = await connect(server.endpoint, { maxRequests: 64 });
    let taken = 0;
    const source = Readable.from(
      (function* () {
        for (; taken < 60; taken++) yield Buffer.alloc(MIB, taken);
      })(),
    );
    const done = pipeline(source, nbd.createWriteStream());
    await vi.waitFor(() => {
      expect(held.length).toBe(8);
    }, SOON);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(held.length).toBe(8);
    expect(taken, 'what its buffers hold, and no more').toBeLessThan(40);
    for (let next = 0; next < 60; next++) {
      await vi.waitFor(() => {
        expect(held.length).toBeGreaterThan(next);
      }, SOON);
      server.connections[0]?.socket.write(simple(held[next] as Request, 0));
    }
    await done;
    expect(target.content[59 * MIB]).toBe(59);
  });

  it('fails with the error of a write, and does not flush', async () => {
    await using server = await FakeServer.start({
      transmissionFlags: WRITABLE,
      request: (request) => (request.type === NBD_CMD.WRITE ? error(request, 28) : undefined),
    });
    await using nbd = await connect(server.endpoint);
    const written = pipeline(Readable.from([Buffer.alloc(512)]), nbd.createWriteStream());
    await expect(written).rejects.toMatchObject({ errnoName: 'ENOSPC' });
    expect(server.requests.some(({ type }) => type === NBD_CMD.FLUSH)).toBe(false);
  });

  it('of a start outside the export is refused', async () => {
    await using server = await FakeServer.start({ transmissionFlags: WRITABLE });
    await using nbd = await connect(server.endpoint);
    expect(() => nbd.createWriteStream({ start: 2 ** 40 })).toThrow(NbdUsageError);
  });
});

describe('a restore stream', () => {
  const chunks: RestoreChunk[] = [
    { type: 'zero', offset: 0, length: MIB },
    { type: 'data', offset: 2 * MIB, bytes: Buffer.alloc(4096, 2) },
    { type: 'data', offset: MIB + 512, bytes: Buffer.alloc(512, 1) },
    { type: 'zero', offset: 3 * MIB, length: 700_000 },
  ];
  const expected = Buffer.alloc(4 * MIB, 0xff);
  expected
    .fill(0, 0, MIB)
    .fill(2, 2 * MIB, 2 * MIB + 4096)
    .fill(1, MIB + 512, MIB + 1024);
  expected.fill(0, 3 * MIB, 3 * MIB + 700_000);

  it.each([
    ['with WRITE_ZEROES', WRITABLE, 2],
    ['without it', WRITABLE & ~NBD_FLAG.SEND_WRITE_ZEROES, 0],
  ])('puts data and zeroes where they belong, %s', async (_title, transmissionFlags, zeroRequests) => {
    const target = disk(4 * MIB);
    await using server = await FakeServer.start({ ...target, transmissionFlags });
    await using pool = await connectPool(server.endpoint, { connections: 1 });
    await pipeline(Readable.from(chunks), pool.createRestoreStream({ noHole: true }));
    expect(target.content.equals(expected)).toBe(true);
    const zeroing = server.requests.filter(({ type }) => type === NBD_CMD.WRITE_ZEROES);
    expect(zeroing.map(({ flags }) => flags)).toEqual(Array(zeroRequests).fill(NBD_CMD_FLAG.NO_HOLE));
    expect(server.requests.at(-1)?.type).toBe(NBD_CMD.FLUSH);
  });

  it('makes its source wait while many small changes are under way', async () => {
    let isHolding = true;
    const held: Request[] = [];
    const target = disk(
      MIB,
      (request) => isHolding && request.type !== NBD_CMD.FLUSH && held.push(request) > 0,
    );
    await using server = await FakeServer.start(target);
    await using nbd = await connect(server.endpoint, { maxRequests: 100 });
    const zeroes = Array.from({ length: 90 }, (_, index) => ({
      type: 'zero',
      offset: index * 512,
      length: 512,
    }));
    const done = pipeline(Readable.from(zeroes), nbd.createRestoreStream());
    await vi.waitFor(() => {
      expect(held.length).toBe(32);
    }, SOON);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(held.length).toBe(32);
    isHolding = false;
    for (const request of held) server.connections[0]?.socket.write(simple(request, 0));
    await done;
    expect(target.content.subarray(0, 90 * 512).every((byte) => byte === 0)).toBe(true);
  });
});
