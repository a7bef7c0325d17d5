import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { connect } from './connect.ts';
import { Domain } from './domain.ts';
import { LibvirtAuthError, LibvirtConnectError, LibvirtUsageError } from './errors.ts';
import { FakeLibvirtd, type Handler, type ReceivedCall } from './fake-libvirtd.fixture.ts';
import { LibvirtError } from './libvirt-error.ts';
import { errorFields } from './procedures/error-fields.ts';
import { procedures } from './procedures/procedures.ts';
import type { Procedure } from './procedures/row.ts';
import { encodePacket } from './rpc/packet.ts';
import { TYPE, VERSION, XML, UUID, dom, answerVersion, silence, xmlOf } from './calls.fixture.ts';

describe('calls', () => {
  test('an error reply keeps every field and harms nobody else', async () => {
    const fields = {
      code: 38,
      domain: 10,
      message: 'cannot open\n\u001b[31m/x',
      level: 2,
      dom,
      str1: '%s',
      str2: 'two',
      str3: null,
      int1: 28,
      int2: -1,
      net: { name: 'default', uuid: UUID },
    };
    await using fake = await FakeLibvirtd.start({
      [VERSION]: answerVersion,
      [TYPE]: ({ client, serial }) => {
        const at = { program: 0x20008086, procedure: 3, type: 1, serial, status: 1 };
        client.raw(encodePacket(at, errorFields, fields));
      },
    });
    await using libvirt = await connect(fake.uri);
    const [failed, version] = await Promise.allSettled([libvirt.getType(), libvirt.getLibVersion()]);
    expect(version).toEqual({ status: 'fulfilled', value: 9_000_000 });
    if (failed.status === 'fulfilled') throw new Error('not rejected');
    const error = failed.reason as LibvirtError;
    expect(error).toBeInstanceOf(LibvirtError);
    const { code, domain, message, ...same } = fields;
    expect(error).toMatchObject({
      ...same,
      code: 'ERR_LIBVIRT_SYSTEM_ERROR',
      virErrorNumber: code,
      errorDomain: domain,
      serverMessage: message,
      procedure: TYPE,
    });
    expect(error.message).toBe(
      `cannot open\\u{a}\\u{1b}[31m/x (${TYPE} at ${fake.uri.replace(/\?.*/, '')}: VIR_ERR_SYSTEM_ERROR, 38)`,
    );
  });

  test('three ordinary calls are on the wire, the fourth place is for urgent ones, the rest waits', async () => {
    const waiting: ReceivedCall[] = [];
    await using fake = await FakeLibvirtd.start({
      [XML]: (call) => waiting.push(call),
      [TYPE]: (call) => waiting.push(call),
    });
    await using libvirt = await connect(fake.uri);
    const ordinary = Array.from({ length: 5 }, () => xmlOf(libvirt));
    const urgent = [libvirt.getType(), libvirt.getType()];
    await vi.waitFor(() => {
      expect(waiting).toHaveLength(4);
    });
    await delay(30);
    expect(waiting.map(({ row }) => row.number)).toEqual([14, 14, 14, 3]);
    const answer = (call: ReceivedCall | undefined): void => {
      call?.client.reply(call, call.row.name === XML ? { xml: '<domain/>' } : { type: 'QEMU' });
    };
    answer(waiting[0]);
    await vi.waitFor(() => {
      expect(waiting).toHaveLength(5);
    });
    expect(waiting[4]?.row.number).toBe(3); // urgent before ordinary
    for (let index = 1; index < 7; index++) {
      await vi.waitFor(() => {
        expect(waiting.length).toBeGreaterThan(index);
      });
      answer(waiting[index]);
    }
    expect(await Promise.all(ordinary)).toHaveLength(5);
    expect(await Promise.all(urgent)).toEqual(['QEMU', 'QEMU']);
    expect(new Set(waiting.map(({ serial }) => serial)).size).toBe(7);
  });

  test('an abandoned call keeps its place until the late reply, which is dropped', async () => {
    const held: ReceivedCall[] = [];
    await using fake = await FakeLibvirtd.start({ [XML]: (call) => held.push(call) });
    await using libvirt = await connect(fake.uri);
    const abort = new AbortController();
    const reason = new Error('enough');
    const aborted = [0, 1].map(() => xmlOf(libvirt, { signal: abort.signal }));
    const late = xmlOf(libvirt, { timeoutMs: 60 });
    late.catch(() => undefined); // a busy machine may be late in looking
    const queued = xmlOf(libvirt);
    const never = xmlOf(libvirt, { signal: abort.signal });
    await vi.waitFor(() => {
      expect(held).toHaveLength(3);
    });
    abort.abort(reason);
    for (const call of [...aborted, never]) await expect(call).rejects.toBe(reason);
    await expect(late).rejects.toMatchObject({ code: 'ERR_LIBVIRT_TIMEOUT' });
    await delay(30);
    expect(held).toHaveLength(3); // the places are taken, though nobody waits
    held[0]?.client.reply(held[0], { xml: 'late' });
    await vi.waitFor(() => {
      expect(held).toHaveLength(4);
    });
    held[3]?.client.reply(held[3], { xml: 'mine' });
    expect(await queued).toEqual({ xml: 'mine' });
    await delay(30);
    expect(held).toHaveLength(4); // the one aborted while it waited was never sent
  });

  test('a signal that has fired already sends nothing', async () => {
    await using fake = await FakeLibvirtd.start();
    await using libvirt = await connect(fake.uri);
    const reason = new Error('before');
    await expect(libvirt.getType({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(fake.client.calls).toHaveLength(3);
  });

  test('mistakes, streams and descriptors are refused before anything is sent', async () => {
    await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
    await using libvirt = await connect(fake.uri);
    const row: Procedure = { ...procedures.connectGetType, fileDescriptors: true };
    const stream: Procedure = { ...procedures.connectGetType, stream: 'download' };
    for (const call of [
      libvirt.lookupDomainByUuid('no uuid'),
      libvirt.lookupDomainByName('a\0b'),
      libvirt.lookupDomainByName('x'.repeat(4_194_305)),
      libvirt.call(row, {}),
      libvirt.call(stream, {}),
    ])
      await expect(call).rejects.toBeInstanceOf(LibvirtUsageError);
    expect(fake.client.calls).toHaveLength(3);
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
  });

  test.each([2 ** 31, Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY])('timeoutMs: %d', async (timeoutMs) => {
    await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
    await using libvirt = await connect(fake.uri);
    await expect(libvirt.getType({ timeoutMs })).rejects.toBeInstanceOf(LibvirtUsageError);
    expect(await libvirt.getLibVersion({ timeoutMs: 2 ** 31 - 1 })).toBe(9_000_000);
    expect(fake.client.calls.map(({ row }) => row.name)).not.toContain(TYPE);
  });

  test.each([1.5, Number.NaN, -1, 2 ** 60, -1n, 2n ** 64n])('a size of %s', async (size) => {
    await using fake = await FakeLibvirtd.start();
    await using libvirt = await connect(fake.uri);
    const domain = new Domain(libvirt, dom);
    await expect(domain.blockResize('vda', size)).rejects.toBeInstanceOf(LibvirtUsageError);
    await expect(domain.getXmlDesc({ flags: 1.5 })).rejects.toBeInstanceOf(LibvirtUsageError);
    await expect(domain.agentSetResponseTimeout(1.5)).rejects.toBeInstanceOf(LibvirtUsageError);
    expect(fake.client.calls).toHaveLength(3);
  });

  test('a parent that is missing is not mistaken for a checkpoint that is', async () => {
    const refuse: Handler = ({ client, serial, row }) => {
      const at = { program: 0x20008086, procedure: row.number, type: 1, serial, status: 1 };
      const none = { message: null, dom: null, str1: null, str2: null, str3: null, net: null };
      client.raw(
        encodePacket(at, errorFields, { code: 103, domain: 10, level: 2, int1: 0, int2: 0, ...none }),
      );
    };
    let exists = true;
    await using fake = await FakeLibvirtd.start({
      REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME: (call) => {
        call.client.reply(call, { dom });
      },
      REMOTE_PROC_DOMAIN_CHECKPOINT_GET_PARENT: refuse,
      REMOTE_PROC_DOMAIN_CHECKPOINT_LOOKUP_BY_NAME: (call) => {
        if (exists) call.client.reply(call, { checkpoint: { name: 'c', dom } });
        else refuse(call);
      },
    });
    await using libvirt = await connect(fake.uri);
    const checkpoint = await (await libvirt.lookupDomainByName('web1')).checkpointLookupByName('c');
    expect(await checkpoint.getParent()).toBeNull();
    exists = false;
    await expect(checkpoint.getParent()).rejects.toMatchObject({ isNoDomainCheckpoint: true });
  });
});

describe('connect', () => {
  const connecting: [string, Record<string, Handler>, unknown][] = [
    [
      'an authentication that is not known',
      {
        REMOTE_PROC_AUTH_LIST: (call): void => {
          call.client.reply(call, { types: [7] });
        },
      },
      LibvirtAuthError,
    ],
    [
      'a daemon that hangs up',
      { REMOTE_PROC_AUTH_LIST: ({ client }) => client.socket.end() },
      LibvirtConnectError,
    ],
    ['a daemon that says nothing', { REMOTE_PROC_CONNECT_OPEN: silence }, LibvirtConnectError],
  ];
  test.each(connecting)('%s', async (_, handlers, type) => {
    await using fake = await FakeLibvirtd.start(handlers);
    await expect(connect(fake.uri, { connectTimeoutMs: 80 })).rejects.toBeInstanceOf(type);
    await vi.waitFor(() => {
      expect(fake.client.socket.destroyed).toBe(true);
    });
  });

  test('polkit, read-only', async () => {
    await using fake = await FakeLibvirtd.start({
      REMOTE_PROC_AUTH_LIST: (call) => {
        call.client.reply(call, { types: [2] });
      },
      REMOTE_PROC_AUTH_POLKIT: (call) => {
        call.client.reply(call, { complete: 1 });
      },
    });
    await using libvirt = await connect(fake.uri, { readOnly: true });
    expect(libvirt.uri).toBe(fake.uri);
    expect(fake.client.calls.map(({ row }) => row.number)).toEqual([66, 70, 60, 1]);
    expect(fake.client.calls.at(-1)?.args).toEqual({ name: 'qemu:///system', flags: 1 });
  });

  test('a signal, options out of range, nobody there, no URI', async () => {
    await using fake = await FakeLibvirtd.start({ REMOTE_PROC_CONNECT_OPEN: silence });
    const abort = new AbortController();
    const reason = new Error('enough');
    const connection = connect(fake.uri, { signal: abort.signal });
    setTimeout(() => {
      abort.abort(reason);
    }, 30);
    await expect(connection).rejects.toBe(reason);
    await expect(connect(fake.uri, { connectTimeoutMs: 0 })).rejects.toBeInstanceOf(LibvirtUsageError);
    await expect(connect(fake.uri, { keepalive: { count: 1.5 } })).rejects.toBeInstanceOf(LibvirtUsageError);
    await expect(connect(`${fake.uri}x`)).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CONNECT' });
    vi.stubEnv('LIBVIRT_DEFAULT_URI', undefined);
    await expect(connect()).rejects.toBeInstanceOf(LibvirtUsageError);
    vi.stubEnv('LIBVIRT_DEFAULT_URI', `${fake.uri}x`);
    await expect(connect()).rejects.toBeInstanceOf(LibvirtConnectError);
    vi.unstubAllEnvs();
  });
});
