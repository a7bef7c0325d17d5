import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { connect } from './connect.ts';
import type { Connection } from './connection.ts';
import {
  LibvirtAuthError,
  LibvirtConnectError,
  LibvirtConnectionClosedError,
  LibvirtEventOverflowError,
  LibvirtProtocolError,
  LibvirtTimeoutError,
  LibvirtUsageError,
} from './errors.ts';
import {
  eventPacket,
  FakeLibvirtd,
  type Handler,
  type ReceivedCall,
  replyPacket,
} from './fake-libvirtd.fixture.ts';
import { LibvirtError } from './libvirt-error.ts';
import { errorFields } from './procedures/error-fields.ts';
import { events } from './procedures/events.ts';
import { procedures } from './procedures/procedures.ts';
import type { Procedure } from './procedures/row.ts';
import { encodePacket } from './rpc/packet.ts';

const TYPE = 'REMOTE_PROC_CONNECT_GET_TYPE';
const VERSION = 'REMOTE_PROC_CONNECT_GET_LIB_VERSION';
const XML = 'REMOTE_PROC_DOMAIN_GET_XML_DESC';
const REGISTER = 'REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY';
const DEREGISTER = 'REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY';
const UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f';
const dom = { name: 'web1', uuid: UUID, id: 3 };
const lifecycle = (callbackID: number, event: number): Record<string, unknown> => ({
  callbackID,
  dom,
  event,
  detail: 0,
});
const answerVersion: Handler = (call) => {
  call.client.reply(call, { libVer: 9_000_000n });
};
const silence: Handler = () => undefined;

function packet(words: number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => bytes.writeUInt32BE(word, index * 4));
  return bytes;
}

function xmlOf(libvirt: Connection, options = {}): Promise<{ readonly xml: string }> {
  return libvirt.call(procedures.domainGetXmlDesc, { dom, flags: 0 }, options);
}

