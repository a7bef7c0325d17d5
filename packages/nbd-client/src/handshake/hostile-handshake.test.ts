import { describe, expect, it, vi } from 'vitest';
import { connect, listExports, listMetaContexts } from '../connect.ts';
import { NbdProtocolError, sanitize } from '../errors.ts';
import { FakeServer, type Script } from '../fake-server.fixture.ts';
import { rejection } from '../hostile.fixture.ts';
import { NBD_FLAG, NBD_INFO, NBD_OPT, NBD_REP } from '../protocol/constants.ts';
import { optionReply, u16, u32, u64 } from '../wire.fixture.ts';

/** On a busy machine. */
const SOON = { timeout: 10_000 };

const CONTEXT = 'base:allocation';

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
    ['H34 an acknowledged GO without size', go(ack)],
    ['H33 a size of 2^64 - 1', go(exported(2n ** 64n - 1n), ack)],
    ['H33 a size of 2^63 + 5', go(exported(2n ** 63n + 5n), ack)],
    ['H34 flags of 0', go(exported(512n, 0), ack)],
    ['H34 a short NBD_INFO_EXPORT', go(info(u16(NBD_INFO.EXPORT), u32(512)), ack)],
    ['H35 two sizes that differ', go(exported(512n), exported(1024n), ack)],
    ['H36 block sizes that are none', { blockSize: [3, 100, 7] }],
    ['H36 a minimum block size of 1 GiB', { blockSize: [2 ** 30, 2 ** 30, 2 ** 30] }],
    ['H37 an ACK with a payload', go(exported(512n), optionReply(NBD_OPT.GO, NBD_REP.ACK, u32(0)))],
    ['H37 a reply to another option', go(exported(512n), optionReply(NBD_OPT.LIST, NBD_REP.ACK))],
    ['H37 a wrong reply magic', go(Buffer.alloc(20, 0xee))],
    [
      'H38 an error text of 1 GiB',
      go(Buffer.concat([optionReply(NBD_OPT.GO, NBD_REP.ERR_UNKNOWN).subarray(0, 16), u32(2 ** 30)])),
    ],
    ['H40 replies without end', go(...Array.from({ length: 20_000 }, () => info(u16(99))), ack)],
    [
      'H41 a context id twice',
      meta(
        context(Buffer.concat([u32(1), Buffer.from(CONTEXT)])),
        context(Buffer.concat([u32(1), Buffer.from('a:b')])),
        metaAck,
      ),
    ],
    [
      'H41 a context name twice',
      meta(
        context(Buffer.concat([u32(1), Buffer.from(CONTEXT)])),
        context(Buffer.concat([u32(2), Buffer.from(CONTEXT)])),
        metaAck,
      ),
    ],
    ['H42 a context without name', meta(context(u32(1)), metaAck)],
    ['H42 a context name with NUL', meta(context(Buffer.concat([u32(1), Buffer.from('a\0b')])), metaAck)],
    [
      'H42 a context name that is not UTF-8',
      meta(context(Buffer.concat([u32(1), Buffer.from([0x61, 0xff])])), metaAck),
    ],
  ];

  it.each(broken)('%s is refused', async (_title, script) => {
    await using server = await FakeServer.start(script);
    expect(await rejection(connect(server.endpoint, { metaContexts: [CONTEXT] }))).toBeInstanceOf(
      NbdProtocolError,
    );
  });

  it('H39 the refusal of the export says what the server said, made harmless', async () => {
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

  it('H41 a context that was never asked for: it is dropped, and extents of it are an error', async () => {
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
    ['H44 no greeting at all', 0],
    ['H44 half a greeting', 9],
  ])('%s ends in time', async (_title, bytes) => {
    await using server = await FakeServer.start({ greeting: Buffer.alloc(bytes, 'NBDMAGICI') });
    const failure = await rejection(connect(server.endpoint, { connectTimeoutMs: 50 }));
    expect(failure).toMatchObject({
      code: 'ERR_NBD_CONNECT',
      message: expect.stringMatching(/within 50 ms/) as string,
    });
  });

  it('H43 flags that promise too much for the headers: they are cleared', async () => {
    await using simpleServer = await FakeServer.start({ structured: false, transmissionFlags: 0xffff });
    await using plain = await connect(simpleServer.endpoint);
    expect(plain).toMatchObject({ canDf: false, canFilterStatus: false, canFastZero: true });
    const noZeroes = 0xffff & ~NBD_FLAG.SEND_WRITE_ZEROES;
    await using server = await FakeServer.start({ transmissionFlags: noZeroes });
    await using nbd = await connect(server.endpoint);
    expect(nbd).toMatchObject({ canDf: true, canFilterStatus: false, canFastZero: false, canZero: false });
    await using extended = await FakeServer.start({ extended: true, transmissionFlags: 0xffff });
    await using full = await connect(extended.endpoint);
    expect(full).toMatchObject({ canDf: true, canFilterStatus: true, canFastZero: true });
  });

  it.each([
    ['H40 a list without end', NBD_OPT.LIST, NBD_REP.SERVER, u32(0)],
    ['H40 200,000 metadata contexts', NBD_OPT.LIST_META_CONTEXT, NBD_REP.META_CONTEXT, Buffer.alloc(5, 'x')],
  ])('%s is refused', async (_title, option, type, payload) => {
    const flood = Buffer.concat(Array.from({ length: 20_000 }, () => optionReply(option, type, payload)));
    await using server = await FakeServer.start({
      option: (asked) => (asked === option ? flood : undefined),
    });
    const asking = option === NBD_OPT.LIST ? listExports(server.endpoint) : listMetaContexts(server.endpoint);
    expect(await rejection(asking)).toBeInstanceOf(NbdProtocolError);
  });

  it('H39 names and descriptions come as they are, and can be made harmless', async () => {
    await using server = await FakeServer.start({ exports: [['a\u001b[2J', 'b\u0007']] });
    const [listing] = await listExports(server.endpoint);
    expect(listing).toEqual({ name: 'a\u001b[2J', description: 'b\u0007' });
    expect(sanitize(`${listing?.name}${listing?.description}`)).toBe('a\\u{1b}[2Jb\\u{7}');
  });

  it('H44 one byte now and then does not keep the handshake alive', async () => {
    await using server = await FakeServer.start({ greeting: Buffer.alloc(0) });
    const connecting = rejection(connect(server.endpoint, { handshakeTimeoutMs: 120 }));
    await vi.waitFor(() => {
      expect(server.connections.length).toBe(1);
    }, SOON);
    let at = 0;
    const drip = setInterval(() => {
      server.connections[0]?.socket.write('NBDMAGICIHAVEOPT'.charAt(at++));
    }, 20);
    expect(await connecting).toMatchObject({
      code: 'ERR_NBD_CONNECT',
      message: expect.stringMatching(/within 120 ms/) as string,
    });
    clearInterval(drip);
  });
});
