import { describe, expect, it, vi } from 'vitest';
import { connect, exportInfo, listExports, listMetaContexts } from '../connect.ts';
import { NbdNegotiationError, NbdProtocolError, NbdUsageError } from '../errors.ts';
import { FakeServer, type Script } from '../fake-server.fixture.ts';
import { NBD_FLAG, NBD_INFO, NBD_OPT, NBD_REP } from '../protocol/constants.ts';
import { optionReply, u16, u32, u64 } from '../wire.fixture.ts';

/** On a busy machine. */
const SOON = { timeout: 10_000 };

const CONTEXT = 'base:allocation';

/** Answers one option with these bytes. */
const answer = (option: number, ...replies: Buffer[]): Script => ({
  option: (asked) => (asked === option ? Buffer.concat(replies) : undefined),
});

const optionsOf = (server: FakeServer): readonly number[] => server.connections.at(-1)?.options ?? [];

describe('listExports', () => {
  it('brings names and descriptions and says goodbye', async () => {
    await using server = await FakeServer.start({
      exports: [
        ['vda', 'system'],
        ['ä', ''],
      ],
    });
    expect(await listExports(server.endpoint)).toEqual([
      { name: 'vda', description: 'system' },
      { name: 'ä', description: '' },
    ]);
    expect(optionsOf(server)).toEqual([NBD_OPT.LIST, NBD_OPT.ABORT]);
  });

  it('is refused by policy: an error that says so, after a goodbye', async () => {
    await using server = await FakeServer.start(
      answer(NBD_OPT.LIST, optionReply(NBD_OPT.LIST, NBD_REP.ERR_POLICY, Buffer.from('no'))),
    );
    await expect(listExports(server.endpoint)).rejects.toMatchObject({
      option: NBD_OPT.LIST,
      reply: NBD_REP.ERR_POLICY,
      serverMessage: 'no',
    });
    expect(optionsOf(server)).toEqual([NBD_OPT.LIST, NBD_OPT.ABORT]);
  });

  it.each([
    ['a name longer than its reply', Buffer.concat([u32(9), Buffer.from('vda')])],
    ['no length', Buffer.alloc(3)],
    ['a name that is not UTF-8', Buffer.concat([u32(1), Buffer.from([0xff])])],
  ])('a listing with %s is refused', async (_title, payload) => {
    const replies = [
      optionReply(NBD_OPT.LIST, NBD_REP.SERVER, payload),
      optionReply(NBD_OPT.LIST, NBD_REP.ACK),
    ];
    await using server = await FakeServer.start(answer(NBD_OPT.LIST, ...replies));
    await expect(listExports(server.endpoint)).rejects.toThrow(NbdProtocolError);
  });
});

