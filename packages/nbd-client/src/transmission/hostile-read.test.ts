import { describe, expect, it, vi } from 'vitest';
import { connect } from '../connect.ts';
import { NbdCommandError, NbdConnectionClosedError, NbdProtocolError } from '../errors.ts';
import { FakeServer } from '../fake-server.fixture.ts';
import { expectAlive, expectDead, rejection, withReply } from '../hostile.fixture.ts';
import { NBD_CMD, NBD_FLAG, NBD_REPLY_TYPE } from '../protocol/constants.ts';
import {
  chunk,
  data,
  error,
  extendedChunk,
  hole,
  none,
  patternAt,
  type Request,
  simple,
  status,
  u16,
  u32,
  u64,
} from '../wire.fixture.ts';

/** On a busy machine. */
const SOON = { timeout: 10_000 };

const KIB = 1024;

const MAX32 = 0xffffffff;
const end = (request: Request): number => request.offset + request.length;
const half = (request: Request): number => request.length / 2;
const raw = (request: Request, type: number, payload: Buffer, length?: number): Buffer =>
  chunk(request, type, payload, length === undefined ? {} : { length });

describe('a READ is answered with', () => {
  const dead: [string, (request: Request) => Buffer][] = [
    [
      'H01 one half twice and the other never',
      (r) => Buffer.concat([data(r, r.offset, half(r), false), data(r, r.offset, half(r))]),
    ],
    ['H02 half of the data', (r) => data(r, r.offset, half(r))],
    ['H03 no data at all', (r) => none(r)],
    ['H02 a hole for half of it', (r) => hole(r, r.offset, half(r))],
    ['H04 data beyond its end', (r) => data(r, r.offset + 1, r.length)],
    [
      'H04 data before its start',
      (r) => Buffer.concat([data(r, r.offset - 512, 512, false), data(r, r.offset, r.length - 512)]),
    ],
    [
      'H04 data at offset 2^64 - 1',
      (r) => raw(r, NBD_REPLY_TYPE.OFFSET_DATA, Buffer.concat([u64(2n ** 64n - 1n), Buffer.alloc(2)])),
    ],
    [
      'H05 all the data twice',
      (r) => Buffer.concat([data(r, r.offset, r.length, false), data(r, r.offset, r.length)]),
    ],
    [
      'H01 overlapping chunks of the right sum',
      (r) => Buffer.concat([data(r, r.offset, half(r), false), data(r, r.offset + 512, half(r))]),
    ],
    ['H07 a simple reply', (r) => simple(r, 0, patternAt(r.offset, r.length))],
    [
      'H08 the cookie of nobody',
      (r) => chunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0), { cookie: r.cookie ^ (1n << 40n) }),
    ],
    ['H09 an unknown chunk type that is no error', (r) => raw(r, 99, Buffer.alloc(8))],
    [
      'H11 NONE that is not the last chunk',
      (r) => chunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0), { done: false }),
    ],
    ['H11 NONE with a payload', (r) => raw(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(4))],
    [
      'H12 a hole of 0 bytes',
      (r) => Buffer.concat([hole(r, r.offset, 0, false), data(r, r.offset, r.length)]),
    ],
    ['H12 data of 0 bytes', (r) => raw(r, NBD_REPLY_TYPE.OFFSET_DATA, u64(r.offset))],
    ['H13 a hole of 4 GiB', (r) => hole(r, r.offset, MAX32)],
    ['H12 a hole chunk of the wrong length', (r) => raw(r, NBD_REPLY_TYPE.OFFSET_HOLE, Buffer.alloc(16))],
    ['H14 an error with value 0', (r) => error(r, 0)],
    [
      'H15 an error whose message is longer than its chunk',
      (r) => raw(r, NBD_REPLY_TYPE.ERROR, Buffer.concat([u32(5), u16(100)])),
    ],
    ['H15 an error chunk of 2 bytes', (r) => raw(r, NBD_REPLY_TYPE.ERROR, Buffer.alloc(2))],
    ['H17 a chunk of 4 GiB', (r) => raw(r, NBD_REPLY_TYPE.OFFSET_DATA, u64(r.offset), MAX32)],
    ['H17 an error chunk of 4 GiB', (r) => raw(r, NBD_REPLY_TYPE.ERROR, u32(5), MAX32)],
    ['H18 a wrong magic', (r) => chunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0), { magic: 0x12345678 })],
    ['H18 the magic of extended headers', (r) => extendedChunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0))],
    ['H09 extents', (r) => status(r, 1, [[r.length, 0]])],
    [
      'H20 more chunks than sectors',
      (r) => Buffer.concat(Array.from({ length: 600 }, (_, i) => data(r, r.offset + i, 1, false))),
    ],
  ];

  it.each(dead)('%s: dead', async (_title, reply) => {
    await withReply(reply, (nbd) => expectDead(nbd, () => nbd.read(64 * KIB, 64 * KIB)));
  });

  it('H06 two chunks in spite of DF: dead', async () => {
    const two = (r: Request): Buffer =>
      Buffer.concat([data(r, r.offset, half(r), false), data(r, r.offset + half(r), half(r))]);
    await withReply(two, (nbd) => expectDead(nbd, () => nbd.read(0, 1024, { df: true })));
    await withReply(two, async (nbd) => {
      expect((await nbd.read(0, 1024)).equals(patternAt(0, 1024))).toBe(true);
    });
  });

  it('H08 a second last chunk: the read is whole, then dead', async () => {
    const twice = (r: Request): Buffer => Buffer.concat([data(r, r.offset, r.length), none(r)]);
    await withReply(twice, async (nbd) => {
      const [first, neighbour] = await Promise.all([nbd.read(0, 1024), rejection(nbd.read(0, 512))]);
      expect(first.equals(patternAt(0, 1024))).toBe(true);
      expect(neighbour).toBeInstanceOf(NbdProtocolError);
    });
  });

  it('H19 the end of the stream in the middle of a chunk: dead', async () => {
    await using server = await FakeServer.start({ request: () => 'nothing' });
    await using nbd = await connect(server.endpoint);
    const reads = Promise.all([rejection(nbd.read(0, 1024)), rejection(nbd.read(0, 512))]);
    await vi.waitFor(() => {
      expect(server.requests.length).toBe(2);
    }, SOON);
    server.connections[0]?.socket.end(data(server.requests[0] as Request, 0, 1024).subarray(0, 500));
    const [first, second] = await reads;
    expect(first).toBeInstanceOf(NbdConnectionClosedError);
    expect(second).toBe(first);
    expect(await nbd.closed).toMatchObject({ reason: 'peer' });
  });

  const alive: [string, (request: Request) => Buffer, Partial<NbdCommandError>][] = [
    [
      'H10 an unknown error type and then all the data',
      (r) =>
        Buffer.concat([
          chunk(r, 0x8009, Buffer.concat([u32(22), u16(0)]), { done: false }),
          data(r, r.offset, r.length),
        ]),
      { errno: 22 },
    ],
    ['H39 an error', (r) => error(r, 5, 'bad \u001b[31msector'), { errno: 5, errnoName: 'EIO' }],
    ['H14 an unknown errno', (r) => error(r, 9999), { errno: 9999, errnoName: 'EINVAL' }],
    ['H10 an unknown error type', (r) => raw(r, 0x8009, Buffer.concat([u32(22), u16(0)])), { errno: 22 }],
    [
      'H16 an error and then all the data',
      (r) => Buffer.concat([error(r, 5, '', false), data(r, r.offset, r.length)]),
      { errno: 5 },
    ],
    [
      'H16 data and then an error',
      (r) => Buffer.concat([data(r, r.offset, half(r), false), error(r, 5)]),
      { errno: 5 },
    ],
    [
      'H15 an error at an offset outside',
      (r) => raw(r, NBD_REPLY_TYPE.ERROR_OFFSET, Buffer.concat([u32(5), u16(0), u64(end(r))])),
      { errno: 5, errorOffset: undefined },
    ],
    [
      'an error at an offset inside',
      (r) => raw(r, NBD_REPLY_TYPE.ERROR_OFFSET, Buffer.concat([u32(5), u16(0), u64(r.offset + 1)])),
      { errno: 5, errorOffset: 64 * KIB + 1 },
    ],
  ];

  it.each(alive)('%s: this command fails, the connection lives', async (_title, reply, fields) => {
    await withReply(reply, async (nbd) => {
      const failure = await expectAlive(nbd, () => nbd.read(64 * KIB, 64 * KIB));
      expect(failure).toMatchObject({
        command: 'NBD_CMD_READ',
        offset: 64 * KIB,
        length: 64 * KIB,
        ...fields,
      });
      // Text from a peer cannot steer a terminal.
      expect(failure.message).not.toContain('\u001b');
    });
  });

  it('H20 one-sector chunks in reverse order, H21 with unknown flag bits: fulfilled', async () => {
    const reverse = (r: Request): Buffer =>
      Buffer.concat(
        Array.from({ length: r.length / 512 }, (_, index) => {
          const offset = end(r) - (index + 1) * 512;
          const payload = Buffer.concat([u64(offset), patternAt(offset, 512)]);
          return chunk(r, NBD_REPLY_TYPE.OFFSET_DATA, payload, { done: offset === r.offset, flags: 0xfffe });
        }),
      );
    await withReply(reverse, async (nbd) => {
      expect((await nbd.read(512, 64 * KIB)).equals(patternAt(512, 64 * KIB))).toBe(true);
    });
  });

  it('holes and data: fulfilled, holes are zeroes', async () => {
    const mixed = (r: Request): Buffer =>
      Buffer.concat([
        hole(r, r.offset + 512, 1024, false),
        data(r, r.offset, 512, false),
        data(r, r.offset + 1536, 512),
      ]);
    await withReply(mixed, async (nbd) => {
      const expected = Buffer.concat([patternAt(0, 512), Buffer.alloc(1024), patternAt(1536, 512)]);
      const buffer = Buffer.alloc(2048, 0xff);
      await nbd.readInto(buffer, 0);
      expect(buffer.equals(expected)).toBe(true);
    });
  });

  it('H45 ESHUTDOWN: this command fails and the connection is left in peace', async () => {
    await withReply(
      (r) => error(r, 108),
      async (nbd) => {
        expect(await rejection(nbd.read(0, 512))).toMatchObject({ errnoName: 'ESHUTDOWN' });
        expect(await nbd.closed).toEqual({ reason: 'peer' });
        expect(await rejection(nbd.read(0, 512))).toBeInstanceOf(NbdConnectionClosedError);
      },
    );
  });

  it('H45 ESHUTDOWN: what waits for room in the window is not sent any more', async () => {
    await withReply(
      (r) => error(r, 108),
      async (nbd, server) => {
        const [first, waiting] = [rejection(nbd.read(0, 512)), rejection(nbd.read(512, 512))];
        expect(await first).toMatchObject({ errnoName: 'ESHUTDOWN' });
        expect(await waiting).toBeInstanceOf(NbdConnectionClosedError);
        await nbd.closed;
        expect(server.requests.map(({ type }) => type)).toEqual([NBD_CMD.READ, NBD_CMD.DISC]);
      },
      {},
      { maxRequests: 1 },
    );
  });

  it('H44 nothing at all: given up after the idle time, or when the signal of the command says so', async () => {
    await using server = await FakeServer.start({ request: () => 'nothing' });
    await using nbd = await connect(server.endpoint, { idleTimeoutMs: 200 });
    const timeout = AbortSignal.timeout(20);
    expect(await rejection(nbd.read(0, 512, { signal: timeout }))).toBe(timeout.reason);
    expect(await rejection(nbd.read(0, 512))).toBeInstanceOf(NbdConnectionClosedError);
    expect(await nbd.closed).toMatchObject({ reason: 'error' });
  });
});

