import { tracingChannel } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import type { CredentialsRequest } from './auth/credentials.ts';
import { honestScram, type Script, START, startFakeSasl, STEP } from './auth/fake-sasl.fixture.ts';
import { authenticate, authPolicy } from './authenticate.ts';
import { connect, type ConnectOptions } from './connect.ts';
import { dial } from './transports/dial.ts';
import { FakeLibvirtd, type Handler } from './fake-libvirtd.fixture.ts';
import { RpcSession } from './rpc/session.ts';
import { StorageVolume } from './storage-volume.ts';

const PASSWORD = 'top secret';
const credentials = (): { username: string; password: string } => ({ username: 'fred', password: PASSWORD });

/** The error that connecting ends with; it must not tell the password. */
async function failure(uri: string, options: ConnectOptions = { credentials }): Promise<unknown> {
  const error: unknown = await connect(uri, options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  const told = inspect(error, { depth: 9, showHidden: true });
  expect(told).not.toContain(PASSWORD);
  expect(told).not.toContain(Buffer.from(PASSWORD).toString('base64').slice(0, 12));
  return error;
}

function names(fake: FakeLibvirtd): string[] {
  return fake.client.calls.map(({ row }) => row.name.replace('REMOTE_PROC_', ''));
}

async function closed(fake: FakeLibvirtd): Promise<void> {
  await vi.waitFor(() => {
    expect(fake.client.socket.destroyed).toBe(true);
  });
}

describe('SASL with an honest daemon', () => {
  test.each([
    ['SCRAM-SHA-256', undefined],
    ['SCRAM-SHA-1', ['SCRAM-SHA-1']],
  ] as const)('%s', async (mech, saslMechanisms) => {
    await using fake = await startFakeSasl(honestScram(PASSWORD));
    const asked: CredentialsRequest[] = [];
    const ask = async (request: CredentialsRequest): Promise<{ username: string; password: string }> => {
      asked.push(request);
      return Promise.resolve(credentials());
    };
    const options = saslMechanisms === undefined ? {} : { saslMechanisms };
    await using libvirt = await connect(fake.uri, { credentials: ask, ...options });
    expect(names(fake).slice(0, 5)).toEqual([
      'AUTH_LIST',
      'AUTH_SASL_INIT',
      'AUTH_SASL_START',
      'AUTH_SASL_STEP',
      'CONNECT_SUPPORTS_FEATURE',
    ]);
    expect(fake.client.calls[2]?.args).toMatchObject({ mech, nil: 0 });
    expect(asked).toMatchObject([{ mechanism: mech, host: 'localhost' }]);
    expect(inspect(libvirt, { depth: 20, showHidden: true })).not.toContain(PASSWORD);
  });

  test('the proof in a message of its own, answered with nothing', async () => {
    const honest = honestScram(PASSWORD);
    const heard: unknown[] = [];
    await using fake = await startFakeSasl((message, round) => {
      heard.push(message.data);
      return round < 2 ? { ...honest(message, round), complete: 0 } : { complete: 1, data: null };
    });
    await using libvirt = await connect(fake.uri, { credentials });
    expect(libvirt.uri).toBe(fake.uri);
    expect(heard).toHaveLength(3);
    expect(heard[2]).toBeNull();
  });

  test('PLAIN, where nothing stronger is there, and nobody who listens sees the password', async () => {
    const heard: unknown[] = [];
    await using fake = await startFakeSasl(
      (message) => {
        heard.push(message);
        return { complete: 1, data: null };
      },
      { mechlist: 'DIGEST-MD5,PLAIN' },
    );
    const seen: string[] = [];
    const see = (trace: unknown): void => {
      seen.push(inspect(trace, { depth: 20, showHidden: true }));
    };
    const events = { start: see, end: see, asyncStart: see, asyncEnd: see, error: see };
    const channels = ['call', 'connect'].map((name) =>
      tracingChannel<unknown, object>(`libvirt-ts-rpc:${name}`),
    );
    for (const channel of channels) channel.subscribe(events);
    await using libvirt = await connect(fake.uri, { credentials });
    for (const channel of channels) channel.unsubscribe(events);
    expect(heard).toEqual([{ mech: 'PLAIN', data: `\0fred\0${PASSWORD}` }]);
    expect(libvirt.uri).toBe(fake.uri);
    expect(seen.some((trace) => trace.includes(START))).toBe(true);
    const bytes = inspect(Buffer.from(PASSWORD)).slice(8, 30);
    for (const trace of seen) for (const secret of [PASSWORD, bytes]) expect(trace).not.toContain(secret);
  });

  test('every connection authenticates, those of streams too', async () => {
    await using fake = await startFakeSasl(honestScram(PASSWORD), {
      handlers: {
        REMOTE_PROC_STORAGE_VOL_DOWNLOAD: (call) => {
          call.client.refuse(call, 38);
        },
      },
    });
    const ask = vi.fn(credentials);
    await using libvirt = await connect(fake.uri, { credentials: ask });
    const volume = new StorageVolume(libvirt, { pool: 'p', name: 'v', key: 'k' });
    await expect(volume.download()).rejects.toMatchObject({ code: 'ERR_LIBVIRT_SYSTEM_ERROR' });
    expect(ask).toHaveBeenCalledTimes(2);
    expect(fake.clients).toHaveLength(2);
  });
});

describe('SASL with a daemon that lies', () => {
  const twisted =
    (twist: (data: string, round: number) => { complete?: number; data: string | null }): Script =>
    (message, round) => {
      honest = round === 0 ? honestScram(PASSWORD) : honest;
      const said = honest(message, round);
      return { ...said, ...twist(said.data ?? '', round) };
    };
  let honest = honestScram(PASSWORD);
  test.each<[string, Script]>([
    [
      'it knows another password',
      (message, round) =>
        round === 0
          ? twisted((data) => ({ data }))(message, 0)
          : { complete: 1, data: `v=${'A'.repeat(43)}=` },
    ],
    ['its nonce does not continue ours', twisted((data) => ({ data: data.replace('r=', 'r=x') }))],
    ['its nonce is ours alone', twisted((data) => ({ data: data.replace('servernonce', '') }))],
    ['one iteration', honestScram(PASSWORD, 1)],
    ['2^31 iterations', twisted((data) => ({ data: data.replace('i=4096', `i=${2 ** 31}`) }))],
    ['its salt is not base64', twisted((data) => ({ data: data.replace(/s=[^,]*/, 's=*') }))],
    ['success at once', twisted((data) => ({ complete: 1, data }))],
    ['success at once, with nothing', () => ({ complete: 1, data: null })],
    ['success without a signature', twisted((data, round) => ({ data: round === 0 ? data : null }))],
    ['an empty signature', twisted((data, round) => ({ data: round === 0 ? data : '' }))],
    ['endless steps', twisted((data) => ({ complete: 0, data }))],
    ['65,536 bytes', () => ({ complete: 0, data: 'r'.repeat(65_536) })],
  ])('%s', async (_, script) => {
    await using fake = await startFakeSasl(script);
    expect(await failure(fake.uri)).toMatchObject({ code: 'ERR_LIBVIRT_AUTH', reason: 'unproven' });
    expect(fake.client.calls.length).toBeLessThanOrEqual(5);
    expect(names(fake)).not.toContain('CONNECT_OPEN');
    await closed(fake);
  });

  test('more bytes than a message may have', async () => {
    await using fake = await startFakeSasl(() => ({ complete: 0, data: null }), {
      handlers: {
        [START]: ({ client, serial }) => {
          const bytes = Buffer.alloc(28 + 12 + 65_537 * 4);
          const head = [bytes.length, 0x20008086, 1, 68, 1, serial, 0, 0, 0, 65_537];
          head.forEach((word, at) => bytes.writeUInt32BE(word, at * 4));
          client.raw(bytes);
        },
      },
    });
    expect(await failure(fake.uri)).toMatchObject({ code: 'ERR_LIBVIRT_PROTOCOL' });
    await closed(fake);
  });
});

describe('SASL that fails', () => {
  test.each([START, STEP])('the daemon refuses at %s', async (procedure) => {
    await using fake = await startFakeSasl(honestScram(PASSWORD), {
      handlers: {
        [procedure]: (call) => {
          call.client.refuse(call, 45);
        },
      },
    });
    expect(await failure(fake.uri)).toMatchObject({
      code: 'ERR_LIBVIRT_AUTH',
      reason: 'denied',
      message: 'the daemon refuses fred (SCRAM-SHA-256): wrong user name or password, or not permitted',
      cause: { code: 'ERR_LIBVIRT_AUTH_FAILED' },
    });
    await closed(fake);
  });

  test('a daemon that fails otherwise is not taken for one that refuses', async () => {
    const refuse = (code: number): Record<string, Handler> => ({
      [START]: (call) => {
        call.client.refuse(call, code);
      },
    });
    await using fake = await startFakeSasl(honestScram(PASSWORD), { handlers: refuse(38) });
    expect(await failure(fake.uri)).toMatchObject({ code: 'ERR_LIBVIRT_SYSTEM_ERROR' });
  });

  test('the daemon has no SASL after all', async () => {
    await using fake = await startFakeSasl(honestScram(PASSWORD), {
      handlers: {
        REMOTE_PROC_AUTH_SASL_INIT: (call) => {
          call.client.refuse(call, 45);
        },
      },
    });
    expect(await failure(fake.uri)).toMatchObject({ reason: 'unavailable' });
  });

  test('nothing that may be used is offered: nobody is asked', async () => {
    await using fake = await startFakeSasl(honestScram(PASSWORD), { mechlist: 'GSSAPI,DIGEST-MD5' });
    const ask = vi.fn(credentials);
    expect(await failure(fake.uri, { credentials: ask })).toMatchObject({
      reason: 'unsupported',
      message: expect.stringContaining('it offers GSSAPI (') as string,
    });
    expect(ask).not.toHaveBeenCalled();
    const options = { credentials: ask, saslMechanisms: ['SCRAM-SHA-256'] } as const;
    await using plain = await startFakeSasl(honestScram(PASSWORD), { mechlist: 'PLAIN' });
    expect(await failure(plain.uri, options)).toMatchObject({ reason: 'unsupported' });
    expect(ask).not.toHaveBeenCalled();
    expect(names(plain)).toEqual(['AUTH_LIST', 'AUTH_SASL_INIT']);
  });

  test.each([
    ['cleartext', 'use TLS, ssh or a unix socket', ['AUTH_LIST']],
    // PLAIN would tell the password to whoever it is.
    ['unverified', 'may use SCRAM-SHA-256, SCRAM-SHA-1', ['AUTH_LIST', 'AUTH_SASL_INIT']],
  ] as const)('over a transport that is %s nobody is asked for a password', async (security, why, calls) => {
    await using fake = await startFakeSasl(honestScram(PASSWORD), { mechlist: 'PLAIN' });
    const { signal } = new AbortController();
    const nobody = { receive: vi.fn(), drained: vi.fn(), ended: vi.fn() };
    const endpoint = { transport: 'unix', paths: [fake.uri.replace(/^.*=/, '')] } as const;
    const transport = await dial(endpoint, nobody, signal);
    const session = new RpcSession(transport, { callTimeoutMs: 0, keepalive: { intervalMs: 0, count: 5 } });
    const ask = vi.fn(credentials);
    const policy = authPolicy('sasl', undefined);
    const options = { ...policy, credentials: ask, authFile: undefined, host: 'h', security };
    const done = authenticate(session, options, { signal, timeoutMs: 0 });
    await expect(done).rejects.toMatchObject({
      reason: 'unsupported',
      message: expect.stringContaining(why) as string,
    });
    expect(ask).not.toHaveBeenCalled();
    expect(names(fake)).toEqual(calls);
    session.destroy();
  });
});

describe('credentials', () => {
  test('cancelled, nonsense, an error of the callback', async () => {
    await using fake = await startFakeSasl(honestScram(PASSWORD));
    expect(await failure(fake.uri, { credentials: () => undefined })).toMatchObject({
      code: 'ERR_LIBVIRT_AUTH',
      reason: 'cancelled',
    });
    const nonsense = [null, {}, { username: 'fred' }, { username: '', password: PASSWORD }, 'fred'];
    for (const given of nonsense)
      expect(await failure(fake.uri, { credentials: () => given as never })).toMatchObject({
        code: 'ERR_LIBVIRT_USAGE',
      });
    const error = new Error('no terminal');
    const fail = (): never => {
      throw error;
    };
    expect(await failure(fake.uri, { credentials: fail })).toBe(error);
    expect(await failure(fake.uri, { credentials: () => Promise.reject(error) })).toBe(error);
    expect(names(fake)).toEqual(['AUTH_LIST', 'AUTH_SASL_INIT']);
    await closed(fake);
  });

  test('a callback that never answers is given up', async () => {
    await using fake = await startFakeSasl(honestScram(PASSWORD));
    const abort = new AbortController();
    const reason = new Error('enough');
    const requests: CredentialsRequest[] = [];
    const never = (request: CredentialsRequest): Promise<undefined> => {
      requests.push(request);
      abort.abort(reason);
      return new Promise(() => undefined);
    };
    expect(await failure(fake.uri, { credentials: never, signal: abort.signal })).toBe(reason);
    expect(requests[0]?.signal.aborted).toBe(true);
    const patient = (): Promise<undefined> => new Promise(() => undefined);
    expect(await failure(fake.uri, { credentials: patient, connectTimeoutMs: 50 })).toMatchObject({
      code: 'ERR_LIBVIRT_CONNECT',
    });
  });

  test('characters that cannot be sent', async () => {
    await using fake = await startFakeSasl(honestScram(PASSWORD));
    const odd = (): { username: string; password: string } => ({
      username: 'fred',
      password: `${PASSWORD}\u00a0`,
    });
    expect(await failure(fake.uri, { credentials: odd })).toMatchObject({ reason: 'credentials' });
    expect(names(fake)).toEqual(['AUTH_LIST', 'AUTH_SASL_INIT']);
    const long = (): { username: string; password: string } => ({
      username: 'u'.repeat(65_536),
      password: PASSWORD,
    });
    expect(await failure(fake.uri, { credentials: long })).toMatchObject({ code: 'ERR_LIBVIRT_USAGE' });
  });
});

describe('the way to authenticate', () => {
  const offering = (types: number[]): Promise<FakeLibvirtd> =>
    FakeLibvirtd.start({
      REMOTE_PROC_AUTH_LIST: (call) => {
        call.client.reply(call, { types });
      },
      REMOTE_PROC_AUTH_POLKIT: (call) => {
        call.client.reply(call, { complete: 1 });
      },
    });

  test.each([
    ['polkit', [0], 'the URI asks for authentication with polkit, the daemon offers none'],
    ['sasl', [2], 'the URI asks for authentication with SASL, the daemon offers polkit'],
    ['sasl.scram-sha-256', [], 'the daemon offers none'],
    [undefined, [7, 8], 'the daemon wants authentication with type 7, type 8; supported are'],
  ])('auth=%s, the daemon offers %j', async (auth, types, why) => {
    await using fake = await offering(types);
    const uri = auth === undefined ? fake.uri : `${fake.uri}&auth=${auth}`;
    expect(await failure(uri)).toMatchObject({
      reason: 'unsupported',
      message: expect.stringContaining(why) as string,
    });
    expect(names(fake)).toEqual(['AUTH_LIST']);
  });

  test.each([
    ['sasl.PLAIN', 'PLAIN'],
    ['SASL.scram-sha-1', 'SCRAM-SHA-1'],
    ['sasl', 'SCRAM-SHA-256'],
  ])('auth=%s', async (auth, mech) => {
    const honest = honestScram(PASSWORD);
    await using fake = await startFakeSasl((message, round) =>
      message.mech === 'PLAIN' ? { complete: 1, data: '' } : honest(message, round),
    );
    await using libvirt = await connect(`${fake.uri}&auth=${auth}`, { credentials });
    expect(fake.client.calls[2]?.args).toMatchObject({ mech });
    expect(fake.client.calls.at(-1)?.args).toMatchObject({ name: 'qemu:///system' });
    expect(libvirt.uri).toContain(auth);
  });

  test('what is not supported is refused before anybody is dialled', async () => {
    const uri = 'qemu+unix:///system?socket=/none';
    const usage = { code: 'ERR_LIBVIRT_USAGE' };
    for (const auth of ['', 'none', 'sasl.', 'sasl.gssapi', 'polkit.x'])
      expect(await failure(`${uri}&auth=${auth}`)).toMatchObject(usage);
    expect(await failure(uri, { saslMechanisms: [] })).toMatchObject(usage);
    expect(await failure(uri, { saslMechanisms: ['GSSAPI' as never] })).toMatchObject(usage);
  });
});

describe('polkit', () => {
  test.each([
    [45, { code: 'ERR_LIBVIRT_AUTH', reason: 'denied' }],
    [79, { code: 'ERR_LIBVIRT_AUTH', reason: 'cancelled' }],
    [94, { code: 'ERR_LIBVIRT_AUTH', reason: 'unavailable' }],
    [1, { code: 'ERR_LIBVIRT_INTERNAL_ERROR' }],
  ])('the daemon answers with error %i', async (code, expected) => {
    await using fake = await FakeLibvirtd.start({
      REMOTE_PROC_AUTH_LIST: (call) => {
        call.client.reply(call, { types: [2] });
      },
      REMOTE_PROC_AUTH_POLKIT: (call) => {
        call.client.refuse(call, code);
      },
    });
    expect(await failure(fake.uri)).toMatchObject(expected);
    await closed(fake);
  });

  test('an answer that is not an end', async () => {
    await using fake = await FakeLibvirtd.start({
      REMOTE_PROC_AUTH_LIST: (call) => {
        call.client.reply(call, { types: [2] });
      },
      REMOTE_PROC_AUTH_POLKIT: (call) => {
        call.client.reply(call, { complete: 0 });
      },
    });
    expect(await failure(fake.uri)).toMatchObject({ reason: 'unsupported' });
  });
});