describe('exportInfo', () => {
  it('asks for everything, behind the best headers there are', async () => {
    const replies = [
      [u16(NBD_INFO.DESCRIPTION), Buffer.from('system disk')],
      [u16(77), Buffer.from('of a later protocol')],
      [u16(NBD_INFO.BLOCK_SIZE), u32(1), u32(4096), u32(0xffffffff)],
      [u16(NBD_INFO.EXPORT), u64(4096), u16(NBD_FLAG.HAS_FLAGS | NBD_FLAG.BLOCK_STATUS_PAYLOAD)],
      [u16(NBD_INFO.NAME), Buffer.from('vda')],
    ].map((parts) => optionReply(NBD_OPT.INFO, NBD_REP.INFO, Buffer.concat(parts)));
    await using server = await FakeServer.start({
      extended: true,
      offered: [CONTEXT, 'qemu:dirty-bitmap:b'],
      ...answer(NBD_OPT.INFO, ...replies, optionReply(NBD_OPT.INFO, NBD_REP.ACK)),
    });
    expect(await exportInfo(server.endpoint)).toEqual({
      name: 'vda',
      size: 4096,
      description: 'system disk',
      blockSize: { minimum: 1, preferred: 4096, maximum: 0xffffffff },
      transmissionFlags: NBD_FLAG.HAS_FLAGS | NBD_FLAG.BLOCK_STATUS_PAYLOAD,
      headerStyle: 'extended',
      metaContexts: [CONTEXT, 'qemu:dirty-bitmap:b'],
    });
    const { EXTENDED_HEADERS, LIST_META_CONTEXT, INFO, ABORT } = NBD_OPT;
    expect(optionsOf(server)).toEqual([EXTENDED_HEADERS, LIST_META_CONTEXT, INFO, ABORT]);
  });

  it('of a server that knows no contexts has none', async () => {
    await using server = await FakeServer.start({
      structured: false,
      ...answer(NBD_OPT.LIST_META_CONTEXT, optionReply(NBD_OPT.LIST_META_CONTEXT, NBD_REP.ERR_UNSUP)),
    });
    expect(await exportInfo({ ...server.endpoint, exportName: 'vda' })).toMatchObject({
      name: 'vda',
      headerStyle: 'simple',
      metaContexts: [],
    });
  });

  it('information twice and different is refused', async () => {
    const info = (size: number): Buffer =>
      optionReply(NBD_OPT.INFO, NBD_REP.INFO, Buffer.concat([u16(NBD_INFO.EXPORT), u64(size), u16(1)]));
    await using server = await FakeServer.start(
      answer(NBD_OPT.INFO, info(512), info(1024), optionReply(NBD_OPT.INFO, NBD_REP.ACK)),
    );
    await expect(exportInfo(server.endpoint)).rejects.toThrow(/different/);
  });

  it('of a server without fixed newstyle negotiation is an error', async () => {
    const greeting = Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(0)]);
    await using server = await FakeServer.start({ greeting });
    await expect(exportInfo(server.endpoint)).rejects.toThrow(NbdNegotiationError);
  });
});

describe('listMetaContexts', () => {
  it('lists all, or what fits a query', async () => {
    const offered = [CONTEXT, 'qemu:allocation-depth', 'qemu:dirty-bitmap:b'];
    await using server = await FakeServer.start({ offered });
    expect(await listMetaContexts(server.endpoint)).toEqual(offered);
    expect(await listMetaContexts(server.endpoint, { queries: ['qemu:'] })).toEqual(offered.slice(1));
    expect(optionsOf(server).slice(-2)).toEqual([NBD_OPT.LIST_META_CONTEXT, NBD_OPT.ABORT]);
  });

  it('asks QEMU 3.0 for its own contexts, which it lists only then', async () => {
    const bitmap = 'qemu:dirty-bitmap:b';
    const list = (name: string): Buffer =>
      Buffer.concat([
        optionReply(9, NBD_REP.META_CONTEXT, Buffer.concat([u32(0), Buffer.from(name)])),
        optionReply(9, NBD_REP.ACK),
      ]);
    await using server = await FakeServer.start({
      option: (option, data) => {
        if (option !== NBD_OPT.LIST_META_CONTEXT) return undefined;
        return list(data.includes('qemu:') ? bitmap : CONTEXT);
      },
    });
    expect(await listMetaContexts(server.endpoint)).toEqual([CONTEXT, bitmap]);
  });

  it('discards what came before an error', async () => {
    const context = optionReply(9, NBD_REP.META_CONTEXT, Buffer.concat([u32(0), Buffer.from(CONTEXT)]));
    const script = answer(NBD_OPT.LIST_META_CONTEXT, context, optionReply(9, NBD_REP.ERR_TOO_BIG));
    await using server = await FakeServer.start(script);
    await expect(listMetaContexts(server.endpoint)).rejects.toMatchObject({ reply: NBD_REP.ERR_TOO_BIG });
    expect((await exportInfo(server.endpoint)).metaContexts).toEqual([]);
  });

  it.each([[['']], [['a\0b']], [['x'.repeat(4097)]]])('refuses the queries %j', async (queries) => {
    await expect(listMetaContexts('nbd+unix:///?socket=/x', { queries })).rejects.toThrow(NbdUsageError);
  });
});

