import { connect, LibvirtConnectError, LibvirtError, procedures, virDomainEventType } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leftovers, type PrivateLibvirtd, requireServers, startLibvirtd, virsh } from '../harness/index.ts';

const servers = requireServers('libvirtd', 'virsh');

describe.skipIf(servers.skip)(servers.title("libvirt's test driver"), () => {
  let libvirtd: PrivateLibvirtd;
  let uri: string;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    uri = `test+unix:///default?socket=${libvirtd.socketPath}`;
  });

  afterAll(async () => {
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  test('tells about itself what virsh tells', async () => {
    await using libvirt = await connect(uri);
    expect(await libvirt.getType()).toBe('TEST');
    expect(await libvirt.getVersion()).toBe(2);
    const version = await libvirt.getLibVersion();
    const dotted = [version / 1e6, (version / 1e3) % 1e3, version % 1e3].map(Math.floor).join('.');
    expect(await virsh(uri, 'version', '--daemon')).toContain(`Running against daemon: ${dotted}`);
    expect(await libvirt.getUri()).toBe('test:///default');
    expect(await libvirt.getHostname()).toBe((await virsh(uri, 'hostname')).trim());
    expect((await libvirt.getCapabilities()).trim()).toBe((await virsh(uri, 'capabilities')).trim());
  });

  test('look-ups, the life of a domain, and its events in order', async () => {
    await using libvirt = await connect(uri);
    const domain = await libvirt.lookupDomainByName('test');
    expect((await libvirt.lookupDomainByUuid(domain.uuid.replaceAll('-', '').toUpperCase())).name).toBe(
      'test',
    );
    expect((await libvirt.lookupDomainById(domain.id)).uuid).toBe(domain.uuid);
    expect((await libvirt.listAllDomains()).map(({ name }) => name)).toEqual(['test']);
    expect((await domain.getXmlDesc()).trim()).toBe((await virsh(uri, 'dumpxml', 'test')).trim());
    expect(await domain.getInfo()).toMatchObject({ state: 1, maxMemoryKiB: 8388608, virtualCpus: 2 });

    await using events = libvirt.domainEvents('lifecycle', { domain });
    await events.ready;
    await domain.suspend();
    await domain.resume();
    await domain.destroy();
    await domain.create();
    const {
      VIR_DOMAIN_EVENT_SUSPENDED,
      VIR_DOMAIN_EVENT_RESUMED,
      VIR_DOMAIN_EVENT_STOPPED,
      VIR_DOMAIN_EVENT_STARTED,
    } = virDomainEventType;
    const expected = [
      VIR_DOMAIN_EVENT_SUSPENDED,
      VIR_DOMAIN_EVENT_RESUMED,
      VIR_DOMAIN_EVENT_STOPPED,
      VIR_DOMAIN_EVENT_STARTED,
    ];
    for (const event of expected) expect((await events.next()).value).toMatchObject({ event });
    expect(domain.id).toBeGreaterThan(0);
  });

  test('defines, starts, undefines; create without definition', async () => {
    await using libvirt = await connect(uri);
    const xml = (name: string): string =>
      `<domain type='test'><name>${name}</name><memory>1024</memory><os><type>hvm</type></os></domain>`;
    const domain = await libvirt.domainDefineXml(xml('defined'));
    expect(await domain.isActive()).toBe(false);
    expect(domain.id).toBe(-1);
    await domain.create();
    expect(await domain.isActive()).toBe(true);
    await domain.shutdown();
    await domain.undefine();
    await expect(domain.getState()).rejects.toMatchObject({
      isNoDomain: true,
      code: 'ERR_LIBVIRT_NO_DOMAIN',
    });
    const transient = await libvirt.domainCreateXml(xml('transient'));
    expect(await transient.isPersistent()).toBe(false);
    await transient.destroy();
  });

  test('refusals: unknown name, unsupported procedure, read-only, unknown driver', async () => {
    await using libvirt = await connect(uri, { readOnly: true });
    const refused = async (promise: Promise<unknown>): Promise<unknown> =>
      promise.catch((error: unknown) => error);
    const domain = await libvirt.lookupDomainByName('test');
    const nosuch = await refused(libvirt.lookupDomainByName('nosuch'));
    expect(nosuch).toMatchObject({ isNoDomain: true });
    expect((nosuch as Error).message).toMatch(
      /^Domain not found.*\(REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME of "nosuch" at test\+unix:\/\/\/default: VIR_ERR_NO_DOMAIN, 42\)$/,
    );
    // Events that the daemon is too old for: libvirt has this one since 11.2, and none of these kinds ever.
    const events = [libvirt.domainEvents('nicMacChange')];
    if ((await libvirt.getLibVersion()) < 11_002_000)
      for (const stream of events)
        await expect(stream.ready).rejects.toMatchObject({ isUnsupported: true, virErrorNumber: 1 });
    expect(await refused(domain.getJobInfo())).toMatchObject({ isUnsupported: true });
    expect(await refused(domain.destroy())).toMatchObject({ code: 'ERR_LIBVIRT_OPERATION_DENIED' });
    const unknown = { ...procedures.connectGetType, number: 9999 };
    expect(await refused(libvirt.call(unknown, {}))).toMatchObject({
      virErrorNumber: 39,
      isUnsupported: true,
    });
    const nowhere = await refused(connect(`nosuch+unix:///default?socket=${libvirtd.socketPath}`));
    expect(nowhere).toBeInstanceOf(LibvirtError);
    expect(nowhere).toMatchObject({ code: 'ERR_LIBVIRT_NO_CONNECT' });
    expect(await refused(connect(`test+unix:///default?socket=${libvirtd.dir}/none`))).toBeInstanceOf(
      LibvirtConnectError,
    );
  });

  test('a hundred calls at once', async () => {
    await using libvirt = await connect(uri);
    const types = await Promise.all(Array.from({ length: 100 }, () => libvirt.getType()));
    expect(new Set(types)).toEqual(new Set(['TEST']));
  });

  test('a daemon that is stopped is given up, one that is killed is noticed, one that is back can be used', async () => {
    const stopped = await connect(uri, { keepalive: { intervalMs: 50, count: 3 } });
    await libvirtd.kill('SIGSTOP');
    expect(await stopped.closed).toMatchObject({ reason: 'error' });
    await libvirtd.kill('SIGCONT');
    const killed = await connect(uri);
    const stream = killed.domainEvents('lifecycle');
    await stream.ready;
    await libvirtd.kill('SIGKILL');
    expect(['peer', 'error']).toContain((await killed.closed).reason);
    await expect(stream.next()).rejects.toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    await libvirtd.restart();
    await using again = await connect(uri);
    expect(await again.getType()).toBe('TEST');
  });
});
