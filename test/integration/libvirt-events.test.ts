import { connect, type Connection, type Domain, type EventStream, virDomainEventType } from 'libvirt-ts-rpc';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  defineDomain,
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TestDomain,
  virsh,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'virsh', 'qemu-system-x86_64', 'qemu-img');
const MiB = 1024 * 1024;

async function nextOf<Event>(stream: EventStream<Event>): Promise<Event> {
  const { value, done } = await stream.next();
  if (done === true) throw new Error('the stream has ended');
  return value;
}

describe.skipIf(servers.skip)(servers.title('events of a real daemon'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let guest: TestDomain<Domain>;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
    guest = await defineDomain(libvirt, libvirtd, { name: 'events', disks: [{ size: 16 * MiB }] });
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  test('the daemon registers every kind of every class that it knows', async () => {
    const kinds = [
      ...(['lifecycle', 'reboot', 'rtcChange', 'watchdog', 'ioError', 'graphics', 'ioErrorReason'] as const),
      ...(['controlError', 'blockJob', 'diskChange', 'trayChange', 'pmWakeup', 'pmSuspend'] as const),
      ...(['balloonChange', 'pmSuspendDisk', 'deviceRemoved', 'blockJob2', 'tunable'] as const),
      ...(['agentLifecycle', 'deviceAdded', 'migrationIteration', 'jobCompleted'] as const),
      ...(['deviceRemovalFailed', 'metadataChange', 'blockThreshold', 'memoryFailure'] as const),
      ...(['memoryDeviceSizeChange', 'nicMacChange'] as const),
    ];
    expect(kinds).toHaveLength(28);
    const isOld = (await libvirt.getLibVersion()) < 11_002_000;
    for (const kind of kinds) {
      await using stream = libvirt.domainEvents(kind);
      if (kind === 'nicMacChange' && isOld)
        await expect(stream.ready).rejects.toThrow('unsupported event ID');
      else await stream.ready;
    }
  });

  test('classes whose callback ids collide do not mix', async () => {
    await using domains = libvirt.domainEvents('metadataChange');
    await using started = libvirt.domainEvents('lifecycle', { domain: guest.handle });
    await using startedToo = libvirt.domainEvents('lifecycle', { domain: guest.handle });
    await using pools = libvirt.storagePoolEvents('lifecycle');
    await using refreshed = libvirt.storagePoolEvents('refresh');
    await using secrets = libvirt.secretEvents('lifecycle');
    await using values = libvirt.secretEvents('valueChanged');
    await using monitor = libvirt.qemuMonitorEvents({ domain: guest.handle, event: 'STOP' });
    const all = [domains, started, startedToo, pools, refreshed, secrets, values, monitor];
    await Promise.all(all.map(({ ready }) => ready));

    const target = join(libvirtd.dir, 'images');
    await virsh(libvirtd.uri, 'pool-create-as', 'p', 'dir', '--target', target);
    await virsh(libvirtd.uri, 'pool-refresh', 'p');
    const secret = join(libvirtd.workDir, 'secret.xml');
    writeFileSync(
      secret,
      "<secret ephemeral='no' private='no'><usage type='volume'><volume>/v</volume></usage></secret>",
    );
    await virsh(libvirtd.uri, 'secret-define', secret);
    const uuid = /[0-9a-f-]{36}/.exec(await virsh(libvirtd.uri, 'secret-list'))?.[0] ?? '';
    await virsh(libvirtd.uri, 'secret-set-value', uuid, 'MTIz');
    await virsh(libvirtd.uri, 'desc', 'events', '--title', 'a title');
    await guest.handle.resume();
    await guest.handle.suspend();

    expect(await nextOf(domains)).toMatchObject({ kind: 'metadataChange', type: 1, nsuri: null });
    for (const stream of [started, startedToo])
      expect(await nextOf(stream)).toMatchObject({ event: virDomainEventType.VIR_DOMAIN_EVENT_RESUMED });
    expect(await nextOf(pools)).toMatchObject({ kind: 'lifecycle', event: 2, pool: { name: 'p' } });
    expect(await nextOf(refreshed)).toMatchObject({ kind: 'refresh', pool: { name: 'p' } });
    expect(await nextOf(secrets)).toMatchObject({ event: 0, secret: { uuid, usageType: 1, usageID: '/v' } });
    expect(await nextOf(values)).toMatchObject({ kind: 'valueChanged', secret: { uuid } });
    const stop = await nextOf(monitor);
    expect(stop).toMatchObject({ event: 'STOP', domain: { uuid: guest.handle.uuid } });
    expect(Math.abs(Number(stop.seconds) - Date.now() / 1000)).toBeLessThan(60);
  });

  test('a daemon restarted under load: every stream fails, a new connection registers anew', async () => {
    const load = await connect(libvirtd.uri);
    const streams = [load.domainEvents('lifecycle'), load.storagePoolEvents('lifecycle')];
    await Promise.all(streams.map(({ ready }) => ready));
    const calls = Array.from({ length: 500 }, () => load.listAllDomains());
    const outcomes = Promise.allSettled(calls);
    await calls[20];
    await libvirtd.kill('SIGKILL');
    expect(['peer', 'error']).toContain((await load.closed).reason);
    for (const outcome of await outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    for (const stream of streams)
      await expect(stream.next()).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    await libvirtd.restart();
    await using again = await connect(libvirtd.uri);
    await using events = again.domainEvents('lifecycle');
    await events.ready;
    const domain = await again.lookupDomainByName('events');
    await domain.resume();
    expect(await nextOf(events)).toMatchObject({ event: virDomainEventType.VIR_DOMAIN_EVENT_RESUMED });
  });
});
