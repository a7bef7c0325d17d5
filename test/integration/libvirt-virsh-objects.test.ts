import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  connect,
  type Connection,
  type Domain,
  LibvirtError,
  type Secret,
  type Snapshot,
  type StoragePool,
  type StorageVolume,
  virDomainMetadataType,
  virDomainStatsTypes,
  virSecretUsageType,
  virStorageVolInfoFlags,
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
const CPU = '<cpu><arch>x86_64</arch><model>Nehalem</model></cpu>';
const SECRET = '6695eb01-f6a4-8304-79aa-97f2502e193f';
const NOBODY = '00000000-0000-4000-8000-000000000000';

/** What there is to be read, by us and by virsh. */
interface World {
  readonly libvirt: Connection;
  /** Paused. */
  readonly domain: Domain;
  /** Defined, not started, with the snapshots s1 and s2, a title and metadata. */
  readonly idle: Domain;
  readonly snapshot: Snapshot;
  readonly pool: StoragePool;
  readonly volume: StorageVolume;
  readonly secret: Secret;
}

const VALUE = Buffer.from('\0 open \xff sesame', 'latin1');
const names = (items: readonly { readonly name: string }[]): string[] =>
  byName(items).map(({ name }) => name);
const yes = (value: boolean): string => (value ? 'yes' : 'no');

async function poolFields(pool: StoragePool): Promise<Record<string, string>> {
  const { capacity, allocation, available, state } = await pool.getInfo();
  return {
    Name: pool.name,
    UUID: pool.uuid,
    State: state === 2 ? 'running' : '?',
    Persistent: yes(await pool.isPersistent()),
    Autostart: yes(await pool.getAutostart()),
    Capacity: String(capacity),
    Allocation: String(allocation),
    Available: String(available),
  };
}
const poolInfo = fields(
  ...['Name', 'UUID', 'State', 'Persistent', 'Autostart', 'Capacity', 'Allocation', 'Available'],
);

const NODE = {
  model: 'CPU model',
  cpus: 'CPU(s)',
  sockets: 'CPU socket(s)',
  cores: 'Core(s) per socket',
  threads: 'Thread(s) per core',
  nodes: 'NUMA cell(s)',
} as const;

async function nodeFields(libvirt: Connection): Promise<Record<string, string>> {
  const info = await libvirt.nodeGetInfo();
  const shown = Object.entries(NODE).map(([key, name]) => [name, String(info[key as keyof typeof NODE])]);
  return { ...Object.fromEntries(shown), 'Memory size': `${info.memoryKiB} KiB` } as Record<string, string>;
}
const nodeInfo = fields(...Object.values(NODE), 'Memory size');

/** virsh's own names for some of the counts. */
const BLKSTAT: Readonly<Record<string, string>> = { rd_operations: 'rd_req', wr_operations: 'wr_req' };
const pairsOf = (output: string, separator: string): Record<string, string | undefined> =>
  Object.fromEntries(lines(output).map((line) => line.trim().split(separator)) as [string, string][]);

const host: readonly Comparison<World>[] = [
  { virsh: 'nodeinfo', theirs: nodeInfo, ours: ({ libvirt }) => nodeFields(libvirt) },
  { virsh: 'cpu-models x86_64', theirs: lines, ours: ({ libvirt }) => libvirt.getCpuModelNames('x86_64') },
  { virsh: 'cpu-baseline CPU', ours: ({ libvirt }) => libvirt.baselineCpu([CPU]) },
  { virsh: 'hypervisor-cpu-baseline CPU', ours: ({ libvirt }) => libvirt.baselineHypervisorCpu([CPU]) },
  {
    virsh: 'cpu-compare CPU --error',
    theirs: (output) => /is (?:a )?(\w+)/.exec(output)?.[1],
    ours: async ({ libvirt }) => ['incompatible', 'identical', 'superset'][await libvirt.compareCpu(CPU)],
  },
  {
    virsh: 'hypervisor-cpu-compare CPU --error',
    theirs: (output) => /is (?:a )?(\w+)/.exec(output)?.[1],
    ours: async ({ libvirt }) =>
      ['incompatible', 'identical', 'superset'][await libvirt.compareHypervisorCpu(CPU)],
  },
  { virsh: 'pool-capabilities', ours: ({ libvirt }) => libvirt.getStoragePoolCapabilities() },
  {
    virsh: 'domcapabilities --virttype qemu --arch x86_64 --machine q35',
    ours: ({ libvirt }) =>
      libvirt.getDomainCapabilities({ virtType: 'qemu', arch: 'x86_64', machine: 'q35' }),
  },
  {
    virsh: 'domstats paused --state --block --raw',
    theirs: (output) => pairsOf(output.slice(output.indexOf('\n')), '='),
    ours: async ({ libvirt, domain }) => {
      const { VIR_DOMAIN_STATS_STATE: state, VIR_DOMAIN_STATS_BLOCK: block } = virDomainStatsTypes;
      const [stats, ...others] = await libvirt.domainListGetStats([domain], { stats: state | block });
      expect(others).toEqual([]);
      return Object.fromEntries([...(stats?.params ?? [])].map(([name, { value }]) => [name, String(value)]));
    },
  },
  {
    virsh: 'domstats --state --raw',
    theirs: (output) => [...output.matchAll(/Domain: '(\w+)'/g)].map(([, name]) => name).sort(),
    ours: async ({ libvirt }) =>
      names((await libvirt.getAllDomainStats({ stats: 1 })).map(({ domain }) => domain)),
  },
];

