import { afterEach, describe, expect, it, vi } from 'vitest';
import { connect } from './connect.ts';
import type { ConnectOptions } from './connect-options.ts';
import type { NbdConnection } from './connection.ts';
import { NbdCommandError, NbdConnectionClosedError, NbdError, NbdProtocolError } from './errors.ts';
import { FakeServer, type Script } from './fake-server.fixture.ts';
import { NBD_CMD, NBD_INFO, NBD_OPT, NBD_REP, NBD_REPLY_TYPE } from './protocol/constants.ts';
import {
  chunk,
  data,
  error,
  extendedChunk,
  hole,
  none,
  optionReply,
  patternAt,
  type Request,
  simple,
  status,
  u16,
  u32,
  u64,
} from './wire.fixture.ts';

const KIB = 1024;
const CONTEXT = 'base:allocation';

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => expect.fail(`it was fulfilled with ${String(value)}`),
    (reason: unknown) => reason,
  );
}

const unhandled = vi.fn();
process.on('unhandledRejection', unhandled);
afterEach(() => {
  expect(unhandled).not.toHaveBeenCalled();
});

/** Answers the first READ or status request as told; lets all other requests wait until then. */
async function withReply(
  reply: (request: Request) => Buffer | 'nothing',
  use: (nbd: NbdConnection, server: FakeServer) => Promise<void>,
  script: Script = {},
  options: ConnectOptions = { metaContexts: [CONTEXT] },
): Promise<void> {
  let answered = false;
  await using server = await FakeServer.start({
    ...script,
    request: (request) => {
      if (request.type === NBD_CMD.DISC || answered) return undefined;
      answered = true;
      return reply(request);
    },
  });
  await using nbd = await connect(server.endpoint, options);
  await use(nbd, server);
}

/** The misbehaviour kills the connection once: this command and its neighbour fail with the same cause. */
async function expectDead(
  nbd: NbdConnection,
  start: () => Promise<unknown>,
  errorClass: new (...args: never[]) => NbdError = NbdProtocolError,
): Promise<void> {
  const [first, neighbour] = await Promise.all([rejection(start()), rejection(nbd.read(0, 512))]);
  expect(first).toBeInstanceOf(errorClass);
  expect(neighbour).toBe(first);
  const info = await nbd.closed;
  expect(info.reason).toBe(errorClass === NbdProtocolError ? 'error' : 'server');
  expect(await rejection(nbd.read(0, 512))).toBeInstanceOf(NbdError);
}

/** The misbehaviour fails this command only. */
async function expectAlive(nbd: NbdConnection, start: () => Promise<unknown>): Promise<NbdCommandError> {
  const [failed, neighbour] = await Promise.all([rejection(start()), nbd.read(512, 512)]);
  expect(failed).toBeInstanceOf(NbdCommandError);
  expect(neighbour.equals(patternAt(512, 512))).toBe(true);
  expect((await nbd.read(0, 512)).equals(patternAt(0, 512))).toBe(true);
  return failed as NbdCommandError;
}

const MAX32 = 0xffffffff;
const end = (request: Request): number => request.offset + request.length;
const half = (request: Request): number => request.length / 2;
const raw = (request: Request, type: number, payload: Buffer, length?: number): Buffer =>
  chunk(request, type, payload, length === undefined ? {} : { length });

