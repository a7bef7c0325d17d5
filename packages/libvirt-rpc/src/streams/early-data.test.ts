import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { failure } from '../calls.fixture.ts';
import { connect } from '../connect.ts';
import { LibvirtProtocolError } from '../errors.ts';
import { errorPacket, FakeLibvirtd, type Handler, type ReceivedCall } from '../fake-libvirtd.fixture.ts';
import {
  confirmation,
  data,
  DOWNLOAD,
  end,
  ERROR,
  hole,
  OK,
  ok,
  text,
  volumeOf,
} from './stream-packets.fixture.ts';

/** The daemon's event loop is faster than the worker that replies. */
const repliesLate =
  (before: ((call: ReceivedCall) => Buffer)[], behind: ((call: ReceivedCall) => Buffer)[]): Handler =>
  (call) => {
    const { client } = call;
    client.onStream = (packet): void => {
      if (packet.status === OK) client.raw(confirmation(call));
    };
    client.raw(Buffer.concat(before.map((part) => part(call))));
    setTimeout(() => {
      client.raw(Buffer.concat([ok(call), ...behind.map((part) => part(call))]));
    }, 20);
  };

test.each<[string, ((call: ReceivedCall) => Buffer)[], ((call: ReceivedCall) => Buffer)[]]>([
  ['some data', [text('ab')], [text('cde'), end]],
  ['all data', [text('ab'), text('cde')], [end]],
  ['all data and its end', [text('ab'), text('cde'), end], []],
])('%s before the reply', async (_, before, behind) => {
  await using fake = await FakeLibvirtd.start({ [DOWNLOAD]: repliesLate(before, behind) });
  await using libvirt = await connect(fake.uri);
  const stream = await volumeOf(libvirt).download();
  expect(fake.client.streamPackets).toEqual([]);
  expect((await buffer(stream)).toString()).toBe('abcde');
  expect(fake.client.streamPackets.map(({ status }) => status)).toEqual([OK]);
});

test('an error of the stream before the reply; an error as the reply, behind data', async () => {
  const broken = (call: ReceivedCall): Buffer => errorPacket(call.row, { type: 3, serial: call.serial }, 38);
  const handlers: Handler[] = [
    repliesLate([text('a'), broken], []),
    (call): void => {
      call.client.raw(data(call, 'a'));
      call.client.refuse(call, 50);
    },
  ];
  await using fake = await FakeLibvirtd.start({ [DOWNLOAD]: (call) => handlers.shift()?.(call) });
  await using libvirt = await connect(fake.uri);
  expect(await failure(volumeOf(libvirt).download())).toMatchObject({ code: 'ERR_LIBVIRT_SYSTEM_ERROR' });
  expect(await failure(volumeOf(libvirt).download())).toMatchObject({ code: 'ERR_LIBVIRT_NO_STORAGE_VOL' });
});

test('given up while data comes and the reply does not: what is late is dropped, nothing is sent early', async () => {
  await using fake = await FakeLibvirtd.start({
    [DOWNLOAD]: (call) => {
      call.client.raw(data(call, 'a'));
      // Not the end of it all, as after the goodbye: the abort must be seen.
      setTimeout(() => {
        call.client.raw(Buffer.concat([data(call, 'b'), ok(call), data(call, 'c')]));
      }, 60);
    },
    REMOTE_PROC_CONNECT_CLOSE: () => undefined,
  });
  await using libvirt = await connect(fake.uri, { closeTimeoutMs: 300 });
  expect(await failure(volumeOf(libvirt).download({ timeoutMs: 20 }))).toMatchObject({
    code: 'ERR_LIBVIRT_TIMEOUT',
  });
  const { client } = fake;
  expect(client.streamPackets).toEqual([]);
  await delay(150);
  expect(client.streamPackets.map(({ status }) => status)).toEqual([ERROR]);
});

test.each<[string, number, (call: ReceivedCall) => Buffer]>([
  ['of data', 200, (call) => data(call, Buffer.alloc(262_120))],
  ['of small packets', 400_000, text('x')],
  ['of holes', 400_000, (call) => hole(call, 1n)],
])('a flood %s before a reply that never comes is ended', async (_, count, part) => {
  await using fake = await FakeLibvirtd.start({
    [DOWNLOAD]: (call) => {
      let sent = 0;
      const packets = Buffer.concat(Array.from({ length: 10 }, () => part(call)));
      const more = (): void => {
        while ((sent += 10) <= count) if (!call.client.socket.write(packets)) return;
      };
      call.client.socket.on('drain', more);
      more();
    },
  });
  await using libvirt = await connect(fake.uri);
  expect(await failure(volumeOf(libvirt).download())).toBeInstanceOf(LibvirtProtocolError);
});
