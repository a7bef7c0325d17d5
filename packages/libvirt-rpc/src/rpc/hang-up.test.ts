import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { failure, lifecycle, REGISTER, TYPE } from '../calls.fixture.ts';
import { connect } from '../connect.ts';
import { LibvirtConnectError, LibvirtConnectionClosedError } from '../errors.ts';
import { eventPacket, FakeLibvirtd, type ReceivedCall, replyPacket } from '../fake-libvirtd.fixture.ts';
import { events } from '../procedures/events.ts';
import { procedures } from '../procedures/procedures.ts';
import { data, DOWNLOAD, ok, volumeOf } from '../streams/stream-packets.fixture.ts';

/** Every length that a packet can be cut to, from nothing to all but one byte. */
const cuts = ({ length }: Buffer): number[] => Array.from({ length }, (_, cut) => cut);

describe('a daemon that dies within what it sends is a connection that has ended, at whichever byte', () => {
  test('a reply', async () => {
    const typeReply = ({ row, serial }: ReceivedCall): Buffer => replyPacket(row, serial, { type: 'QEMU' });
    const sizes = cuts(replyPacket(procedures.connectGetType, 1, { type: 'QEMU' }));
    for (const cut of sizes) {
      await using fake = await FakeLibvirtd.start({
        [TYPE]: (call) => call.client.socket.end(typeReply(call).subarray(0, cut)),
      });
      const libvirt = await connect(fake.uri);
      const error = await failure(libvirt.getType());
      expect(error).toBeInstanceOf(LibvirtConnectionClosedError);
      const info = await libvirt.closed;
      expect(info.reason).toBe('peer');
      if (cut === 0) expect(info).not.toHaveProperty('error');
      else {
        expect(info.error).toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
        expect(info.error?.message).toContain(`of which ${cut} bytes had arrived`);
        expect((error as Error).cause).toBe(info.error);
      }
    }
  });

  test('the data of a stream', async () => {
    for (let cut = 0; cut < 32; cut++) {
      await using fake = await FakeLibvirtd.start({
        [DOWNLOAD]: (call) => {
          call.client.socket.end(Buffer.concat([ok(call), data(call, 'data').subarray(0, cut)]));
        },
      });
      await using libvirt = await connect(fake.uri);
      const all = volumeOf(libvirt)
        .download()
        .then((stream) => buffer(stream));
      expect(await failure(all)).toBeInstanceOf(LibvirtConnectionClosedError);
    }
  });

  test('an event', async () => {
    const event = eventPacket(events.lifecycle, lifecycle(5, 2));
    for (const cut of cuts(event)) {
      await using fake = await FakeLibvirtd.start({
        [REGISTER]: (call) => {
          call.client.reply(call, { callbackID: 5 });
        },
      });
      const libvirt = await connect(fake.uri);
      const stream = libvirt.domainEvents('lifecycle');
      await stream.ready;
      fake.client.socket.end(event.subarray(0, cut));
      expect(await failure(stream.next())).toBeInstanceOf(LibvirtConnectionClosedError);
      expect(await libvirt.closed).toMatchObject({ reason: 'peer' });
    }
  });

  test('the first answer of all: nothing was ever connected', async () => {
    const sizes = cuts(replyPacket(procedures.authList, 1, { types: [0] }));
    for (const cut of sizes) {
      await using fake = await FakeLibvirtd.start({
        REMOTE_PROC_AUTH_LIST: ({ row, serial, client }) =>
          client.socket.end(replyPacket(row, serial, { types: [0] }).subarray(0, cut)),
      });
      expect(await failure(connect(fake.uri))).toBeInstanceOf(LibvirtConnectError);
    }
  });
});