const domains: readonly Comparison<World>[] = [
  {
    virsh: 'domcontrol paused',
    ours: async ({ domain }) => ['ok', 'background job', 'occupied'][(await domain.getControlInfo()).state],
  },
  {
    virsh: 'dominfo idle',
    theirs: fields('Autostart'),
    ours: async ({ idle }) => ({ Autostart: (await idle.getAutostart()) ? 'enable' : 'disable' }),
  },
  { virsh: 'desc idle --title', ours: ({ idle }) => idle.getMetadata(1) },
  { virsh: 'metadata idle urn:test', ours: ({ idle }) => idle.getMetadata(2, { uri: 'urn:test' }) },
  {
    virsh: 'domblkstat paused vda',
    theirs: (output) => pairsOf(output.replaceAll('vda ', ''), ' '),
    ours: async ({ domain }) =>
      Object.fromEntries(
        [...(await domain.blockStatsFlags('vda'))].map(([name, { value }]) => [
          BLKSTAT[name] ?? name,
          String(value),
        ]),
      ),
  },
  {
    virsh: 'domblkstat paused vda',
    theirs: (output) =>
      lines(output)
        .slice(0, 4)
        .map((line) => Number(line.split(' ')[2])),
    ours: async ({ domain }) => {
      const { rdReq, rdBytes, wrReq, wrBytes } = await domain.blockStats('vda');
      return [rdReq, rdBytes, wrReq, wrBytes];
    },
  },
  {
    virsh: 'domblkerror paused',
    theirs: (output) => (output.startsWith('No errors found') ? [] : output),
    ours: ({ domain }) => domain.getDiskErrors(),
  },
  {
    virsh: 'snapshot-list idle --name',
    theirs: lines,
    ours: async ({ idle }) => names(await idle.listAllSnapshots()),
  },
  {
    virsh: 'snapshot-list idle --name --roots',
    theirs: lines,
    ours: async ({ idle }) => names(await idle.listAllSnapshots({ flags: 1 })),
  },
  {
    virsh: 'snapshot-list idle --name --from s1',
    theirs: lines,
    ours: async ({ idle }) => names(await (await idle.snapshotLookupByName('s1')).listAllChildren()),
  },
  { virsh: 'snapshot-dumpxml idle s2', ours: ({ snapshot }) => snapshot.getXmlDesc() },
  { virsh: 'snapshot-parent idle s2', ours: async ({ snapshot }) => (await snapshot.getParent())?.name },
  { virsh: 'snapshot-current idle --name', ours: async ({ idle }) => (await idle.snapshotCurrent()).name },
  {
    virsh: 'snapshot-info idle s2',
    theirs: fields('Current', 'Metadata'),
    ours: async ({ snapshot }) => ({
      Current: yes(await snapshot.isCurrent()),
      Metadata: yes(await snapshot.hasMetadata()),
    }),
  },
];