describe('a READ is answered with', () => {
  const dead: [string, (request: Request) => Buffer][] = [
    [
      'one half twice and the other never',
      (r) => Buffer.concat([data(r, r.offset, half(r), false), data(r, r.offset, half(r))]),
    ],
    ['half of the data', (r) => data(r, r.offset, half(r))],
    ['no data at all', (r) => none(r)],
    ['a hole for half of it', (r) => hole(r, r.offset, half(r))],
    ['data beyond its end', (r) => data(r, r.offset + 1, r.length)],
    [
      'data before its start',
      (r) => Buffer.concat([data(r, r.offset - 512, 512, false), data(r, r.offset, r.length - 512)]),
    ],
    [
      'data at offset 2^64 - 1',
      (r) => raw(r, NBD_REPLY_TYPE.OFFSET_DATA, Buffer.concat([u64(2n ** 64n - 1n), Buffer.alloc(2)])),
    ],
    [
      'all the data twice',
      (r) => Buffer.concat([data(r, r.offset, r.length, false), data(r, r.offset, r.length)]),
    ],
    [
      'overlapping chunks of the right sum',
      (r) => Buffer.concat([data(r, r.offset, half(r), false), data(r, r.offset + 512, half(r))]),
    ],
    ['a simple reply', (r) => simple(r, 0, patternAt(r.offset, r.length))],
    [
      'the cookie of nobody',
      (r) => chunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0), { cookie: r.cookie ^ (1n << 40n) }),
    ],
    ['an unknown chunk type that is no error', (r) => raw(r, 99, Buffer.alloc(8))],
    [
      'NONE that is not the last chunk',
      (r) => chunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0), { done: false }),
    ],
    ['NONE with a payload', (r) => raw(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(4))],
    ['a hole of 0 bytes', (r) => Buffer.concat([hole(r, r.offset, 0, false), data(r, r.offset, r.length)])],
    ['data of 0 bytes', (r) => raw(r, NBD_REPLY_TYPE.OFFSET_DATA, u64(r.offset))],
    ['a hole of 4 GiB', (r) => hole(r, r.offset, MAX32)],
    ['a hole chunk of the wrong length', (r) => raw(r, NBD_REPLY_TYPE.OFFSET_HOLE, Buffer.alloc(16))],
    ['an error with value 0', (r) => error(r, 0)],
    [
      'an error whose message is longer than its chunk',
      (r) => raw(r, NBD_REPLY_TYPE.ERROR, Buffer.concat([u32(5), u16(100)])),
    ],
    ['an error chunk of 2 bytes', (r) => raw(r, NBD_REPLY_TYPE.ERROR, Buffer.alloc(2))],
    ['a chunk of 4 GiB', (r) => raw(r, NBD_REPLY_TYPE.OFFSET_DATA, u64(r.offset), MAX32)],
    ['an error chunk of 4 GiB', (r) => raw(r, NBD_REPLY_TYPE.ERROR, u32(5), MAX32)],
    ['a wrong magic', (r) => chunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0), { magic: 0x12345678 })],
    ['the magic of extended headers', (r) => extendedChunk(r, NBD_REPLY_TYPE.NONE, Buffer.alloc(0))],
    ['extents', (r) => status(r, 1, [[r.length, 0]])],
    [
      'more chunks than sectors',
      (r) => Buffer.concat(Array.from({ length: 600 }, (_, i) => data(r, r.offset + i, 1, false))),
    ],
  ];

  it.each(dead)('%s: dead', async (_title, reply) => {
    await withReply(reply, (nbd) => expectDead(nbd, () => nbd.read(64 * KIB, 64 * KIB)));
  });

  it('two chunks in spite of DF: dead', async () => {
    const two = (r: Request): Buffer =>
      Buffer.concat([data(r, r.offset, half(r), false), data(r, r.offset + half(r), half(r))]);
    await withReply(two, (nbd) => expectDead(nbd, () => nbd.read(0, 1024, { df: true })));
    await withReply(two, async (nbd) => {
      expect((await nbd.read(0, 1024)).equals(patternAt(0, 1024))).toBe(true);
    });
  });

  it('a second last chunk: the read is whole, then dead', async () => {
    const twice = (r: Request): Buffer => Buffer.concat([data(r, r.offset, r.length), none(r)]);
    await withReply(twice, async (nbd) => {
      const [first, neighbour] = await Promise.all([nbd.read(0, 1024), rejection(nbd.read(0, 512))]);
      expect(first.equals(patternAt(0, 1024))).toBe(true);
      expect(neighbour).toBeInstanceOf(NbdProtocolError);
    });
  });

  it('the end of the stream in the middle of a chunk: dead', async () => {
    await using server = await FakeServer.start({ request: () => 'nothing' });
    await using nbd = await connect(server.endpoint);
    const reads = Promise.all([rejection(nbd.read(0, 1024)), rejection(nbd.read(0, 512))]);
    await vi.waitFor(() => {
      expect(server.requests.length).toBe(2);
    });
    server.connections[0]?.socket.end(data(server.requests[0] as Request, 0, 1024).subarray(0, 500));
    const [first, second] = await reads;
    expect(first).toBeInstanceOf(NbdConnectionClosedError);
    expect(second).toBe(first);
    expect(await nbd.closed).toMatchObject({ reason: 'server' });
  });

  const alive: [string, (request: Request) => Buffer, Partial<NbdCommandError>][] = [
    ['an error', (r) => error(r, 5, 'bad \u001b[31msector'), { errno: 5, errnoName: 'EIO' }],
    ['an unknown errno', (r) => error(r, 9999), { errno: 9999 }],
    ['an unknown error type', (r) => raw(r, 0x8009, Buffer.concat([u32(22), u16(0)])), { errno: 22 }],
    [
      'an error and then all the data',
      (r) => Buffer.concat([error(r, 5, '', false), data(r, r.offset, r.length)]),
      { errno: 5 },
    ],
    [
      'data and then an error',
      (r) => Buffer.concat([data(r, r.offset, half(r), false), error(r, 5)]),
      { errno: 5 },
    ],
    [
      'an error at an offset outside',
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

  it('one-sector chunks in reverse order with unknown flag bits: fulfilled', async () => {
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

  it('ESHUTDOWN: this command fails and the connection is left in peace', async () => {
    await withReply(
      (r) => error(r, 108),
      async (nbd) => {
        expect(await rejection(nbd.read(0, 512))).toMatchObject({ errnoName: 'ESHUTDOWN' });
        expect(await nbd.closed).toEqual({ reason: 'client' });
        expect(await rejection(nbd.read(0, 512))).toBeInstanceOf(NbdConnectionClosedError);
      },
    );
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

describe('a BLOCK_STATUS is answered with', () => {
  const dead: [string, (request: Request) => Buffer][] = [
    ['nothing but NONE', (r) => none(r)],
    ['a simple success', (r) => simple(r, 0)],
    ['an unknown context only', (r) => status(r, 7, [[r.length, 0]])],
    [
      'the same context twice',
      (r) => Buffer.concat([status(r, 1, [[r.length, 0]], false), status(r, 1, [[r.length, 3]])]),
    ],
    [
      'a first extent of 0 bytes',
      (r) =>
        status(r, 1, [
          [0, 0],
          [r.length, 0],
        ]),
    ],
    [
      'a later extent of 0 bytes',
      (r) =>
        status(r, 1, [
          [512, 0],
          [0, 0],
        ]),
    ],
    [
      'extents behind the one that covers it',
      (r) =>
        status(r, 1, [
          [r.length, 0],
          [512, 0],
        ]),
    ],
    ['no extents', (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS, u32(1))],
    ['half an extent', (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS, Buffer.alloc(10))],
    [
      '64-bit extents',
      (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS_EXT, Buffer.concat([u32(1), u32(1), u64(512), u64(0)])),
    ],
    ['data', (r) => data(r, r.offset, r.length)],
    ['a status chunk of 4 GiB', (r) => raw(r, NBD_REPLY_TYPE.BLOCK_STATUS, u32(1), MAX32 - 3)],
  ];

  it.each(dead)('%s: dead', async (_title, reply) => {
    await withReply(reply, (nbd) => expectDead(nbd, () => nbd.blockStatus(0, 64 * KIB)));
  });

  it('two extents in spite of REQ_ONE: dead', async () => {
    const two = (r: Request): Buffer =>
      status(r, 1, [
        [512, 0],
        [512, 1],
      ]);
    await withReply(two, (nbd) => expectDead(nbd, () => nbd.blockStatus(0, 1024, { reqOne: true })));
  });

  it('one of two contexts: dead', async () => {
    const reply = (r: Request): Buffer => status(r, 1, [[r.length, 0]]);
    const options = { metaContexts: [CONTEXT, 'x:y'] };
    await withReply(reply, (nbd) => expectDead(nbd, () => nbd.blockStatus(0, 1024)), {}, options);
  });

  it('a last extent beyond the request: cut to it', async () => {
    await withReply(
      (r) =>
        status(r, 1, [
          [512, 3],
          [0xfffffe00, 0],
        ]),
      async (nbd) => {
        expect((await nbd.blockStatus(0, 1024)).get(CONTEXT)).toEqual([
          { offset: 0, length: 512, flags: 3 },
          { offset: 512, length: 512, flags: 0 },
        ]);
      },
    );
  });

  it('an error: this command fails', async () => {
    await withReply(
      (r) => error(r, 22),
      async (nbd) => {
        expect(await expectAlive(nbd, () => nbd.blockStatus(0, 1024))).toMatchObject({ errnoName: 'EINVAL' });
      },
    );
  });
});

describe('a handshake with', () => {
  const go = (...replies: Buffer[]): Script => ({
    option: (option) => (option === NBD_OPT.GO ? Buffer.concat(replies) : undefined),
  });
  const info = (...parts: Buffer[]): Buffer => optionReply(NBD_OPT.GO, NBD_REP.INFO, Buffer.concat(parts));
  const exported = (size: bigint, flags = 1): Buffer => info(u16(NBD_INFO.EXPORT), u64(size), u16(flags));
  const ack = optionReply(NBD_OPT.GO, NBD_REP.ACK);
  const meta = (...replies: Buffer[]): Script => ({
    option: (option) => (option === NBD_OPT.SET_META_CONTEXT ? Buffer.concat(replies) : undefined),
  });
  const context = (payload: Buffer): Buffer =>
    optionReply(NBD_OPT.SET_META_CONTEXT, NBD_REP.META_CONTEXT, payload);
  const metaAck = optionReply(NBD_OPT.SET_META_CONTEXT, NBD_REP.ACK);

  const broken: [string, Script][] = [
    ['no NBD greeting', { greeting: Buffer.from('SSH-2.0-OpenSSH_9.2p1') }],
    ['an acknowledged GO without size', go(ack)],
    ['a size of 2^64 - 1', go(exported(2n ** 64n - 1n), ack)],
    ['a size of 2^63 + 5', go(exported(2n ** 63n + 5n), ack)],
    ['flags of 0', go(exported(512n, 0), ack)],
    ['a short NBD_INFO_EXPORT', go(info(u16(NBD_INFO.EXPORT), u32(512)), ack)],
    ['two sizes that differ', go(exported(512n), exported(1024n), ack)],
    ['block sizes that are none', { blockSize: [3, 100, 7] }],
    ['a minimum block size of 1 GiB', { blockSize: [2 ** 30, 2 ** 30, 2 ** 30] }],
    ['an ACK with a payload', go(exported(512n), optionReply(NBD_OPT.GO, NBD_REP.ACK, u32(0)))],
    ['a reply to another option', go(exported(512n), optionReply(NBD_OPT.LIST, NBD_REP.ACK))],
    ['a wrong reply magic', go(Buffer.alloc(20, 0xee))],
    [
      'an error text of 1 GiB',
      go(Buffer.concat([optionReply(NBD_OPT.GO, NBD_REP.ERR_UNKNOWN).subarray(0, 16), u32(2 ** 30)])),
    ],
    ['replies without end', go(...Array.from({ length: 20_000 }, () => info(u16(99))), ack)],
    [
      'a context id twice',
      meta(
        context(Buffer.concat([u32(1), Buffer.from(CONTEXT)])),
        context(Buffer.concat([u32(1), Buffer.from('a:b')])),
        metaAck,
      ),
    ],
    [
      'a context name twice',
      meta(
        context(Buffer.concat([u32(1), Buffer.from(CONTEXT)])),
        context(Buffer.concat([u32(2), Buffer.from(CONTEXT)])),
        metaAck,
      ),
    ],
    ['a context without name', meta(context(u32(1)), metaAck)],
    ['a context name with NUL', meta(context(Buffer.concat([u32(1), Buffer.from('a\0b')])), metaAck)],
    [
      'a context name that is not UTF-8',
      meta(context(Buffer.concat([u32(1), Buffer.from([0x61, 0xff])])), metaAck),
    ],
  ];

  it.each(broken)('%s is refused', async (_title, script) => {
    await using server = await FakeServer.start(script);
    expect(await rejection(connect(server.endpoint, { metaContexts: [CONTEXT] }))).toBeInstanceOf(
      NbdProtocolError,
    );
  });

  it('the refusal of the export says what the server said, made harmless', async () => {
    await using server = await FakeServer.start(
      go(optionReply(NBD_OPT.GO, NBD_REP.ERR_UNKNOWN, Buffer.from('no \u001b[2J export'))),
    );
    expect(await rejection(connect(server.endpoint))).toMatchObject({
      code: 'ERR_NBD_NEGOTIATION',
      option: NBD_OPT.GO,
      reply: NBD_REP.ERR_UNKNOWN,
      serverMessage: 'no \\u{1b}[2J export',
    });
  });

  it('a context that was never asked for: it is dropped, and extents of it are an error', async () => {
    await using server = await FakeServer.start({
      contexts: [
        [1, CONTEXT],
        [2, 'evil:context'],
      ],
    });
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    expect(nbd.metaContexts).toEqual([CONTEXT]);
    expect(await rejection(nbd.blockStatus(0, 512))).toBeInstanceOf(NbdProtocolError);
  });

  it.each([
    ['no greeting at all', 0],
    ['half a greeting', 9],
  ])('%s ends in time', async (_title, bytes) => {
    await using server = await FakeServer.start({ greeting: Buffer.alloc(bytes, 'NBDMAGICI') });
    const failure = await rejection(connect(server.endpoint, { connectTimeoutMs: 50 }));
    expect(failure).toMatchObject({
      code: 'ERR_NBD_CONNECT',
      message: expect.stringMatching(/within 50 ms/) as string,
    });
  });

  it('flags that promise too much for the headers: they are cleared', async () => {
    await using server = await FakeServer.start({ structured: false, transmissionFlags: 0xffff });
    await using nbd = await connect(server.endpoint);
    expect(nbd.canDf).toBe(false);
  });
});
