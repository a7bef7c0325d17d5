import { getEventListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { connect, listExports } from './connect.ts';
import type { NbdConnection } from './connection.ts';
import { FakeServer } from './fake-server.fixture.ts';
import { rejection } from './hostile.fixture.ts';
import { NBD_CMD, NBD_IHAVEOPT, NBD_MAGIC, NBD_OPT, NBD_REP } from './protocol/constants.ts';
import { data, error, optionReply, patternAt, type Request, u16, u64 } from './wire.fixture.ts';

describe('why there is no connection', () => {
  it('a server that is not there is unreachable', async () => {
    await expect(connect({ address: { path: '/nowhere/s' } })).rejects.toMatchObject({
      code: 'ERR_NBD_CONNECT',
      reason: 'unreachable',
    });
  });

  it('one that hangs up within the handshake has closed it', async () => {
    await using server = await FakeServer.start({
      option: () => {
        server.connections[0]?.socket.destroy();
        return 'nothing';
      },
    });
    await expect(connect(server.endpoint)).rejects.toMatchObject({
      code: 'ERR_NBD_CONNECT',
      reason: 'closed',
    });
  });

  it.each([{ connectTimeoutMs: 30 }, { handshakeTimeoutMs: 30 }])(
    'one that says nothing is a timeout: %j',
    async (options) => {
      await using server = await FakeServer.start({ option: () => 'nothing' });
      await expect(connect(server.endpoint, options)).rejects.toMatchObject({
        code: 'ERR_NBD_CONNECT',
        reason: 'timeout',
      });
    },
  );
});

describe('why the handshake came to nothing', () => {
  it.each([
    [
      NBD_REP.ERR_UNKNOWN,
      'unknown-export',
      'the server has no such export (NBD_OPT_GO: NBD_REP_ERR_UNKNOWN)',
    ],
    [NBD_REP.ERR_TLS_REQD, 'tls-required', /takes nobody without TLS: use nbds/],
    [NBD_REP.ERR_POLICY, 'denied', 'does not allow it'],
    [NBD_REP.ERR_SHUTDOWN, 'shutting-down', 'is shutting down'],
    [NBD_REP.ERR_TOO_BIG, 'refused', 'the server refuses (NBD_OPT_GO: NBD_REP_ERR_TOO_BIG)'],
    [0x80000099, 'refused', '(NBD_OPT_GO: NBD_REP_unknown (2147483801))'],
  ])('reply %i means that', async (reply, reason, message) => {
    await using server = await FakeServer.start({
      option: (option) => (option === NBD_OPT.GO ? optionReply(option, reply, Buffer.from('no')) : undefined),
    });
    const attempt = connect({ ...server.endpoint, exportName: 'vda' });
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_NBD_NEGOTIATION', reason, reply });
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toThrow(/: no$/);
  });

  it('a server without fixed newstyle is not even asked for its exports', async () => {
    const greeting = Buffer.concat([u64(NBD_MAGIC), u64(NBD_IHAVEOPT), u16(0)]);
    await using server = await FakeServer.start({ greeting });
    const attempt = listExports(server.endpoint);
    await expect(attempt).rejects.toMatchObject({ reason: 'unsupported', option: NBD_OPT.LIST, reply: null });
    await expect(attempt).rejects.toThrow(/speaks no fixed newstyle negotiation/);
    expect(server.connections[0]?.options).toEqual([]);
  });
});

describe('a command with timeoutMs', () => {
  it.each<[string, (nbd: NbdConnection) => Promise<unknown>]>([
    ['read', (nbd) => nbd.read(0, 2 ** 20, { timeoutMs: 30 })],
    ['readInto', (nbd) => nbd.readInto(Buffer.alloc(512), 0, { timeoutMs: 30 })],
    ['write', (nbd) => nbd.write(0, Buffer.alloc(512), { timeoutMs: 30 })],
    ['flush', (nbd) => nbd.flush({ timeoutMs: 30 })],
    ['cache', (nbd) => nbd.cache(0, 512, { timeoutMs: 30 })],
    ['blockStatus', (nbd) => nbd.blockStatus(0, 512, { timeoutMs: 30 })],
  ])('%s is given up, and the connection goes on; the late reply is dropped', async (name, command) => {
    const held: Request[] = [];
    let isHolding = true;
    await using server = await FakeServer.start({
      blockSize: [1, 4096, 64 * 1024],
      request: (request) => (isHolding && held.push(request) > 0 ? 'nothing' : undefined),
    });
    await using nbd = await connect(server.endpoint, { metaContexts: ['base:allocation'] });
    const failure = await rejection(command(nbd));
    expect(failure).toMatchObject({
      code: 'ERR_NBD_TIMEOUT',
      message: `${name} was not answered within 30 ms`,
    });
    isHolding = false;
    for (const request of held)
      server.connections[0]?.socket.write(
        request.type === NBD_CMD.READ ? data(request, request.offset, request.length) : error(request, 5),
      );
    expect((await nbd.read(512, 512)).equals(patternAt(512, 512))).toBe(true);
  });

  it('that is answered in time, or that has the time 0, is not', async () => {
    await using server = await FakeServer.start();
    await using nbd = await connect(server.endpoint);
    const { signal } = new AbortController();
    await nbd.read(0, 512, { timeoutMs: 1, signal }).catch(() => undefined);
    expect((await nbd.read(0, 512, { timeoutMs: 10_000, signal })).equals(patternAt(0, 512))).toBe(true);
    expect((await nbd.read(0, 512, { timeoutMs: 0 })).length).toBe(512);
    await setImmediate();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    for (const timeoutMs of [-1, 0.5, 2 ** 31, '5', Number.NaN])
      expect(await rejection(nbd.flush({ timeoutMs: timeoutMs as number }))).toMatchObject({
        code: 'ERR_NBD_USAGE',
      });
  });
});
