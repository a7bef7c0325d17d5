import { describe, expect, it, vi } from 'vitest';
import { connect } from '../connect.ts';
import { NbdConnectionClosedError, NbdTlsError, NbdUsageError } from '../errors.ts';
import { FakeServer, type Script } from '../fake-server.fixture.ts';
import {
  NBD_CMD,
  NBD_IHAVEOPT,
  NBD_MAGIC,
  NBD_OLDSTYLE_MAGIC,
  NBD_OPT,
  NBD_REP,
} from '../protocol/constants.ts';
import type { TlsOptions } from './tls-options.ts';
import { data, optionReply, patternAt, u16, u64 } from '../wire.fixture.ts';

/** On a busy machine. */
const SOON = { timeout: 10_000 };

const tls: TlsOptions = { type: 'x509', hostname: 'localhost' };
const answer = (...replies: Buffer[]): Script => ({
  option: (option) => (option === NBD_OPT.STARTTLS ? Buffer.concat(replies) : undefined),
});
const ack = optionReply(NBD_OPT.STARTTLS, NBD_REP.ACK);

async function failureOf(script: Script): Promise<{ error: unknown; options: readonly number[] }> {
  await using server = await FakeServer.start(script);
  const error: unknown = await connect({ ...server.endpoint, tls }, { connectTimeoutMs: 500 }).catch(
    (e: unknown) => e,
  );
  return { error, options: server.connections[0]?.options ?? [] };
}

describe('TLS that was asked for', () => {
  it.each([
    ['T1 is refused', answer(optionReply(NBD_OPT.STARTTLS, NBD_REP.ERR_UNSUP)), /refuses TLS.*ERR_UNSUP/],
    ['T1 is refused by policy', answer(optionReply(NBD_OPT.STARTTLS, NBD_REP.ERR_POLICY)), /ERR_POLICY/],
    ['T2 is preceded by plain text of somebody in between', answer(ack, ack), /plain text/],
    ['T1 is answered with no TLS', answer(ack, Buffer.alloc(0)), /./],
  ])('and %s: an error, and nothing else is sent', async (_title, script, says) => {
    const { error, options } = await failureOf(script);
    expect(error).toBeInstanceOf(Error);
    if (says.source !== '.') expect(error).toBeInstanceOf(NbdTlsError);
    expect((error as Error).message).toMatch(says);
    expect(options).toEqual([NBD_OPT.STARTTLS]);
  });
});

const key = Buffer.alloc(32, 7);
const psk: TlsOptions = { type: 'psk', identity: 'alice', key };

describe('TLS with a server that has none', () => {
  it.each([
    ['T1 an oldstyle server', Buffer.concat([u64(NBD_MAGIC), u64(NBD_OLDSTYLE_MAGIC), Buffer.alloc(136)])],
    ['T1 a server without fixed newstyle', Buffer.concat([u64(NBD_MAGIC), u64(NBD_IHAVEOPT), u16(0)])],
  ])('%s: an error, and not a byte is sent', async (_title, greeting) => {
    await using server = await FakeServer.start({ greeting });
    await expect(connect({ ...server.endpoint, tls: psk })).rejects.toThrow(NbdTlsError);
    await vi.waitFor(() => {
      expect(server.connections[0]?.socket.readableEnded).toBe(true);
    }, SOON);
    expect(server.connections[0]?.socket.bytesRead).toBe(0);
  });
});

describe('TLS with a key that both know', () => {
  it('T6 everything is negotiated behind it', async () => {
    await using server = await FakeServer.start({ psk: key });
    await using nbd = await connect({ ...server.endpoint, tls: psk }, { metaContexts: ['base:allocation'] });
    const { STARTTLS, EXTENDED_HEADERS, STRUCTURED_REPLY, SET_META_CONTEXT, GO } = NBD_OPT;
    const order = [STARTTLS, EXTENDED_HEADERS, STRUCTURED_REPLY, SET_META_CONTEXT, GO];
    expect(server.connections[0]?.options).toEqual(order);
    expect((await nbd.read(100, 100_000)).equals(patternAt(100, 100_000))).toBe(true);
    await nbd.close();
    expect(server.requests.at(-1)?.type).toBe(NBD_CMD.DISC);
  });

  it('T3 another key is refused', async () => {
    await using server = await FakeServer.start({ psk: key });
    const wrong: TlsOptions = { ...psk, key: Buffer.alloc(32, 8) };
    const failure: unknown = await connect({ ...server.endpoint, tls: wrong }).catch((e: unknown) => e);
    expect(failure).toBeInstanceOf(NbdTlsError);
    expect(server.connections[0]?.options).toEqual([NBD_OPT.STARTTLS]);
  });

  it('T4 a server that hangs up behind it may not like the client: the error says so', async () => {
    await using server = await FakeServer.start({
      psk: key,
      option: (option) => {
        if (option === NBD_OPT.STARTTLS) return undefined;
        server.connections[0]?.socket.destroy();
        return 'nothing';
      },
    });
    const connecting = connect({ ...server.endpoint, tls: psk });
    await expect(connecting).rejects.toThrow(NbdTlsError);
    await expect(connecting).rejects.toThrow(/another client certificate/);
  });

  it('T5 an end without goodbye in the middle of a reply is never a success', async () => {
    await using server = await FakeServer.start({
      psk: key,
      request: (request, connection) => {
        if (request.type !== NBD_CMD.READ) return undefined;
        connection.socket.write(data(request, 0, 1000).subarray(0, 500), () => {
          connection.plain.destroy();
        });
        return 'nothing';
      },
    });
    await using nbd = await connect({ ...server.endpoint, tls: psk });
    await expect(nbd.read(0, 1000)).rejects.toThrow(NbdConnectionClosedError);
  });

  it('an abort in the middle of it rejects with the reason', async () => {
    const ackOnly = { option: () => optionReply(NBD_OPT.STARTTLS, NBD_REP.ACK) };
    await using server = await FakeServer.start(ackOnly);
    const abort = new AbortController();
    const reason = new Error('enough');
    const connecting = connect({ ...server.endpoint, tls: psk }, { signal: abort.signal });
    setTimeout(() => {
      abort.abort(reason);
    }, 100);
    await expect(connecting).rejects.toBe(reason);
  });
});

describe('TLS options', () => {
  const address = { path: '/nowhere' };
  it.each([
    ['a certificate without key', { type: 'x509', hostname: 'x', cert: 'c' }],
    ['T3 a unix socket without name', { type: 'x509' }],
    ['a PSK without key', { type: 'psk', identity: 'a', key: Buffer.alloc(0) }],
    ['a PSK without identity', { type: 'psk', identity: '', key: Buffer.alloc(16) }],
  ] as [string, TlsOptions][])('%s is found before anything is dialled', async (_title, options) => {
    await expect(connect({ address, tls: options })).rejects.toThrow(NbdUsageError);
  });
});