describe('a refusal in the handshake', () => {
  it.each([
    ['ERR_TLS_REQD', NBD_OPT.EXTENDED_HEADERS],
    ['ERR_SHUTDOWN', NBD_OPT.EXTENDED_HEADERS],
    ['ERR_EXT_HEADER_REQD', NBD_OPT.STRUCTURED_REPLY],
    ['ERR_UNKNOWN', NBD_OPT.GO],
    ['ERR_BLOCK_SIZE_REQD', NBD_OPT.GO],
    ['ERR_INVALID', NBD_OPT.SET_META_CONTEXT],
    ['ERR_PLATFORM', NBD_OPT.GO],
  ] as const)('%s to option %i: an error with both, and a goodbye behind it', async (name, option) => {
    const script = answer(option, optionReply(option, NBD_REP[name]));
    await using server = await FakeServer.start(script);
    const failure = connect(server.endpoint, { metaContexts: [CONTEXT] });
    await expect(failure).rejects.toMatchObject({ option, reply: NBD_REP[name] });
    await expect(failure).rejects.toThrow(`NBD_REP_${name}`);
    expect(optionsOf(server).slice(-2)).toEqual([option, NBD_OPT.ABORT]);
  });

  it('a server that just hangs up at the goodbye, or does not even do that, is left', async () => {
    const refused = optionReply(NBD_OPT.GO, NBD_REP.ERR_UNKNOWN);
    const silent: Script = {
      option: (option) =>
        option === NBD_OPT.GO ? refused : option === NBD_OPT.ABORT ? 'nothing' : undefined,
    };
    await using server = await FakeServer.start(silent);
    await expect(connect(server.endpoint)).rejects.toMatchObject({ reply: NBD_REP.ERR_UNKNOWN });
    await vi.waitFor(() => {
      expect(server.connections[0]?.socket.readableEnded).toBe(true);
    }, SOON);
  });

  it('metadata contexts that the server does not know are not selected; no status can be asked then', async () => {
    const script = answer(NBD_OPT.SET_META_CONTEXT, optionReply(NBD_OPT.SET_META_CONTEXT, NBD_REP.ERR_UNSUP));
    await using server = await FakeServer.start(script);
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    expect(nbd.metaContexts).toEqual([]);
    await expect(nbd.blockStatus(0, 512)).rejects.toThrow(NbdUsageError);
  });

  it.each([
    [NBD_OPT.STRUCTURED_REPLY, NBD_REP.INFO],
    [NBD_OPT.SET_META_CONTEXT, NBD_REP.SERVER],
    [NBD_OPT.GO, NBD_REP.META_CONTEXT],
    [NBD_OPT.GO, 99],
  ])('option %i answered with a reply of type %i is a violation', async (option, type) => {
    const script = answer(option, optionReply(option, type, u32(1)), optionReply(option, NBD_REP.ACK));
    await using server = await FakeServer.start(script);
    await expect(connect(server.endpoint, { metaContexts: [CONTEXT] })).rejects.toThrow(NbdProtocolError);
    expect(optionsOf(server)).not.toContain(NBD_OPT.ABORT);
  });
});

describe('names of metadata contexts', () => {
  it.each([[''], ['base'], ['base:'], [':x'], ['a:b\0'], ['a:' + 'x'.repeat(4096)]])(
    '%j is refused before anything is dialled',
    async (name) => {
      const connecting = connect('nbd+unix:///?socket=/nowhere', { metaContexts: [name] });
      await expect(connecting).rejects.toThrow(NbdUsageError);
    },
  );

  it('that are there twice are refused', async () => {
    const metaContexts = [CONTEXT, CONTEXT];
    await expect(connect('nbd+unix:///?socket=/nowhere', { metaContexts })).rejects.toThrow(/twice/);
  });
});
