import { describe, expect, it, vi } from 'vitest';
import { connect } from '../connect.ts';
import { NbdNegotiationError, NbdProtocolError, NbdUsageError } from '../errors.ts';
import { FakeServer, type Script } from '../fake-server.fixture.ts';
import { NBD_IHAVEOPT, NBD_MAGIC, NBD_OLDSTYLE_MAGIC, NBD_OPT } from '../protocol/constants.ts';
import { patternAt, u16, u64 } from '../wire.fixture.ts';

const SIZE = 2 ** 20;
const CONTEXT = 'base:allocation';

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it was fulfilled'),
    (reason: unknown) => reason,
  );
}

/** Answers NBD_OPT_EXPORT_NAME, with its padding unless both sides leave it out. */
const exportNameReply = (zeroes: number): Buffer => Buffer.concat([u64(SIZE), u16(1), Buffer.alloc(zeroes)]);

const newstyle = (flags: number, option: Script['option']): Script => ({
  greeting: Buffer.concat([u64(NBD_MAGIC), u64(NBD_IHAVEOPT), u16(flags)]),
  structured: false,
  ...(option && { option }),
});

describe('the handshake asks in the recommended order', () => {
  it('extended headers, structured replies, contexts, then the export', async () => {
    await using server = await FakeServer.start();
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    const { EXTENDED_HEADERS, STRUCTURED_REPLY, SET_META_CONTEXT, GO } = NBD_OPT;
    expect(server.connections[0]?.options).toEqual([
      EXTENDED_HEADERS,
      STRUCTURED_REPLY,
      SET_META_CONTEXT,
      GO,
    ]);
    expect(nbd.headerStyle).toBe('structured');
  });

  it('nothing behind extended headers where those are known', async () => {
    await using server = await FakeServer.start({ extended: true });
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    const { EXTENDED_HEADERS, SET_META_CONTEXT, GO } = NBD_OPT;
    expect(server.connections[0]?.options).toEqual([EXTENDED_HEADERS, SET_META_CONTEXT, GO]);
    expect(nbd.headerStyle).toBe('extended');
    expect((await nbd.read(512, 100_000)).equals(patternAt(512, 100_000))).toBe(true);
    expect((await nbd.blockStatus(0, SIZE)).get(CONTEXT)).toEqual([{ offset: 0, length: SIZE, flags: 0 }]);
    await nbd.flush();
  });

  it('no extended headers where they are not wanted, no contexts where none are', async () => {
    await using server = await FakeServer.start({ extended: true });
    await using nbd = await connect(server.endpoint, { extendedHeaders: false });
    expect(server.connections[0]?.options).toEqual([NBD_OPT.STRUCTURED_REPLY, NBD_OPT.GO]);
    expect(nbd.headerStyle).toBe('structured');
  });
});

describe('older servers', () => {
  it('oldstyle: one export without name', async () => {
    const greeting = Buffer.concat([
      u64(NBD_MAGIC),
      u64(NBD_OLDSTYLE_MAGIC),
      u64(SIZE),
      u16(0),
      u16(3),
      Buffer.alloc(124),
    ]);
    await using server = await FakeServer.start({ greeting, oldstyle: true, structured: false });
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    expect(nbd).toMatchObject({
      exportSize: SIZE,
      isReadOnly: true,
      headerStyle: 'simple',
      metaContexts: [],
    });
    expect((await nbd.read(5, 5)).equals(patternAt(5, 5))).toBe(true);
    const named = { ...server.endpoint, exportName: 'vda' };
    expect(await rejection(connect(named))).toBeInstanceOf(NbdUsageError);
  });

  it.each([
    ['with padding', 0, 124],
    ['without padding', 2, 0],
  ])('newstyle that is not fixed, %s: only NBD_OPT_EXPORT_NAME', async (_title, flags, zeroes) => {
    await using server = await FakeServer.start(newstyle(flags, () => exportNameReply(zeroes)));
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    expect(server.connections[0]?.options).toEqual([NBD_OPT.EXPORT_NAME]);
    expect((await nbd.read(0, 512)).equals(patternAt(0, 512))).toBe(true);
  });

  it('fixed newstyle without NBD_OPT_GO falls back to NBD_OPT_EXPORT_NAME', async () => {
    await using server = await FakeServer.start({
      structured: false,
      option: (number) => (number === NBD_OPT.EXPORT_NAME ? exportNameReply(0) : undefined),
      refuseGo: true,
    });
    await using nbd = await connect(server.endpoint);
    expect(server.connections[0]?.options.slice(-2)).toEqual([NBD_OPT.GO, NBD_OPT.EXPORT_NAME]);
    expect((await nbd.read(0, 512)).equals(patternAt(0, 512))).toBe(true);
  });

  it('structured replies without NBD_OPT_GO fall back to NBD_OPT_EXPORT_NAME and keep them', async () => {
    await using server = await FakeServer.start({
      option: (number) => (number === NBD_OPT.EXPORT_NAME ? exportNameReply(0) : undefined),
      refuseGo: true,
    });
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    expect(nbd).toMatchObject({ headerStyle: 'structured', metaContexts: [CONTEXT] });
    expect((await nbd.blockStatus(0, 512)).get(CONTEXT)).toEqual([{ offset: 0, length: 512, flags: 0 }]);
  });

  it('extended headers without NBD_OPT_GO are an error: there is no way back from them', async () => {
    await using server = await FakeServer.start({ extended: true, refuseGo: true });
    expect(await rejection(connect(server.endpoint))).toBeInstanceOf(NbdNegotiationError);
    expect(server.connections[0]?.options).not.toContain(NBD_OPT.EXPORT_NAME);
  });

  it('oldstyle flags with bits in their upper half are refused', async () => {
    const magic = [u64(NBD_MAGIC), u64(NBD_OLDSTYLE_MAGIC)];
    const greeting = Buffer.concat([...magic, u64(SIZE), u16(1), u16(1), Buffer.alloc(124)]);
    await using server = await FakeServer.start({ greeting, oldstyle: true });
    expect(await rejection(connect(server.endpoint))).toBeInstanceOf(NbdProtocolError);
  });

  it('an export it does not have: the server hangs up, which says so', async () => {
    await using server = await FakeServer.start(
      newstyle(2, () => {
        server.connections[0]?.socket.end();
        return 'nothing';
      }),
    );
    const failure = await rejection(connect({ ...server.endpoint, exportName: 'vdz' }));
    expect(failure).toBeInstanceOf(NbdNegotiationError);
    expect(failure).toMatchObject({
      option: NBD_OPT.EXPORT_NAME,
      reply: null,
      message: expect.stringMatching(/"vdz"/) as string,
    });
  });

  it('an abort while the server considers an export name rejects with its reason', async () => {
    await using server = await FakeServer.start(newstyle(2, () => 'nothing'));
    const abort = new AbortController();
    const attempt = rejection(connect(server.endpoint, { signal: abort.signal }));
    await vi.waitFor(() => {
      expect(server.connections[0]?.options).toEqual([NBD_OPT.EXPORT_NAME]);
    });
    const reason = new Error('enough');
    abort.abort(reason);
    expect(await attempt).toBe(reason);
  });
});