describe('without structured replies', () => {
  it('simple replies are read, and their errors fail one command', async () => {
    await withReply(
      (r) => simple(r, 5),
      async (nbd) => {
        expect(nbd.headerStyle).toBe('simple');
        expect(nbd.canDf).toBe(false);
        expect(await expectAlive(nbd, () => nbd.read(0, 64 * KIB, { df: true }))).toMatchObject({ errno: 5 });
      },
      { structured: false },
    );
  });

  it('a structured chunk: dead', async () => {
    const reply = (r: Request): Buffer => data(r, r.offset, r.length);
    await withReply(reply, (nbd) => expectDead(nbd, () => nbd.read(0, 1024)), { structured: false });
  });
});

describe('a WRITE', () => {
  it('H44 that the server does not take off the wire: no more than the window is queued, and it ends', async () => {
    await using server = await FakeServer.start({
      size: 2n ** 30n,
      transmissionFlags: NBD_FLAG.HAS_FLAGS,
    });
    const limits = { idleTimeoutMs: 300, maxBytes: 4 * KIB * KIB, closeTimeoutMs: 100 };
    await using nbd = await connect(server.endpoint, limits);
    server.connections[0]?.socket.pause();
    const writes = Array.from({ length: 20 }, () => rejection(nbd.write(0, Buffer.alloc(KIB * KIB))));
    await vi.waitFor(() => {
      expect(nbd.statistics.requestsInFlight).toBe(4);
    }, SOON);
    expect(nbd.statistics).toMatchObject({ requestsWaiting: 16, writtenBytes: 4 * KIB * KIB });
    for (const failure of await Promise.all(writes)) expect(failure).toBeInstanceOf(NbdConnectionClosedError);
  });
});
