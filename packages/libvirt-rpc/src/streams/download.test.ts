import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { dom, failure } from '../calls.fixture.ts';
import { connect } from '../connect.ts';
import { Domain } from '../domain.ts';
import {
  LibvirtConnectionClosedError,
  LibvirtProtocolError,
  LibvirtTimeoutError,
  LibvirtUsageError,
} from '../errors.ts';
import { errorPacket, FakeLibvirtd, type Handler, type ReceivedCall } from '../fake-libvirtd.fixture.ts';
import { LibvirtError } from '../libvirt-error.ts';
import type { StreamChunk } from './stream-chunk.ts';
import {
  DOWNLOAD,
  SCREENSHOT,
  ref,
  OK,
  ERROR,
  volumeOf,
  data,
  withStatus,
  confirmation,
  hole,
  holeWithoutLength,
  ok,
  sends,
  end,
  text,
} from './stream-packets.fixture.ts';

describe('download', () => {
  test('data, then its end, is confirmed; over a connection of its own, which goes', async () => {
    await using fake = await FakeLibvirtd.start({ [DOWNLOAD]: sends(text('ab'), text('cde'), end) });
    await using libvirt = await connect(fake.uri);
    const stream = await volumeOf(libvirt).download({ offset: 7, length: 5 });
    expect((await buffer(stream)).toString()).toBe('abcde');
    expect(fake.clients).toHaveLength(2);
    expect(fake.client.calls.map(({ row }) => row.number)).toEqual([66, 1, 209]); // no keepalive of the daemon's
    expect(fake.client.calls.at(-1)?.args).toEqual({ vol: ref, offset: 7n, length: 5n, flags: 0 });
    expect(fake.client.streamPackets.map(({ status }) => status)).toEqual([OK]);
    await vi.waitFor(() => {
      expect(fake.client.socket.destroyed).toBe(true);
    });
    expect(fake.clients[0]?.socket.destroyed).toBe(false);
  });

  test('the stream does not end before the daemon has confirmed', async () => {
    const calls: ReceivedCall[] = [];
    await using fake = await FakeLibvirtd.start({
      [DOWNLOAD]: (call) => {
        calls.push(call);
        call.client.raw(Buffer.concat([ok(call), data(call, 'a'), end(call)]));
      },
    });
    await using libvirt = await connect(fake.uri);
    const stream = await volumeOf(libvirt).download();
    const all = failure(buffer(stream));
    await vi.waitFor(() => {
      expect(fake.client.streamPackets).toHaveLength(1);
    });
    await delay(20);
    const [call] = calls;
    if (call === undefined) throw new Error('not called');
    call.client.raw(errorPacket(call.row, { type: 3, serial: call.serial }, 38));
    expect(await all).toMatchObject({ code: 'ERR_LIBVIRT_SYSTEM_ERROR', int1: 28, procedure: DOWNLOAD });
  });

  test('holes are chunks, or zeroes', async () => {
    const parts = [text('a'), (call: ReceivedCall): Buffer => hole(call, 600_000n), text('b')];
    await using fake = await FakeLibvirtd.start({ [DOWNLOAD]: sends(...parts, end) });
    await using libvirt = await connect(fake.uri);
    const chunks: StreamChunk[] = [];
    for await (const chunk of await volumeOf(libvirt).download({ sparse: true }))
      chunks.push(chunk as StreamChunk);
    expect(chunks).toEqual([
      { type: 'data', bytes: Buffer.from('a') },
      { type: 'hole', length: 600_000 },
      { type: 'data', bytes: Buffer.from('b') },
    ]);
    expect(fake.client.calls.at(-1)?.args).toMatchObject({ flags: 1 });
    const filled = await buffer(await volumeOf(libvirt).download({ sparse: 'zeroes' }));
    expect(filled.equals(Buffer.concat([Buffer.from('a'), Buffer.alloc(600_000), Buffer.from('b')]))).toBe(
      true,
    );
  });

  test('a hole of a terabyte takes no memory, and what comes behind it is not read', async () => {
    await using fake = await FakeLibvirtd.start({
      [DOWNLOAD]: sends((call) => hole(call, 2n ** 40n), text('b'), end),
    });
    await using libvirt = await connect(fake.uri);
    const stream = await volumeOf(libvirt).download({ sparse: 'zeroes' });
    let bytes = 0;
    for await (const chunk of stream) {
      bytes += (chunk as Buffer).length;
      if (bytes > 50 * 1024 * 1024) break;
    }
    expect(fake.client.streamPackets).toEqual([]);
  });

  test('a slow reader stops the daemon; keepalive takes no offence', async () => {
    let sent = 0;
    await using fake = await FakeLibvirtd.start({
      [DOWNLOAD]: (call) => {
        call.client.raw(ok(call));
        const packet = data(call, Buffer.alloc(262_120));
        const more = (): void => {
          while (sent < 64 * 1024 * 1024) {
            sent += packet.length;
            if (!call.client.socket.write(packet)) return;
          }
          call.client.raw(end(call));
          call.client.socket.off('drain', more);
        };
        call.client.socket.on('drain', more);
        call.client.onStream = ({ status }): void => {
          if (status === OK) call.client.raw(confirmation(call));
        };
        more();
      },
    });
    await using libvirt = await connect(fake.uri, { keepalive: { intervalMs: 20, count: 2 } });
    const main = fake.client;
    main.answerPings();
    const stream = await volumeOf(libvirt).download();
    fake.client.answerPings();
    await delay(200);
    expect(sent).toBeLessThan(8 * 1024 * 1024);
    let bytes = 0;
    for await (const chunk of stream) bytes += (chunk as Buffer).length;
    expect(bytes).toBe(Math.ceil((64 * 1024 * 1024) / 262_148) * 262_120);
  });

  test('an abort waits for its confirmation; late data is dropped', async () => {
    await using fake = await FakeLibvirtd.start({
      [DOWNLOAD]: (call) => {
        call.client.raw(Buffer.concat([ok(call), data(call, 'a')]));
        call.client.onStream = ({ status }): void => {
          if (status === ERROR)
            call.client.raw(
              Buffer.concat([data(call, 'b'), hole(call, 5n), data(call, ''), confirmation(call)]),
            );
        };
      },
    });
    await using libvirt = await connect(fake.uri);
    const abort = new AbortController();
    const reason = new Error('enough');
    const stream = await volumeOf(libvirt).download({ signal: abort.signal });
    stream.once('data', () => {
      abort.abort(reason);
    });
    expect(await failure(finished(stream))).toBe(reason);
    await vi.waitFor(() => {
      expect(fake.client.socket.destroyed).toBe(true);
    });
    expect(fake.client.streamPackets.map(({ status }) => status)).toEqual([ERROR]);
    expect(fake.client.calls.at(-1)?.row.name).toBe('REMOTE_PROC_CONNECT_CLOSE'); // not a protocol error
  });

  test('an abort before the reply sends nothing before it, and then ends the stream', async () => {
    const calls: ReceivedCall[] = [];
    await using fake = await FakeLibvirtd.start({ [DOWNLOAD]: (call) => calls.push(call) });
    await using libvirt = await connect(fake.uri);
    const failed = failure(volumeOf(libvirt).download({ timeoutMs: 40 }));
    expect(await failed).toBeInstanceOf(LibvirtTimeoutError);
    await delay(20);
    expect(fake.client.streamPackets).toEqual([]);
    const [call] = calls;
    if (call === undefined) throw new Error('not called');
    call.client.raw(Buffer.concat([ok(call), data(call, 'late')]));
    await vi.waitFor(() => {
      expect(fake.client.socket.destroyed).toBe(true);
    });
  });

  test.each<[string, ((call: ReceivedCall) => Buffer)[]]>([
    ['data behind the end', [end, text('x')]],
    ['two ends', [end, end]],
    ['a negative hole', [(call): Buffer => hole(call, -1n)]],
    ['a hole without its length', [holeWithoutLength]],
    ['a confirmation that nobody asked for', [confirmation]],
    ['an unknown status', [(call): Buffer => withStatus(data(call, ''), 3)]],
    ['an error without its fields', [(call): Buffer => withStatus(data(call, ''), ERROR)]],
    ['another serial', [(call): Buffer => data({ ...call, serial: call.serial + 1 }, 'x')]],
    ['another procedure', [(call): Buffer => data({ ...call, row: { ...call.row, number: 208 } }, 'x')]],
  ])('a protocol error: %s', async (_, parts) => {
    await using fake = await FakeLibvirtd.start({
      [DOWNLOAD]: (call) => {
        call.client.raw(Buffer.concat([ok(call), ...parts.map((part) => part(call))]));
      },
    });
    await using libvirt = await connect(fake.uri);
    const all = volumeOf(libvirt)
      .download()
      .then((stream) => buffer(stream));
    expect(await failure(all)).toBeInstanceOf(LibvirtProtocolError);
  });

  test('the daemon hangs up, refuses, or fails in the middle', async () => {
    const outcomes: Handler[] = [
      (call) => {
        call.client.raw(Buffer.concat([ok(call), data(call, 'a')]));
        call.client.socket.end();
      },
      (call) => {
        call.client.refuse(call, 50);
      },
      (call) => {
        const error = errorPacket(call.row, { type: 3, serial: call.serial }, 38);
        call.client.raw(Buffer.concat([ok(call), data(call, 'a'), error]));
      },
      (call) => {
        call.client.raw(Buffer.concat([ok(call), data(call, 'a')]));
        const error = errorPacket(call.row, { type: 3, serial: call.serial }, 38);
        setTimeout(() => {
          call.client.raw(error);
        }, 20);
      },
    ];
    await using fake = await FakeLibvirtd.start({ [DOWNLOAD]: (call) => outcomes.shift()?.(call) });
    await using libvirt = await connect(fake.uri);
    const read = async (): Promise<unknown> =>
      failure(
        volumeOf(libvirt)
          .download()
          .then((stream) => buffer(stream)),
      );
    expect(await read()).toBeInstanceOf(LibvirtConnectionClosedError);
    expect(await read()).toMatchObject({ code: 'ERR_LIBVIRT_NO_STORAGE_VOL' });
    expect(await read()).toMatchObject({ code: 'ERR_LIBVIRT_SYSTEM_ERROR' });
    expect(await read()).toBeInstanceOf(LibvirtError);
  });

  test('two streams at once, other calls beside them', async () => {
    await using fake = await FakeLibvirtd.start({
      [DOWNLOAD]: sends(text('aaa'), end),
      [SCREENSHOT]: (call) => {
        call.client.onStream = (): void => {
          call.client.raw(confirmation(call));
        };
        call.client.raw(Buffer.concat([ok(call, { mime: 'image/x' }), data(call, 'png'), end(call)]));
      },
      REMOTE_PROC_STORAGE_VOL_GET_INFO: (call) => {
        call.client.reply(call, { type: 0, capacity: 5n, allocation: 4n });
      },
    });
    await using libvirt = await connect(fake.uri);
    const [one, { mimeType, data: picture }, info] = await Promise.all([
      volumeOf(libvirt).download(),
      new Domain(libvirt, dom).screenshot(),
      volumeOf(libvirt).getInfo(),
    ]);
    expect(mimeType).toBe('image/x');
    expect((await Promise.all([buffer(one), buffer(picture)])).map(String)).toEqual(['aaa', 'png']);
    expect(info).toEqual({ type: 0, capacity: 5, allocation: 4 });
  });

  test('streams end with their connection; usage errors open none', async () => {
    await using fake = await FakeLibvirtd.start({ [DOWNLOAD]: sends(text('a')) });
    const libvirt = await connect(fake.uri);
    const volume = volumeOf(libvirt);
    for (const options of [{ offset: 1.5 }, { length: -1 }, { offset: Number.NaN }])
      expect(await failure(volume.download(options))).toBeInstanceOf(LibvirtUsageError);
    expect(fake.clients).toHaveLength(1);
    const stream = await volume.download();
    const failed = failure(buffer(stream));
    await libvirt.close();
    expect(await failed).toBeInstanceOf(LibvirtConnectionClosedError);
    expect(await failure(volume.download())).toBeInstanceOf(LibvirtConnectionClosedError);
  });
});
