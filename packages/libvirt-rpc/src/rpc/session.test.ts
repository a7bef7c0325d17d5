import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { connect } from '../connect.ts';
import { LibvirtConnectionClosedError, LibvirtProtocolError, LibvirtTimeoutError } from '../errors.ts';
import { FakeLibvirtd, type ReceivedCall, replyPacket } from '../fake-libvirtd.fixture.ts';
import { TYPE, VERSION, XML, answerVersion, silence, packet, xmlOf } from '../calls.fixture.ts';

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
    expect(await libvirt.closed).toEqual({ reason: 'close' });
    expect(fake.client.calls.at(-1)?.row.name).toBe('REMOTE_PROC_CONNECT_CLOSE');
  });

  test.each(['between packets', 'within a packet'])(
    'a daemon that hangs up at the goodbye, %s',
    async (how) => {
      await using fake = await FakeLibvirtd.start({
        REMOTE_PROC_CONNECT_CLOSE: ({ client }) => {
          if (how === 'within a packet') client.raw(Buffer.from([0, 0, 0, 64, 1]));
          client.socket.destroySoon();
        },
      });
      const libvirt = await connect(fake.uri);
      await libvirt.close();
      expect(await libvirt.closed).toEqual({ reason: 'close' });
    },
  );

  test('an end of file while calls are waited for says so to them, and is a clean end', async () => {
    await using fake = await FakeLibvirtd.start({ [XML]: silence });
    const libvirt = await connect(fake.uri);
    const hanging = expect(xmlOf(libvirt)).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    const closing = libvirt.close();
    fake.client.socket.end();
    await hanging;
    await closing;
    expect(await libvirt.closed).toEqual({ reason: 'close' });
  });

  test('a late reply with status CONTINUE, or that cannot be decoded, is noticed too', async () => {
    await using fake = await FakeLibvirtd.start({
      [XML]: ({ client, serial }) => {
        setTimeout(() => {
          client.raw(packet([32, 0x20008086, 1, 14, 1, serial, 2, 0]));
        }, 40);
      },
    });
    const libvirt = await connect(fake.uri);
    await expect(xmlOf(libvirt, { timeoutMs: 10 })).rejects.toBeInstanceOf(LibvirtTimeoutError);
    const { reason, error } = await libvirt.closed;
    expect(reason).toBe('error');
    expect(error?.message).toContain('the status is 2');
  });

  test('close does not wait for ever', async () => {
    await using fake = await FakeLibvirtd.start({ [XML]: silence });
    const libvirt = await connect(fake.uri, { closeTimeoutMs: 50 });
    const hanging = expect(xmlOf(libvirt)).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    await libvirt.close();
    await hanging;
    expect(await libvirt.closed).toEqual({ reason: 'close' });
  });

  test('destroy ends everything now, with its reason', async () => {
    await using fake = await FakeLibvirtd.start({ [XML]: silence });
    const libvirt = await connect(fake.uri);
    const error = new Error('enough');
    const hanging = expect(xmlOf(libvirt)).rejects.toMatchObject({ cause: error });
    libvirt.destroy(error);
    libvirt.destroy();
    await hanging;
    expect(await libvirt.closed).toEqual({ reason: 'destroy', error });
  });

  test('a daemon that does not answer pings is given up', async () => {
    await using fake = await FakeLibvirtd.start({ [XML]: silence });
    const libvirt = await connect(fake.uri, { keepalive: { intervalMs: 20, count: 2 } });
    await expect(xmlOf(libvirt)).rejects.toBeInstanceOf(LibvirtConnectionClosedError);
    expect(await libvirt.closed).toMatchObject({ reason: 'error' });
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

  test('a long packet that comes slowly is a sign of life', async () => {
    await using fake = await FakeLibvirtd.start({
      [TYPE]: ({ client, row, serial }) => {
        const reply = replyPacket(row, serial, { type: 'QEMU' });
        const drip = setInterval(() => {
          client.raw(reply.subarray(at, ++at));
          if (at === reply.length) clearInterval(drip);
        }, 10);
        let at = 0;
      },
    });
    // Pings are not answered, and the packet takes twice as long as they are waited for.
    await using libvirt = await connect(fake.uri, { keepalive: { intervalMs: 30, count: 5 } });
    expect(await libvirt.getType()).toBe('QEMU');
  });
});
