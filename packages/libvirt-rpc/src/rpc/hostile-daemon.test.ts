import { setTimeout as delay } from 'node:timers/promises';
import { finished } from 'node:stream/promises';
import { describe, expect, test, vi } from 'vitest';
import {
  answerVersion,
  dom,
  failure,
  lifecycle,
  packet,
  REGISTER,
  silence,
  TYPE,
  VERSION,
  XML,
  xmlOf,
} from '../calls.fixture.ts';
import { connect } from '../connect.ts';
import { LibvirtProtocolError } from '../errors.ts';
import {
  errorPacket,
  eventPacket,
  FakeLibvirtd,
  type ReceivedCall,
  replyPacket,
} from '../fake-libvirtd.fixture.ts';
import { events } from '../procedures/events.ts';
import { data, DOWNLOAD, ok, volumeOf } from '../streams/stream-packets.fixture.ts';
import { encodeKeepalive } from './packet.ts';

const LIST = 'REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS';
const MiB = 1024 * 1024;

/** The packet with another payload; its length word tells the truth. */
function withPayload(original: Buffer, payload: Buffer): Buffer {
  const changed = Buffer.concat([original.subarray(0, 28), payload]);
  changed.writeUInt32BE(changed.length, 0);
  return changed;
}

const domains = (count: number): Record<string, unknown> => ({ domains: Array(count).fill(dom), ret: count });

/** Answers `listAllDomains` with a payload that begins with a count of elements. */
const counting =
  (count: number, rest = Buffer.alloc(0)) =>
  ({ row, serial }: ReceivedCall): Buffer => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(count);
    return withPayload(replyPacket(row, serial, domains(0)), Buffer.concat([head, rest]));
  };

/** What an event, a reply, or a reply that is an error looks like when its payload is cut, the length being right. */
describe('a payload that is cut at any byte ends the connection', () => {
  const whole: [string, (call: ReceivedCall) => Buffer][] = [
    ['of a reply', ({ row, serial }): Buffer => replyPacket(row, serial, domains(2))],
    ['of an error', ({ row, serial }): Buffer => errorPacket(row, { type: 1, serial }, 42)],
    ['of an event', (): Buffer => eventPacket(events.lifecycle, lifecycle(1, 2))],
  ];
  test.each(whole)('%s', async (_, make) => {
    const calls: ReceivedCall[] = [];
    await using probe = await FakeLibvirtd.start({ [LIST]: (call) => calls.push(call) });
    const first = await connect(probe.uri);
    const pending = failure(first.listAllDomains());
    await vi.waitFor(
      () => {
        expect(calls).toHaveLength(1);
      },
      { timeout: 10_000 },
    );
    first.destroy();
    await pending;
    const [sample] = calls;
    if (sample === undefined) throw new Error('not called');
    const length = make(sample).length - 28;
    expect(length).toBeGreaterThan(20);

    let cut = 0;
    await using fake = await FakeLibvirtd.start({
      [LIST]: (call) => {
        const packetOfCall = make(call);
        call.client.raw(withPayload(packetOfCall, packetOfCall.subarray(28, 28 + cut)));
      },
    });
    for (cut = 0; cut < length; cut++) {
      const libvirt = await connect(fake.uri);
      const error = await failure(libvirt.listAllDomains());
      expect(error).toBeInstanceOf(LibvirtProtocolError);
      expect(await libvirt.closed).toEqual({ reason: 'error', error });
    }
  });
});

describe('a daemon beyond the limits', () => {
  const longString = (bytes: number): Buffer => {
    const text = Buffer.alloc(4 + bytes, 'x');
    text.writeUInt32BE(bytes);
    return text;
  };
  test.each<[string, string, (call: ReceivedCall) => Buffer]>([
    ['more domains than 16,384', LIST, counting(16_385)],
    ['4,294,967,295 domains', LIST, counting(0xffffffff)],
    ['as many domains as may be, and none of them', LIST, counting(16_384)],
    [
      'a string of 4,194,305 bytes',
      XML,
      (call) => withPayload(replyPacket(call.row, call.serial, { xml: '' }), longString(4 * MiB + 4)),
    ],
    [
      'a string whose length alone is there',
      XML,
      (call) =>
        withPayload(replyPacket(call.row, call.serial, { xml: '' }), longString(4 * MiB).subarray(0, 4)),
    ],
  ])('%s: an error, and no memory for it', async (_, procedure, answer) => {
    await using fake = await FakeLibvirtd.start({
      [procedure]: (call) => {
        call.client.raw(answer(call));
      },
    });
    const libvirt = await connect(fake.uri);
    const before = process.memoryUsage();
    const call = procedure === LIST ? libvirt.listAllDomains() : xmlOf(libvirt);
    expect(await failure(call)).toBeInstanceOf(LibvirtProtocolError);
    expect(process.memoryUsage().arrayBuffers - before.arrayBuffers).toBeLessThan(24 * MiB);
    expect(await libvirt.closed).toMatchObject({ reason: 'error' });
  });

  test('what is just within them is taken', async () => {
    const xml = 'x'.repeat(4 * MiB);
    await using fake = await FakeLibvirtd.start({
      [LIST]: (call) => {
        call.client.reply(call, domains(16_384));
      },
      [XML]: (call) => {
        call.client.reply(call, { xml });
      },
    });
    await using libvirt = await connect(fake.uri);
    expect(await libvirt.listAllDomains()).toHaveLength(16_384);
    expect((await xmlOf(libvirt)).xml === xml).toBe(true);
  });
});

