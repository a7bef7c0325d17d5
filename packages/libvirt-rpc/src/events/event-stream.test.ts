import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { connect } from '../connect.ts';
import { LibvirtConnectionClosedError, LibvirtEventOverflowError, LibvirtTimeoutError } from '../errors.ts';
import {
  eventPacket,
  FakeLibvirtd,
  type Handler,
  type ReceivedCall,
  replyPacket,
} from '../fake-libvirtd.fixture.ts';
import { events } from '../procedures/events.ts';
import { objectEvents } from '../procedures/object-events.ts';
import type { EventRow } from '../procedures/row.ts';
import {
  TYPE,
  VERSION,
  REGISTER,
  DEREGISTER,
  UUID,
  dom,
  lifecycle,
  answerVersion,
} from '../calls.fixture.ts';

describe('events', () => {
  const confirm =
    (callbackID: number): Handler =>
    (call) => {
      call.client.reply(call, { callbackID });
    };
  const ioError = (callbackID: number, reason: string): Record<string, unknown> => ({
    ...{ callbackID, dom, srcPath: '', devAlias: '', action: 0, reason },
  });
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

  test.each<[string, 'lifecycle' | 'ioErrorReason', Buffer[]]>([
    [
      'many events',
      'lifecycle',
      Array.from({ length: 1100 }, () => eventPacket(events.lifecycle, lifecycle(5, 0))),
    ],
    [
      'large events',
      'ioErrorReason',
      Array.from({ length: 12 }, () =>
        eventPacket(events.ioErrorReason, ioError(5, 'x'.repeat(1024 * 1024))),
      ),
    ],
  ])('a flood before the reply is bounded and fails only its own stream: %s', async (_, kind, flood) => {
    let reply = 5;
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: ({ client, row, serial }) => {
        const mine = eventPacket(events.lifecycle, lifecycle(4, 3));
        client.raw(Buffer.concat([...flood, mine, replyPacket(row, serial, { callbackID: reply })]));
      },
      [DEREGISTER]: agree,
      [VERSION]: answerVersion,
    });
    await using libvirt = await connect(fake.uri);
    const flooded = libvirt.domainEvents(kind);
    await expect(flooded.ready).rejects.toBeInstanceOf(LibvirtEventOverflowError);
    await expect(flooded.next()).rejects.toBeInstanceOf(LibvirtEventOverflowError);
    reply = 4;
    const innocent = libvirt.domainEvents('lifecycle');
    expect((await innocent.next()).value).toMatchObject({ event: 3 });
    expect(await libvirt.getLibVersion()).toBe(9_000_000);
  });

  test('the bytes that wait in a queue are bounded too', async () => {
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: confirm(5),
      [DEREGISTER]: agree,
      [VERSION]: answerVersion,
    });
    await using libvirt = await connect(fake.uri, { eventQueueBytes: 100_000 });
    const stream = libvirt.domainEvents('ioErrorReason');
    await stream.ready;
    const send = (): void => {
      fake.client.event(events.ioErrorReason, ioError(5, 'x'.repeat(40_000)));
    };
    for (let round = 0; round < 10; round++) {
      send();
      expect((await stream.next()).value?.reason).toHaveLength(40_000);
    }
    for (let round = 0; round < 3; round++) send();
    await libvirt.getLibVersion();
    await expect(stream.next()).rejects.toBeInstanceOf(LibvirtEventOverflowError);
  });

  test('a registration that was given up is ended when its late reply comes, and can be tried again', async () => {
    const held: ReceivedCall[] = [];
    const left: unknown[] = [];
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: (call) => {
        if (held.length === 0) held.push(call);
        else call.client.reply(call, { callbackID: 2 });
      },
      [DEREGISTER]: (call) => {
        left.push(call.args);
        agree(call);
      },
    });
    await using libvirt = await connect(fake.uri, { callTimeoutMs: 60 });
    const first = libvirt.domainEvents('lifecycle');
    await expect(first.next()).rejects.toBeInstanceOf(LibvirtTimeoutError);
    // As long as the daemon may still hold the first one, a second would be refused.
    await expect(libvirt.domainEvents('lifecycle').ready).rejects.toBeInstanceOf(LibvirtTimeoutError);
    expect(held).toHaveLength(1);
    const third = libvirt.domainEvents('lifecycle');
    if (held[0] !== undefined) confirm(1)(held[0]);
    await third.ready;
    expect(left).toEqual([{ callbackID: 1 }]);
    fake.client.raw(Buffer.concat([1, 2].map((id) => eventPacket(events.lifecycle, lifecycle(id, id)))));
    expect((await third.next()).value).toMatchObject({ event: 2 });
  });

  test('a late refusal, too, leaves the way free', async () => {
    const held: ReceivedCall[] = [];
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: (call) => {
        if (held.length > 0) confirm(2)(call);
        held.push(call);
      },
    });
    await using libvirt = await connect(fake.uri, { callTimeoutMs: 40, closeTimeoutMs: 40 });
    await expect(libvirt.domainEvents('lifecycle').ready).rejects.toBeInstanceOf(LibvirtTimeoutError);
    const again = libvirt.domainEvents('lifecycle');
    if (held[0] !== undefined) held[0].client.refuse(held[0], 1);
    await again.ready;
  });

  test('a registration that was never sent does not block the next one', async () => {
    const blocked: ReceivedCall[] = [];
    await using fake = await FakeLibvirtd.start({
      [TYPE]: (call) => blocked.push(call),
      [REGISTER]: confirm(3),
      [DEREGISTER]: agree,
    });
    await using libvirt = await connect(fake.uri, { callTimeoutMs: 40, closeTimeoutMs: 40 });
    const calls = [1, 2, 3, 4].map(() => libvirt.getType({ timeoutMs: 1000 }));
    await expect(libvirt.domainEvents('lifecycle').ready).rejects.toBeInstanceOf(LibvirtTimeoutError);
    for (const call of blocked) call.client.reply(call, { type: 'QEMU' });
    await Promise.all(calls);
    await libvirt.domainEvents('lifecycle').ready;
  });

  test('a signal that has fired already registers nothing', async () => {
    await using fake = await FakeLibvirtd.start({ [REGISTER]: confirm(1) });
    await using libvirt = await connect(fake.uri);
    const reason = new Error('before');
    const stream = libvirt.domainEvents('lifecycle', { signal: AbortSignal.abort(reason) });
    await expect(stream.ready).rejects.toBe(reason);
    await expect(stream.next()).rejects.toBe(reason);
    expect(fake.client.calls).toHaveLength(3);
  });

  test('equal callback ids of different classes do not mix', async () => {
    const zero = confirm(0);
    await using fake = await FakeLibvirtd.start({
      [REGISTER]: zero,
      REMOTE_PROC_CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY: zero,
      REMOTE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY: zero,
      REMOTE_PROC_CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY: zero,
      REMOTE_PROC_CONNECT_SECRET_EVENT_REGISTER_ANY: zero,
      QEMU_PROC_CONNECT_DOMAIN_MONITOR_EVENT_REGISTER: zero,
      REMOTE_PROC_CONNECT_REGISTER_CLOSE_CALLBACK: agree,
    });
    const libvirt = await connect(fake.uri);
    const net = { name: 'n', uuid: UUID };
    const secret = { uuid: UUID, usageType: 1, usageID: 'u' };
    const streams = [
      libvirt.domainEvents('reboot'),
      libvirt.storagePoolEvents('refresh', { pool: { ref: net } }),
      libvirt.networkEvents('lifecycle', { network: net }),
      libvirt.nodeDeviceEvents('update', { device: { name: 'pci' } }),
      libvirt.secretEvents('valueChanged', { secret: { ref: secret } }),
      libvirt.qemuMonitorEvents({ event: 'RTC_CHANGE' }),
      libvirt.connectionClosedEvents(),
    ];
    await Promise.all(streams.map(({ ready }) => ready));
    const monitor = { event: 'RTC_CHANGE', seconds: 1n, micros: 2, details: '{}' };
    const lines: [EventRow, Record<string, unknown>][] = [
      [objectEvents.connectionClosed, { reason: 2 }],
      [objectEvents.qemuMonitor, { callbackID: 0, dom, ...monitor }],
      [objectEvents.secretValueChanged, { callbackID: 0, secret }],
      [objectEvents.nodeDeviceUpdate, { callbackID: 0, dev: { name: 'pci' } }],
      [objectEvents.networkLifecycle, { callbackID: 0, net, event: 2, detail: 0 }],
      [objectEvents.storagePoolRefresh, { callbackID: 0, pool: net }],
      [events.reboot, { callbackID: 0, dom }],
    ];
    for (const [row, payload] of lines) fake.client.event(row, payload);
    const received: unknown[] = [];
    for (const stream of streams) received.push((await stream.next()).value);
    expect(received).toMatchObject([
      { kind: 'reboot', domain: { uuid: UUID } },
      { kind: 'refresh', pool: net },
      { kind: 'lifecycle', net, event: 2, detail: 0 },
      { kind: 'update', dev: { name: 'pci' } },
      { kind: 'valueChanged', secret },
      { domain: { uuid: UUID }, ...monitor },
      { reason: 2 },
    ]);
    libvirt.destroy();
    for (const stream of streams) expect(await stream.next()).toEqual({ done: true, value: undefined });
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
