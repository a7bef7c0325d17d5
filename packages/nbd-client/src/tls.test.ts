import { describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import { NbdTlsError, NbdUsageError } from './errors.ts';
import { FakeServer, type Script } from './fake-server.fixture.ts';
import { NBD_OPT, NBD_REP } from './protocol/constants.ts';
import type { TlsOptions } from './tls-options.ts';
import { optionReply } from './wire.fixture.ts';

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
    ['is refused', answer(optionReply(NBD_OPT.STARTTLS, NBD_REP.ERR_UNSUP)), /refuses TLS.*ERR_UNSUP/],
    ['is refused by policy', answer(optionReply(NBD_OPT.STARTTLS, NBD_REP.ERR_POLICY)), /ERR_POLICY/],
    ['is preceded by plain text of somebody in between', answer(ack, ack), /plain text/],
    ['is answered with no TLS', answer(ack, Buffer.alloc(0)), /./],
  ])('and %s: an error, and nothing else is sent', async (_title, script, says) => {
    const { error, options } = await failureOf(script);
    expect(error).toBeInstanceOf(Error);
    if (says.source !== '.') expect(error).toBeInstanceOf(NbdTlsError);
    expect((error as Error).message).toMatch(says);
    expect(options).toEqual([NBD_OPT.STARTTLS]);
  });
});

describe('TLS options', () => {
  const address = { path: '/nowhere' };
  it.each([
    ['a certificate without key', { type: 'x509', hostname: 'x', cert: 'c' }],
    ['a unix socket without name', { type: 'x509' }],
    ['a PSK without key', { type: 'psk', identity: 'a', key: Buffer.alloc(0) }],
    ['a PSK without identity', { type: 'psk', identity: '', key: Buffer.alloc(16) }],
  ] as [string, TlsOptions][])('%s is found before anything is dialled', async (_title, options) => {
    await expect(connect({ address, tls: options })).rejects.toThrow(NbdUsageError);
  });
});