describe('a daemon that says what nobody asked for', () => {
  const reply = ({ row, serial }: ReceivedCall): Buffer => replyPacket(row, serial, { type: 'QEMU' });
  const withWord = (bytes: Buffer, index: number, word: number): Buffer => {
    bytes.writeUInt32BE(word, index * 4);
    return bytes;
  };
  test.each<[string, (call: ReceivedCall) => Buffer]>([
    ['another version', (call) => withWord(reply(call), 2, 2)],
    ['another program', (call) => withWord(reply(call), 1, 0x20008087)],
    ['a call', (call) => withWord(reply(call), 4, 0)],
    ['a call with file descriptors', (call) => withWord(reply(call), 4, 4)],
    ['a type that there is not', (call) => withWord(reply(call), 4, 7)],
    ['a negative type', (call) => withWord(reply(call), 4, 0xffffffff)],
    ['the serial 0', (call) => withWord(reply(call), 5, 0)],
  ])('%s in place of the reply', async (_, answer) => {
    await using fake = await FakeLibvirtd.start({
      [TYPE]: (call) => {
        call.client.raw(answer(call));
      },
    });
    const libvirt = await connect(fake.uri);
    expect(await failure(libvirt.getType())).toBeInstanceOf(LibvirtProtocolError);
    expect(await libvirt.closed).toMatchObject({ reason: 'error' });
  });

  test('a reply twice: the first one counts, the second one ends the connection for all', async () => {
    await using fake = await FakeLibvirtd.start({
      [XML]: silence,
      [TYPE]: (call) => {
        call.client.raw(Buffer.concat([reply(call), reply(call)]));
      },
    });
    const libvirt = await connect(fake.uri);
    const [xml, type] = await Promise.allSettled([xmlOf(libvirt), libvirt.getType()]);
    expect(type).toEqual({ status: 'fulfilled', value: 'QEMU' });
    const { error } = await libvirt.closed;
    expect(error).toBeInstanceOf(LibvirtProtocolError);
    expect(xml).toEqual({ status: 'rejected', reason: error });
  });

  test('messages of programs, versions and procedures that are unknown concern nobody', async () => {
    await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
    await using libvirt = await connect(fake.uri);
    for (const words of [
      [28, 0x20008086, 1, 9999, 2, 1, 0],
      [28, 0x20008086, 7, 318, 2, 1, 0],
      [28, 0x1234, 1, 318, 2, 1, 0],
      [28, 0x6b656570, 1, 9, 2, 0, 0],
    ])
      fake.client.raw(packet(words));
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
    expect(fake.client.keepalive).toEqual([]);
  });
});

describe('floods', () => {
  /** Writes as fast as the other side reads, until `bytes` are written. */
  const flood = (call: Pick<ReceivedCall, 'client'>, part: Buffer, bytes: number): (() => number) => {
    const { socket } = call.client;
    let sent = 0;
    const more = (): void => {
      while (sent < bytes && !socket.destroyed) {
        sent += part.length;
        if (!socket.write(part)) return;
      }
      socket.off('drain', more);
    };
    socket.on('drain', more);
    more();
    return () => sent;
  };
  const many = (part: Buffer, count: number): Buffer => Buffer.concat(Array<Buffer>(count).fill(part));

  test('events that nobody wants take nothing', async () => {
    await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
    await using libvirt = await connect(fake.uri);
    const before = process.memoryUsage().heapUsed;
    flood(fake, many(eventPacket(events.lifecycle, lifecycle(1, 2)), 500), 16 * MiB);
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * MiB);
  });

  test('pings of a daemon that does not read are answered with what fits, and nothing grows', async () => {
    await using fake = await FakeLibvirtd.start({ [VERSION]: answerVersion });
    await using libvirt = await connect(fake.uri);
    const { client } = fake;
    client.socket.pause();
    const pings = 28 * 50_000;
    const sent = flood(fake, many(encodeKeepalive(1), 1000), pings);
    await vi.waitFor(
      () => {
        expect(sent()).toBeGreaterThanOrEqual(pings);
      },
      { timeout: 10_000 },
    );
    await delay(50);
    client.socket.resume();
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
    expect(client.keepalive.length).toBeGreaterThan(0);
    expect(client.keepalive.length).toBeLessThan(50_000);
  });

  test('a stream whose daemon does not heed the abort is dropped', async () => {
    await using fake = await FakeLibvirtd.start({
      [DOWNLOAD]: (call) => {
        call.client.raw(ok(call));
        flood(call, data(call, Buffer.alloc(262_120)), 1024 * MiB);
      },
      REMOTE_PROC_CONNECT_CLOSE: silence,
    });
    await using libvirt = await connect(fake.uri, { closeTimeoutMs: 100 });
    const stream = await volumeOf(libvirt).download();
    const { client } = fake;
    stream.once('data', () => stream.destroy());
    await failure(finished(stream));
    await vi.waitFor(
      () => {
        expect(client.socket.destroyed).toBe(true);
      },
      { timeout: 10_000 },
    );
  });

  test('events of a registration that are of another kind reach nobody', async () => {
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: (call) => {
        call.client.reply(call, { callbackID: 5 });
      },
      [VERSION]: answerVersion,
    });
    await using libvirt = await connect(fake.uri);
    const stream = libvirt.domainEvents('lifecycle');
    await stream.ready;
    fake.client.event(events.metadataChange, { callbackID: 5, dom, type: 1, nsuri: null });
    fake.client.event(events.lifecycle, lifecycle(5, 3));
    expect((await stream.next()).value).toMatchObject({ kind: 'lifecycle', event: 3 });
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
    libvirt.destroy();
  });
});
