import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { failure } from '../calls.fixture.ts';
import { connect } from '../connect.ts';
import { LibvirtProtocolError, LibvirtUsageError } from '../errors.ts';
import { errorPacket, FakeLibvirtd, type Handler } from '../fake-libvirtd.fixture.ts';
import { LibvirtError } from '../libvirt-error.ts';
import type { StreamChunk } from './stream-chunk.ts';
import { UPLOAD, OK, ERROR, volumeOf, data, confirmation, ok } from './stream-packets.fixture.ts';

describe('upload', () => {
  const takes: Handler = (call) => {
    call.client.raw(ok(call));
    call.client.onStream = ({ status }): void => {
      if (status !== 2) call.client.raw(confirmation(call));
    };
  };

  test('bytes are cut into packets; the stream finishes with the confirmation', async () => {
    await using fake = await FakeLibvirtd.start({ [UPLOAD]: takes });
    await using libvirt = await connect(fake.uri);
    const stream = await volumeOf(libvirt).upload();
    stream.write(Buffer.alloc(600_000, 1));
    stream.write(Buffer.alloc(0));
    stream.end('end');
    await finished(stream);
    const packets = fake.client.streamPackets;
    expect(packets.reduce((sum, { length }) => sum + length, 0)).toBe(600_003);
    // Cut at 262,120 bytes, and never empty but for the finish.
    for (const { length } of packets.slice(0, -1)) expect(length).toBeGreaterThan(0);
    expect(fake.client.longestPacket).toBe(262_120 + 28);
    expect(packets.at(-1)).toMatchObject({ status: OK, length: 0 });
  });

  test('holes are sent as holes, nonsense is refused', async () => {
    await using fake = await FakeLibvirtd.start({ [UPLOAD]: takes });
    await using libvirt = await connect(fake.uri);
    const stream = await volumeOf(libvirt).upload({ sparse: true });
    stream.write({ type: 'data', bytes: Buffer.from('abc') } satisfies StreamChunk);
    stream.write({ type: 'hole', length: 0 } satisfies StreamChunk);
    stream.write({ type: 'hole', length: 2 ** 40 } satisfies StreamChunk);
    stream.end(Buffer.from('d'));
    await finished(stream);
    expect(fake.client.streamPackets.map(({ type, length }) => [type, length])).toEqual([
      [3, 3],
      [6, 12],
      [3, 1],
      [3, 0],
    ]);
    for (const nonsense of [{ type: 'hole', length: 1.5 }, { type: 'data', bytes: 'x' }, 5, { type: 'x' }]) {
      const other = await volumeOf(libvirt).upload({ sparse: true });
      const failed = failure(finished(other));
      other.write(nonsense);
      expect(await failed).toBeInstanceOf(LibvirtUsageError);
    }
  });

  test('an error in the middle ends it, with nothing more sent', async () => {
    await using fake = await FakeLibvirtd.start({
      [UPLOAD]: (call) => {
        call.client.raw(ok(call));
        call.client.onStream = (): void => {
          call.client.onStream = undefined;
          call.client.raw(errorPacket(call.row, { type: 3, serial: call.serial }, 38));
        };
      },
    });
    await using libvirt = await connect(fake.uri);
    const stream = await volumeOf(libvirt).upload();
    const failed = failure(finished(stream));
    stream.write('a');
    expect(await failed).toMatchObject({ code: 'ERR_LIBVIRT_SYSTEM_ERROR', int1: 28 });
    expect(fake.client.streamPackets).toHaveLength(1);
  });

  test('an error instead of the confirmation is an error', async () => {
    await using fake = await FakeLibvirtd.start({
      [UPLOAD]: (call) => {
        call.client.raw(ok(call));
        call.client.onStream = ({ status }): void => {
          if (status === OK) call.client.raw(errorPacket(call.row, { type: 3, serial: call.serial }, 38));
        };
      },
    });
    await using libvirt = await connect(fake.uri);
    const stream = await volumeOf(libvirt).upload();
    stream.end('a');
    expect(await failure(finished(stream))).toBeInstanceOf(LibvirtError);
  });

  test('an abort; a daemon that sends data; one that does not read', async () => {
    await using fake = await FakeLibvirtd.start({ [UPLOAD]: takes });
    await using libvirt = await connect(fake.uri);
    const abort = new AbortController();
    const reason = new Error('enough');
    const aborted = await volumeOf(libvirt).upload({ signal: abort.signal });
    const failed = failure(finished(aborted));
    abort.abort(reason);
    expect(await failed).toBe(reason);
    await vi.waitFor(() => {
      expect(fake.client.streamPackets.map(({ status }) => status)).toEqual([ERROR]);
    });
    const odd = await volumeOf(libvirt).upload();
    const broken = failure(finished(odd));
    const call = fake.client.calls.at(-1);
    if (call !== undefined) fake.client.raw(data(call, 'x'));
    expect(await broken).toBeInstanceOf(LibvirtProtocolError);

    const slow = await volumeOf(libvirt).upload();
    fake.client.socket.pause();
    let taken = 0;
    slow.on('error', () => undefined);
    const more = (): void => {
      while (taken < 64 * 1024 * 1024) {
        taken += 262_120;
        if (!slow.write(Buffer.alloc(262_120))) return;
      }
    };
    slow.on('drain', more);
    more();
    await delay(100);
    expect(taken).toBeLessThan(8 * 1024 * 1024);
    slow.destroy();
  });
});
