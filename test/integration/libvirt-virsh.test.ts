import { join } from 'node:path';
import {
  type Checkpoint,
  connect,
  type Connection,
  type Domain,
  LibvirtError,
  type StoragePool,
  type StorageVolume,
} from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  defineDomain,
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  virsh,
} from '../harness/index.ts';
import { byName, columns, type Comparison, fields, lines } from './virsh-output.ts';

const servers = requireServers('libvirtd', 'virsh', 'qemu-system-x86_64', 'qemu-img');
const MiB = 1024 * 1024;

/** What there is to be read, by us and by virsh. */
interface World {
  readonly libvirt: Connection;
  /** Paused, with the checkpoints c1 and c2 and a backup job that runs. */
  readonly domain: Domain;
  /** Defined, not started. */
  readonly idle: Domain;
  readonly checkpoint: Checkpoint;
  readonly pool: StoragePool;
  readonly volume: StorageVolume;
}

/** libvirt's words for `virDomainState`. */
const STATES = ['no state', 'running', 'idle', 'paused', 'in shutdown', 'shut off', 'crashed', 'pmsuspended'];
const VIR_DOMAIN_PAUSED_USER = 1;

const dotted = (version: number): string =>
  [version / 1e6, (version / 1e3) % 1e3, version % 1e3].map(Math.floor).join('.');

const comparisons: readonly Comparison<World>[] = [
  { virsh: 'uri', ours: ({ libvirt }) => Promise.resolve(libvirt.uri) },
  { virsh: 'hostname', ours: ({ libvirt }) => libvirt.getHostname() },
  { virsh: 'capabilities', ours: ({ libvirt }) => libvirt.getCapabilities() },
  {
    virsh: 'version --daemon',
    theirs: (output) => /daemon: (\S+)/.exec(output)?.[1],
    ours: async ({ libvirt }) => dotted(await libvirt.getLibVersion()),
  },
  {
    virsh: 'version',
    theirs: (output) => /hypervisor: (\w+ \S+)/.exec(output)?.[1],
    ours: async ({ libvirt }) => `${await libvirt.getType()} ${dotted(await libvirt.getVersion())}`,
  },
  {
    virsh: 'list --all --name',
    theirs: (output) => lines(output).sort(),
    ours: async ({ libvirt }) => byName(await libvirt.listAllDomains()).map(({ name }) => name),
  },
  {
    virsh: 'list --name --state-paused',
    theirs: lines,
    ours: async ({ libvirt }) => (await libvirt.listAllDomains({ flags: 32 })).map(({ name }) => name),
  },
  {
    virsh: 'list --all',
    theirs: columns,
    ours: async ({ libvirt }) => {
      const domains = await libvirt.listAllDomains();
      const running = domains.filter(({ id }) => id >= 0);
      const rows = [...running, ...byName(domains.filter(({ id }) => id < 0))];
      return Promise.all(
        rows.map(async (domain) => {
          const { state } = await domain.getState();
          return [domain.id < 0 ? '-' : String(domain.id), domain.name, STATES[state]];
        }),
      );
    },
  },
  { virsh: 'domid paused', ours: ({ domain }) => Promise.resolve(String(domain.id)) },
  { virsh: 'domuuid paused', ours: ({ domain }) => Promise.resolve(domain.uuid) },
  { virsh: 'dumpxml paused', ours: ({ domain }) => domain.getXmlDesc() },
  { virsh: 'dumpxml paused --inactive', ours: ({ domain }) => domain.getXmlDesc({ flags: 2 }) },
  { virsh: 'dumpxml paused --security-info', ours: ({ domain }) => domain.getXmlDesc({ flags: 1 }) },
  { virsh: 'dumpxml idle', ours: ({ idle }) => idle.getXmlDesc() },
  {
    virsh: 'domstate paused --reason',
    ours: async ({ domain }) => {
      const { state, reason } = await domain.getState();
      return `${STATES[state] ?? '?'} (${reason === VIR_DOMAIN_PAUSED_USER ? 'user' : '?'})`;
    },
  },
  { virsh: 'domstate idle', ours: async ({ idle }) => STATES[(await idle.getState()).state] },
  {
    virsh: 'dominfo paused',
    theirs: fields('Name', 'UUID', 'State', 'CPU(s)', 'Max memory', 'Used memory', 'Persistent'),
    ours: async ({ domain }) => {
      const info = await domain.getInfo();
      return {
        Name: domain.name,
        UUID: domain.uuid,
        State: STATES[info.state],
        'CPU(s)': String(info.virtualCpus),
        'Max memory': `${info.maxMemoryKiB} KiB`,
        'Used memory': `${info.memoryKiB} KiB`,
        Persistent: (await domain.isPersistent()) ? 'yes' : 'no',
      };
    },
  },
  {
    virsh: 'domblkinfo paused vda',
    theirs: fields('Capacity', 'Allocation', 'Physical'),
    ours: async ({ domain }) => {
      const { capacity, allocation, physical } = await domain.getBlockInfo('vda');
      return { Capacity: String(capacity), Allocation: String(allocation), Physical: String(physical) };
    },
  },
  { virsh: 'backup-dumpxml paused', ours: ({ domain }) => domain.backupGetXmlDesc() },
  {
    virsh: 'domjobinfo paused',
    theirs: fields('Job type', 'Operation'),
    ours: async ({ domain }) => {
      const { type, params } = await domain.getJobStats();
      return {
        'Job type': type === 2 ? 'Unbounded' : '?',
        Operation: params.get('operation')?.value === 9 ? 'Backup' : '?',
      };
    },
  },
  {
    virsh: 'checkpoint-list paused --name --topological',
    theirs: lines,
    ours: async ({ domain }) => (await domain.listAllCheckpoints({ flags: 2 })).map(({ name }) => name),
  },
  {
    virsh: 'checkpoint-list paused --name --roots',
    theirs: lines,
    ours: async ({ domain }) => (await domain.listAllCheckpoints({ flags: 1 })).map(({ name }) => name),
  },
  { virsh: 'checkpoint-dumpxml paused c2', ours: ({ checkpoint }) => checkpoint.getXmlDesc() },
  {
    virsh: 'checkpoint-dumpxml paused c2 --no-domain --size',
    ours: ({ checkpoint }) => checkpoint.getXmlDesc({ flags: 2 | 4 }),
  },
  {
    virsh: 'checkpoint-parent paused c2',
    ours: async ({ checkpoint }) => (await checkpoint.getParent())?.name,
  },
  { virsh: 'pool-uuid images', ours: ({ pool }) => Promise.resolve(pool.uuid) },
  { virsh: 'vol-key disk.raw --pool images', ours: ({ volume }) => Promise.resolve(volume.key) },
  {
    virsh: 'vol-info disk.raw --pool images --bytes',
    theirs: fields('Name', 'Capacity', 'Allocation'),
    ours: async ({ volume }) => {
      const { capacity, allocation } = await volume.getInfo();
      return { Name: volume.name, Capacity: `${capacity} bytes`, Allocation: `${allocation} bytes` };
    },
  },
  {
    virsh: 'qemu-monitor-command paused {"execute":"query-name"}',
    theirs: (output) => (JSON.parse(output) as { return: unknown }).return,
    ours: async ({ domain }) =>
      (JSON.parse(await domain.monitorCommand('{"execute":"query-name"}')) as { return: unknown }).return,
  },
];