describe('a daemon that breaks the protocol', () => {
  const header = [0x20008086, 1, 3, 1];
  test.each<[string, (call: ReceivedCall) => Buffer]>([
    ['a length of 27', () => packet([27, ...header, 1, 0])],
    ['a length of 0', () => packet([0, ...header, 1, 0])],
    ['a length of 33554437', () => packet([33_554_437, ...header, 1, 0])],
    ['a length of 4294967295', () => packet([0xffffffff, ...header, 1, 0])],
    ['an unknown serial', () => packet([28, ...header, 4711, 0])],
    ['the serial with another procedure', ({ serial }) => packet([28, 0x20008086, 1, 4, 1, serial, 0])],
    ['the serial with another program', ({ serial }) => packet([28, 0x20008087, 1, 3, 1, serial, 0])],
    ['a reply without its value', ({ serial }) => packet([28, ...header, serial, 0])],
    ['a reply with something behind it', ({ serial }) => packet([36, ...header, serial, 0, 0, 0])],
    ['the status CONTINUE', ({ serial }) => packet([32, ...header, serial, 2, 0])],
    ['an error without its fields', ({ serial }) => packet([28, ...header, serial, 1])],
    ['a stream that nobody opened', ({ serial }) => packet([28, 0x20008086, 1, 3, 3, serial, 2])],
    ['a reply with file descriptors', ({ serial }) => packet([32, 0x20008086, 1, 3, 5, serial, 0, 1])],
    ['an event without its fields', () => packet([32, 0x20008086, 1, 318, 2, 1, 0, 0])],
  ])('%s ends the connection for all calls, with one cause', async (_, bytes) => {
    await using fake = await FakeLibvirtd.start({
      [XML]: silence,
      [TYPE]: (call) => {
        call.client.raw(bytes(call));
      },
    });
    const libvirt = await connect(fake.uri);
    const results = await Promise.allSettled([xmlOf(libvirt), libvirt.getType()]);
    const { reason, error } = await libvirt.closed;
    expect(reason).toBe('error');
    expect(error).toBeInstanceOf(LibvirtProtocolError);
    for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: error });
    await expect(libvirt.getType()).rejects.toBeInstanceOf(LibvirtConnectionClosedError);
    await libvirt.close();
  });

  test('hanging up within a packet is an error, between packets it is the end', async () => {
    await using fake = await FakeLibvirtd.start({
      [TYPE]: ({ client }) => client.socket.end(packet([64, ...header])),
      [XML]: ({ client }) => client.socket.end(),
    });
    const torn = await connect(fake.uri);
    await expect(torn.getType()).rejects.toBeInstanceOf(LibvirtProtocolError);
    const ended = await connect(fake.uri);
    await expect(xmlOf(ended)).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    expect(await ended.closed).toEqual({ reason: 'eof' });
  });

  test('a long packet that never comes takes no memory', async () => {
    await using fake = await FakeLibvirtd.start({
      [TYPE]: ({ client }) => {
        client.raw(packet([33_554_436, ...header]));
      },
    });
    const libvirts = await Promise.all(Array.from({ length: 8 }, () => connect(fake.uri)));
    const before = process.memoryUsage().arrayBuffers;
    const calls = libvirts.map((libvirt) =>
      libvirt.getType({ timeoutMs: 100 }).catch((error: unknown) => error),
    );
    for (const error of await Promise.all(calls)) expect(error).toBeInstanceOf(LibvirtTimeoutError);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
    for (const libvirt of libvirts) libvirt.destroy();
  });
});

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
      code: 'VIR_ERR_SYSTEM_ERROR',
      errorNumber: code,
      errorDomain: domain,
      serverMessage: message,
      procedure: TYPE,
    });
    expect(error.message).toBe(
      `${TYPE} failed with VIR_ERR_SYSTEM_ERROR (38): cannot open\\u{a}\\u{1b}[31m/x`,
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

describe('lifetime', () => {
  test('close lets calls finish, refuses new ones and says goodbye', async () => {
    await using fake = await FakeLibvirtd.start({
      [TYPE]: (call) => {
        setTimeout(() => {
          call.client.reply(call, { type: 'QEMU' });
        }, 40);
      },
    });
    const libvirt = await connect(fake.uri);
    const type = libvirt.getType();
    const closing = libvirt.close();
    await expect(libvirt.getType()).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    expect(await type).toBe('QEMU');
    await closing;
    await libvirt.close();
    expect(await libvirt.closed).toEqual({ reason: 'client' });
    expect(fake.client.calls.at(-1)?.row.name).toBe('REMOTE_PROC_CONNECT_CLOSE');
  });

  test('close does not wait for ever', async () => {
    await using fake = await FakeLibvirtd.start({ [XML]: silence });
    const libvirt = await connect(fake.uri, { closeTimeoutMs: 50 });
    const hanging = expect(xmlOf(libvirt)).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    await libvirt.close();
    await hanging;
    expect(await libvirt.closed).toEqual({ reason: 'client' });
  });

  test('destroy ends everything now, with its reason', async () => {
    await using fake = await FakeLibvirtd.start({ [XML]: silence });
    const libvirt = await connect(fake.uri);
    const error = new Error('enough');
    const hanging = expect(xmlOf(libvirt)).rejects.toMatchObject({ cause: error });
    libvirt.destroy(error);
    libvirt.destroy();
    await hanging;
    expect(await libvirt.closed).toEqual({ reason: 'client', error });
  });

  test('a daemon that does not answer pings is given up', async () => {
    await using fake = await FakeLibvirtd.start({ [XML]: silence });
    const libvirt = await connect(fake.uri, { keepalive: { intervalMs: 20, count: 2 } });
    await expect(xmlOf(libvirt)).rejects.toBeInstanceOf(LibvirtConnectionClosedError);
    expect(await libvirt.closed).toMatchObject({ reason: 'keepalive' });
    expect(fake.client.keepalive).toEqual([1, 1]);
  });

  test('pings are answered, and any packet counts as an answer', async () => {
    await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
    await using libvirt = await connect(fake.uri, { keepalive: { intervalMs: 40, count: 1 } });
    for (let round = 0; round < 8; round++) {
      fake.client.keepalivePing();
      await delay(20);
    }
    expect(fake.client.keepalive.filter((procedure) => procedure === 2)).toHaveLength(8);
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
  });
});

describe('connect', () => {
  const connecting: [string, Record<string, Handler>, unknown][] = [
    [
      'SASL',
      {
        REMOTE_PROC_AUTH_LIST: (call): void => {
          call.client.reply(call, { types: [1] });
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

describe('events', () => {
  const confirm =
    (callbackID: number): Handler =>
    (call) => {
      call.client.reply(call, { callbackID });
    };
  const agree: Handler = (call) => {
    call.client.reply(call, {});
  };

  test('an event that arrives before its registration is confirmed is not lost', async () => {
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: ({ client, row, serial }) => {
        const early = [
          eventPacket(events.lifecycle, lifecycle(7, 1)),
          eventPacket(events.lifecycle, lifecycle(8, 9)),
        ];
        const reply = replyPacket(row, serial, { callbackID: 7 });
        client.raw(Buffer.concat([...early, reply, eventPacket(events.lifecycle, lifecycle(7, 2))]));
      },
      [DEREGISTER]: agree,
    });
    await using libvirt = await connect(fake.uri);
    await using stream = libvirt.domainEvents('lifecycle');
    expect((await stream.next()).value).toMatchObject({
      kind: 'lifecycle',
      event: 1,
      domain: { uuid: UUID },
    });
    expect((await stream.next()).value).toMatchObject({ event: 2 });
    await stream.ready;
  });

  test('streams for the same share one registration; the last one ends it; the next one waits for that', async () => {
    const calls: string[] = [];
    const slow: ReceivedCall[] = [];
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: (call) => {
        calls.push('register');
        call.client.reply(call, { callbackID: 1 });
      },
      [DEREGISTER]: (call) => {
        calls.push('deregister');
        slow.push(call);
      },
    });
    await using libvirt = await connect(fake.uri, { closeTimeoutMs: 50 });
    const one = libvirt.domainEvents('lifecycle');
    const two = libvirt.domainEvents('lifecycle');
    await Promise.all([one.ready, two.ready]);
    fake.client.event(events.lifecycle, lifecycle(1, 3));
    expect((await one.next()).value?.event).toBe(3);
    expect((await two.next()).value?.event).toBe(3);
    await one.return();
    expect(await one.next()).toEqual({ done: true, value: undefined });
    expect(calls).toEqual(['register']);
    await two.return();
    const three = libvirt.domainEvents('lifecycle');
    await vi.waitFor(() => {
      expect(slow).toHaveLength(1);
    });
    await delay(20);
    expect(calls).toEqual(['register', 'deregister']);
    if (slow[0] !== undefined) agree(slow[0]);
    await three.ready;
    expect(calls).toEqual(['register', 'deregister', 'register']);
  });

  test('a flood fails the stream loudly and ends its registration, the connection goes on', async () => {
    const left: unknown[] = [];
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: confirm(5),
      [DEREGISTER]: (call) => {
        left.push(call.args);
        agree(call);
      },
      [VERSION]: answerVersion,
    });
    await using libvirt = await connect(fake.uri, { eventQueueLimit: 10 });
    const stream = libvirt.domainEvents('lifecycle');
    await stream.ready;
    const flood = Array.from({ length: 500 }, () => eventPacket(events.lifecycle, lifecycle(5, 0)));
    fake.client.raw(Buffer.concat(flood));
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
    await expect(stream.next()).rejects.toBeInstanceOf(LibvirtEventOverflowError);
    await vi.waitFor(() => {
      expect(left).toEqual([{ callbackID: 5 }]);
    });
  });

  test('a flood before the reply is bounded and fails the stream', async () => {
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: ({ client, row, serial }) => {
        const flood = Array.from({ length: 1100 }, () => eventPacket(events.lifecycle, lifecycle(5, 0)));
        client.raw(Buffer.concat([...flood, replyPacket(row, serial, { callbackID: 4 })]));
      },
      [DEREGISTER]: agree,
      [VERSION]: answerVersion,
    });
    await using libvirt = await connect(fake.uri);
    const stream = libvirt.domainEvents('lifecycle');
    await expect(stream.ready).rejects.toBeInstanceOf(LibvirtEventOverflowError);
    await expect(stream.next()).rejects.toBeInstanceOf(LibvirtEventOverflowError);
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
  });

  test('a stream ends with its signal, with the connection, and with a refused registration', async () => {
    await using fake = await FakeLibvirtd.start({ [REGISTER]: confirm(5), [DEREGISTER]: agree });
    const libvirt = await connect(fake.uri);
    const abort = new AbortController();
    const reason = new Error('enough');
    const aborted = libvirt.domainEvents('lifecycle', { signal: abort.signal });
    await aborted.ready;
    abort.abort(reason);
    await expect(aborted.next()).rejects.toBe(reason);
    const before = libvirt.domainEvents('lifecycle', { signal: AbortSignal.abort(reason) });
    await expect(before.next()).rejects.toBe(reason);
    const broken = libvirt.domainEvents('lifecycle');
    await broken.ready;
    const waiting = expect(broken.next()).rejects.toBeInstanceOf(LibvirtConnectionClosedError);
    fake.client.socket.end();
    await waiting;
    const dead = libvirt.domainEvents('jobCompleted');
    await expect(dead.ready).rejects.toBeInstanceOf(LibvirtConnectionClosedError);
    await expect(dead.next()).rejects.toBeInstanceOf(LibvirtConnectionClosedError);
    const other = await connect(fake.uri);
    const ended = other.domainEvents('lifecycle');
    await ended.ready;
    const next = ended.next();
    await other.close();
    expect(await next).toEqual({ done: true, value: undefined });
  });
});
