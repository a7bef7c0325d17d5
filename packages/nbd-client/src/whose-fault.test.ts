import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { connect, exportInfo, listMetaContexts } from './connect.ts';
import { NbdConnectError, NbdError, NbdUsageError } from './errors.ts';
import { FakeServer } from './fake-server.fixture.ts';
import { NBD_MAGIC, NBD_OLDSTYLE_MAGIC } from './protocol/constants.ts';
import { parseNbdUri } from './transport/uri.ts';
import { u16, u64 } from './wire.fixture.ts';

async function rejection(promise: Promise<unknown>): Promise<Error> {
  const reason = await promise.then(
    () => expect.fail('it was fulfilled'),
    (error: unknown) => error,
  );
  return reason as Error;
}

const LONE = 'vda\ud800';
/** Clears the screen, and turns the direction of what follows. */
const TRAP = '\u001b[2J\u202e';

describe('what the caller asked for and cannot have is the mistake of nobody else', () => {
  it('a read that no memory holds', async () => {
    await using server = await FakeServer.start({ size: 2n ** 52n });
    await using nbd = await connect(server.endpoint);
    for (const length of [2 ** 45, 2 ** 52])
      expect(await rejection(nbd.read(0, length))).toBeInstanceOf(NbdUsageError);
    expect(server.requests).toEqual([]);
    expect((await nbd.read(0, 512)).length).toBe(512);
  });

  it.each([2n ** 63n - 1n, 2n ** 53n])('a lawful export of %s bytes', async (size) => {
    await using server = await FakeServer.start({ size });
    expect(await rejection(connect(server.endpoint))).toBeInstanceOf(NbdUsageError);
    expect(await rejection(exportInfo(server.endpoint))).toBeInstanceOf(NbdUsageError);
  });

  it('an export with a name, of an oldstyle server that has only one without', async () => {
    const greeting = [u64(NBD_MAGIC), u64(NBD_OLDSTYLE_MAGIC), u64(512n), u16(0), u16(1), Buffer.alloc(124)];
    await using server = await FakeServer.start({ greeting: Buffer.concat(greeting), oldstyle: true });
    const error = await rejection(connect({ ...server.endpoint, exportName: 'vda' }));
    expect(error).toBeInstanceOf(NbdUsageError);
    expect(error.message).toMatch(/"vda".*oldstyle/);
    expect(server.requests).toEqual([]);
  });

  it('half of a surrogate pair, which would be another name on the wire', async () => {
    await using server = await FakeServer.start();
    const { endpoint } = server;
    const refused = [
      connect({ ...endpoint, exportName: LONE }),
      exportInfo({ ...endpoint, exportName: LONE }),
      connect(endpoint, { metaContexts: [`base:${LONE}`] }),
      listMetaContexts(endpoint, { queries: [LONE] }),
      connect({ address: { path: `/run/${LONE}` } }),
      connect({ address: { host: LONE } }),
    ];
    for (const attempt of refused) expect(await rejection(attempt)).toBeInstanceOf(NbdUsageError);
    expect(server.connections).toEqual([]);
  });

  it.each([' ', '\t', '\n', '\r', '\0', '\u007f', '\u0085', '\u00a0', '\u2028', '\u202e', '\ud800'])(
    'a raw %j in a URI',
    (raw) => {
      for (const uri of [
        `nbd://h/a${raw}b`,
        `nbd+unix:///?socket=/a${raw}b`,
        `${raw}nbd://h/`,
        `nbd://h/${raw}`,
      ]) {
        expect(() => parseNbdUri(uri)).toThrow(NbdUsageError);
        expect(() => parseNbdUri(uri)).toThrow(/space or control/);
      }
    },
  );
});

describe('text from elsewhere', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['the path of a socket', () => connect({ address: { path: `/nowhere/${TRAP}` } })],
    ['a long path', () => connect({ address: { path: `/${TRAP.repeat(50)}` } })],
    ['a host', () => connect({ address: { host: `${TRAP}.invalid` } })],
    ['a query parameter', () => connect(`nbd://h/?${encodeURIComponent(TRAP)}=1`)],
    ['a value of a parameter', () => connect(`nbds://h/?tls-type=${encodeURIComponent(TRAP)}`)],
    ['a metadata context', () => connect('nbd://h/', { metaContexts: [TRAP] })],
    [
      'a folder of certificates',
      () => connect(`nbds://h/?tls-certificates=${encodeURIComponent(TRAP)}`, { allowLocalFiles: true }),
    ],
  ])('%s is shown in a message, and obeyed by no terminal', async (_what, attempt) => {
    const error = await rejection((async () => attempt())());
    expect(error).toBeInstanceOf(NbdError);
    expect(error.message).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
    expect(error.message).toMatch(/202e/);
    // As `console.error` shows it, stacks and causes included; line breaks are its own.
    expect(inspect(error).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
  });

  it('the cause of an error too, where a message repeats it', () => {
    // As Node words it when a certificate is for somebody else.
    const cause = new Error(`Hostname does not match: cert's CN is ${TRAP}`);
    const error = new NbdConnectError('closed', `no TLS: ${cause.message}`, { cause });
    expect(error.message).toBe(String.raw`no TLS: Hostname does not match: cert's CN is \u{1b}[2J\u{202e}`);
  });
});