const storage: readonly Comparison<World>[] = [
  {
    virsh: 'pool-list --all --name',
    theirs: (output) =>
      lines(output)
        .map((line) => line.trim())
        .sort(),
    ours: async ({ libvirt }) => names(await libvirt.listAllStoragePools()),
  },
  {
    virsh: 'pool-list --inactive --name',
    theirs: (output) => lines(output).map((line) => line.trim()),
    ours: async ({ libvirt }) => names(await libvirt.listAllStoragePools({ flags: 1 })),
  },
  { virsh: 'pool-info images --bytes', theirs: poolInfo, ours: ({ pool }) => poolFields(pool) },
  { virsh: 'pool-dumpxml images', ours: ({ pool }) => pool.getXmlDesc() },
  { virsh: 'pool-dumpxml images --inactive', ours: ({ pool }) => pool.getXmlDesc({ flags: 1 }) },
  {
    virsh: 'vol-list images',
    theirs: columns,
    ours: async ({ pool }) =>
      Promise.all(byName(await pool.listAllVolumes()).map(async (vol) => [vol.name, await vol.getPath()])),
  },
  { virsh: 'vol-dumpxml a.raw --pool images', ours: ({ volume }) => volume.getXmlDesc() },
  { virsh: 'vol-path a.raw --pool images', ours: ({ volume }) => volume.getPath() },
  {
    virsh: 'vol-info a.raw --pool images --bytes --physical',
    theirs: fields('Capacity', 'Physical'),
    ours: async ({ volume }) => {
      const { VIR_STORAGE_VOL_GET_PHYSICAL } = virStorageVolInfoFlags;
      const { capacity, allocation } = await volume.getInfoFlags({ flags: VIR_STORAGE_VOL_GET_PHYSICAL });
      return { Capacity: `${capacity} bytes`, Physical: `${allocation} bytes` };
    },
  },
  {
    virsh: 'secret-list',
    theirs: columns,
    ours: async ({ libvirt }) =>
      (await libvirt.listAllSecrets()).map(({ uuid, usageType, usageId }) => [
        uuid,
        `${['', 'volume', 'ceph'][usageType] ?? '?'} ${usageId}`,
      ]),
  },
  { virsh: `secret-dumpxml ${SECRET}`, ours: ({ secret }) => secret.getXmlDesc() },
  {
    virsh: `secret-get-value ${SECRET}`,
    ours: async ({ secret }) => Buffer.from(await secret.getValue()).toString('base64'),
  },
];

/** Calls that both must be refused, for the same reason, and the predicate that tells it. */
const refusals: readonly (Comparison<World> & { readonly predicate?: keyof LibvirtError })[] = [
  {
    virsh: 'snapshot-dumpxml idle s9',
    ours: ({ idle }) => idle.snapshotLookupByName('s9'),
    predicate: 'isNoDomainSnapshot',
  },
  {
    virsh: 'metadata paused urn:none',
    ours: ({ domain }) => domain.getMetadata(2, { uri: 'urn:none' }),
    predicate: 'isNoDomainMetadata',
  },
  {
    virsh: `pool-name ${NOBODY}`,
    ours: ({ libvirt }) => libvirt.lookupStoragePoolByUuid(NOBODY),
    predicate: 'isNoStoragePool',
  },
  {
    virsh: 'vol-key /no/such/path',
    ours: ({ libvirt }) => libvirt.lookupStorageVolByPath('/no/such/path'),
    predicate: 'isNoStorageVol',
  },
  {
    virsh: `secret-dumpxml ${NOBODY}`,
    ours: ({ libvirt }) => libvirt.lookupSecretByUuid(NOBODY),
    predicate: 'isNoSecret',
  },
  { virsh: 'sysinfo', ours: ({ libvirt }) => libvirt.getSysinfo() },
  { virsh: 'domfsinfo paused', ours: ({ domain }) => domain.getFsInfo(), predicate: 'isOperationInvalid' },
  { virsh: 'domfstrim paused', ours: ({ domain }) => domain.fsTrim(), predicate: 'isOperationInvalid' },
  { virsh: 'guestinfo paused', ours: ({ domain }) => domain.getGuestInfo(), predicate: 'isOperationInvalid' },
  { virsh: 'reset idle', ours: ({ idle }) => idle.reset(), predicate: 'isOperationInvalid' },
  { virsh: 'domblkstat paused vdz', ours: ({ domain }) => domain.blockStats('vdz') },
];