/** Calls that both must be refused, for the same reason. */
const refusals: readonly Comparison<World>[] = [
  { virsh: 'checkpoint-dumpxml paused c9', ours: ({ domain }) => domain.checkpointLookupByName('c9') },
  { virsh: 'pool-uuid nosuch', ours: ({ libvirt }) => libvirt.lookupStoragePoolByName('nosuch') },
  { virsh: 'resume idle', ours: ({ idle }) => idle.resume() },
  { virsh: 'suspend idle', ours: ({ idle }) => idle.suspend() },
  { virsh: 'backup-dumpxml idle', ours: ({ idle }) => idle.backupGetXmlDesc() },
  { virsh: 'domblkinfo paused vdz', ours: ({ domain }) => domain.getBlockInfo('vdz') },
];

describe.skipIf(servers.skip)(servers.title('what is read is what virsh prints'), () => {
  let libvirtd: PrivateLibvirtd;
  let world: World;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    const libvirt = await connect(libvirtd.uri);
    const paused = await defineDomain(libvirt, libvirtd, { name: 'paused', disks: [{ size: 16 * MiB }] });
    const idle = await defineDomain(libvirt, libvirtd, { name: 'idle', disks: [{ size: 16 * MiB }] });
    await idle.handle.destroy();
    await virsh(libvirtd.uri, 'pool-create-as', 'images', 'dir', '--target', libvirtd.imagesDir);
    await virsh(libvirtd.uri, 'vol-create-as', 'images', 'disk.raw', '3MiB', '--allocation', '1MiB');
    const domain = paused.handle;
    await domain.checkpointCreateXml('<domaincheckpoint><name>c1</name></domaincheckpoint>');
    const checkpoint = await domain.checkpointCreateXml(
      '<domaincheckpoint><name>c2</name></domaincheckpoint>',
    );
    const [socket, scratch] = ['backup.sock', 'scratch.qcow2'].map((name) => join(libvirtd.scratchDir, name));
    await domain.backupBegin(
      `<domainbackup mode='pull'><server transport='unix' socket='${socket ?? ''}'/><disks>` +
        `<disk name='vda' type='file'><scratch file='${scratch ?? ''}'/></disk></disks></domainbackup>`,
    );
    const pool = await libvirt.lookupStoragePoolByName('images');
    const volume = await pool.storageVolLookupByName('disk.raw');
    world = { libvirt, domain, idle: idle.handle, checkpoint, pool, volume };
  });

  afterAll(async () => {
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  test.each(comparisons)('$virsh', async ({ virsh: args, theirs = (output) => output.trim(), ours }) => {
    const output = theirs(await virsh(libvirtd.uri, ...args.split(' ')));
    const mine = await ours(world);
    expect(typeof mine === 'string' ? mine.trim() : mine).toEqual(output);
    expect(output).not.toEqual('');
    expect(output).not.toEqual({});
  });

  test.each(refusals)('refused: $virsh', async ({ virsh: args, ours }) => {
    const theirs: unknown = await virsh(libvirtd.uri, ...args.split(' ')).catch((error: unknown) => error);
    const mine: unknown = await ours(world).catch((error: unknown) => error);
    expect(mine).toBeInstanceOf(LibvirtError);
    const { serverMessage } = mine as LibvirtError;
    expect(serverMessage).not.toBe('');
    expect((theirs as Error).message).toContain(serverMessage);
  });
});
