import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { connect } from '../connect.ts';
import { LibvirtConnectionClosedError, LibvirtEventOverflowError } from '../errors.ts';
import {
  eventPacket,
  FakeLibvirtd,
  type Handler,
  type ReceivedCall,
  replyPacket,
} from '../fake-libvirtd.fixture.ts';
import { events } from '../procedures/events.ts';
import { VERSION, REGISTER, DEREGISTER, UUID, lifecycle, answerVersion } from '../calls.fixture.ts';

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