describe.skipIf(servers.skip)(servers.title('objects tell what virsh prints'), () => {
  let libvirtd: PrivateLibvirtd;
  let world: World;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    const libvirt = await connect(libvirtd.uri);
    const paused = await defineDomain(libvirt, libvirtd, { name: 'paused', disks: [{ size: 16 * MiB }] });
    await paused.write(0, 'write -P 1 0 64k', 'read -P 1 0 4k');
    const { handle: idle } = await defineDomain(libvirt, libvirtd, {
      name: 'idle',
      disks: [{ size: 16 * MiB }],
    });
    await idle.destroy();
    await idle.setAutostart(true);
    const { VIR_DOMAIN_METADATA_TITLE, VIR_DOMAIN_METADATA_ELEMENT } = virDomainMetadataType;
    await idle.setMetadata(VIR_DOMAIN_METADATA_TITLE, 'A title');
    await idle.setMetadata(VIR_DOMAIN_METADATA_ELEMENT, '<x a="1"/>', { key: 't', uri: 'urn:test' });
    for (const name of ['s1', 's2'])
      await idle.snapshotCreateXml(`<domainsnapshot><name>${name}</name></domainsnapshot>`);
    const poolXml = (name: string): string =>
      `<pool type='dir'><name>${name}</name><target><path>${libvirtd.imagesDir}/${name}</path></target></pool>`;
    const pool = await libvirt.storagePoolDefineXml(poolXml('images'));
    await libvirt.storagePoolDefineXml(poolXml('unused'));
    await pool.build();
    await pool.create();
    const volume = await pool.storageVolCreateXml(
      `<volume><name>a.raw</name><capacity>${3 * MiB}</capacity><allocation>${MiB}</allocation></volume>`,
    );
    const secret = await libvirt.secretDefineXml(
      `<secret><uuid>${SECRET}</uuid><usage type='volume'><volume>${await volume.getPath()}</volume></usage></secret>`,
    );
    await secret.setValue(VALUE);
    const snapshot = await idle.snapshotLookupByName('s2');
    writeFileSync(join(libvirtd.workDir, 'CPU'), CPU);
    world = { libvirt, domain: paused.handle, idle, snapshot, pool, volume, secret };
  });

  afterAll(async () => {
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  const oracle = (line: string): Promise<string> =>
    virsh(libvirtd.uri, ...line.replace('CPU', join(libvirtd.workDir, 'CPU')).split(' '));

  test.each([...host, ...domains, ...storage])(
    '$virsh',
    async ({ virsh: line, theirs = (output) => output.trim(), ours }) => {
      const output = theirs(await oracle(line));
      const mine = await ours(world);
      expect(typeof mine === 'string' ? mine.trim() : mine).toEqual(output);
      expect(output).not.toEqual('');
      expect(output).not.toEqual({});
    },
  );

  test.each(refusals)('refused: $virsh', async ({ virsh: line, ours, predicate = 'code' }) => {
    const theirs: unknown = await oracle(line).catch((error: unknown) => error);
    const mine: unknown = await ours(world).catch((error: unknown) => error);
    expect(mine).toBeInstanceOf(LibvirtError);
    expect((mine as LibvirtError)[predicate]).toBeTruthy();
    const { serverMessage } = mine as LibvirtError;
    expect(serverMessage).not.toBe('');
    expect((theirs as Error).message).toContain(serverMessage);
  });

  test('every way to look an object up leads to it', async () => {
    const { libvirt, pool, volume, secret } = world;
    const path = await volume.getPath();
    const found = [
      await libvirt.lookupStoragePoolByName('images'),
      await libvirt.lookupStoragePoolByUuid(pool.uuid.replaceAll('-', '')),
      await libvirt.lookupStoragePoolByTargetPath(`${libvirtd.imagesDir}/images`),
      await libvirt.lookupStoragePoolByVolume(volume),
    ];
    expect(found.map(({ ref }) => ref)).toEqual(Array(4).fill(pool.ref));
    expect((await libvirt.lookupStorageVolByKey(volume.key)).ref).toEqual(volume.ref);
    expect((await libvirt.lookupStorageVolByPath(path)).ref).toEqual(volume.ref);
    expect((await libvirt.lookupSecretByUuid(SECRET.toUpperCase())).ref).toEqual(secret.ref);
    const { VIR_SECRET_USAGE_TYPE_VOLUME } = virSecretUsageType;
    expect((await libvirt.lookupSecretByUsage(VIR_SECRET_USAGE_TYPE_VOLUME, path)).ref).toEqual(secret.ref);
    const free = await libvirt.nodeGetFreeMemory();
    expect(free).toBeGreaterThan(MiB);
    expect(free).toBeLessThan((await libvirt.nodeGetInfo()).memoryKiB * 1024);
    expect(await libvirt.isSecure()).toBe(true);
  });

  test('refusals that virsh does not get, because it asks in another way', async () => {
    const { domain, idle, pool } = world;
    expect(await domain.hasCurrentSnapshot()).toBe(false);
    expect(await idle.hasCurrentSnapshot()).toBe(true);
    await expect(domain.snapshotCurrent()).rejects.toMatchObject({ isNoDomainSnapshot: true });
    await expect(pool.storageVolLookupByName('nosuch')).rejects.toMatchObject({ isNoStorageVol: true });
  });
});
