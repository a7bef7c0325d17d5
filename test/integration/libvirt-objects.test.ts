import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  connect,
  type Connection,
  type Domain,
  virDomainBlockCommitFlags,
  virDomainBlockCopyFlags,
  virDomainBlockJobAbortFlags,
  virDomainBlockJobType,
  virDomainBlockResizeFlags,
  virDomainDeviceModifyFlags,
  virDomainModificationImpact,
  virDomainSnapshotCreateFlags,
  virDomainSnapshotDeleteFlags,
  virDomainState,
  virStorageVolWipeAlgorithm,
  virTypedParameterType,
} from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createImage,
  defineDomain,
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  virsh,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'virsh', 'qemu-system-x86_64', 'qemu-img');
const MiB = 1024 * 1024;

describe.skipIf(servers.skip)(servers.title('what objects do, virsh sees'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  const seen = (...args: string[]): Promise<string> => virsh(libvirtd.uri, ...args);

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  test('the life of a pool and its volumes', async () => {
    const path = join(libvirtd.imagesDir, 'pool');
    const xml = `<pool type='dir'><name>p</name><target><path>${path}</path></target></pool>`;
    const pool = await libvirt.storagePoolDefineXml(xml);
    expect([await pool.isActive(), await pool.isPersistent()]).toEqual([false, true]);
    await pool.build();
    expect(existsSync(path)).toBe(true);
    await pool.create();
    await pool.setAutostart(true);
    expect(await seen('pool-info', 'p')).toMatch(/State: +running[^]*Autostart: +yes/);
    expect(await pool.isActive()).toBe(true);

    const size = (name: string): number => statSync(join(path, name)).size;
    const volume = await pool.storageVolCreateXml(
      `<volume><name>a</name><capacity>${MiB}</capacity></volume>`,
    );
    await pipeline([Buffer.alloc(MiB, 7)], await volume.upload());
    const clone = await pool.storageVolCreateXmlFrom('<volume><name>b</name></volume>', volume);
    expect(readFileSync(join(path, 'b')).equals(Buffer.alloc(MiB, 7))).toBe(true);
    await clone.resize(2 * MiB);
    expect(size('b')).toBe(2 * MiB);
    expect((await clone.getInfo()).capacity).toBe(2 * MiB);
    await clone.wipe();
    expect(readFileSync(join(path, 'b')).equals(Buffer.alloc(2 * MiB))).toBe(true);
    await volume.wipePattern(virStorageVolWipeAlgorithm.VIR_STORAGE_VOL_WIPE_ALG_ZERO);
    expect(readFileSync(join(path, 'a')).equals(Buffer.alloc(MiB))).toBe(true);
    await createImage({ path: join(path, 'c'), size: MiB, owner: libvirtd.user });
    await expect(pool.storageVolLookupByName('c')).rejects.toMatchObject({ isNoStorageVol: true });
    await pool.refresh();
    expect((await pool.listAllVolumes()).map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
    for (const each of await pool.listAllVolumes()) await each.delete();
    expect(await seen('vol-list', 'p')).toBe('');
    await expect(volume.getInfo()).rejects.toMatchObject({ isNoStorageVol: true });

    await pool.destroy();
    await pool.delete();
    expect(existsSync(path)).toBe(false);
    await pool.undefine();
    await expect(pool.getInfo()).rejects.toMatchObject({ isNoStoragePool: true });
    const transient = await libvirt.storagePoolCreateXml(xml.replace(path, libvirtd.imagesDir));
    expect(await transient.isPersistent()).toBe(false);
    await transient.destroy();
    expect(await libvirt.listAllStoragePools()).toEqual([]);
  });

  test('the life of a secret', async () => {
    const secret = await libvirt.secretDefineXml(
      "<secret><description>d</description><usage type='ceph'><name>n</name></usage></secret>",
    );
    expect([secret.usageType, secret.usageId]).toEqual([2, 'n']);
    await expect(secret.getValue()).rejects.toMatchObject({ isNoSecret: true });
    const value = Uint8Array.from({ length: 256 }, (_, index) => index);
    await secret.setValue(value);
    expect(await secret.getValue()).toEqual(value);
    const theirs = (await seen('secret-get-value', secret.uuid)).trim();
    expect(Buffer.from(theirs, 'base64').equals(value)).toBe(true);
    await secret.undefine();
    expect(await seen('secret-list')).toBe('');
    await expect(secret.getXmlDesc()).rejects.toMatchObject({ isNoSecret: true });
    const hidden = await libvirt.secretDefineXml("<secret private='yes'/>");
    await hidden.setValue(value);
    await expect(hidden.getValue()).rejects.toMatchObject({ code: 'ERR_LIBVIRT_INVALID_SECRET' });
    expect(await libvirt.listAllSecrets({ flags: 4 })).toHaveLength(1);
    await hidden.undefine();
  });

  test('the configuration of a domain: title, metadata, devices', async () => {
    await using made = await defineDomain(libvirt, libvirtd, { name: 'config', disks: [{ size: MiB }] });
    const domain = made.handle;
    const { VIR_DOMAIN_AFFECT_LIVE, VIR_DOMAIN_AFFECT_CONFIG } = virDomainModificationImpact;
    await domain.setMetadata(0, 'live', { flags: VIR_DOMAIN_AFFECT_LIVE });
    await domain.setMetadata(0, 'later', { flags: VIR_DOMAIN_AFFECT_CONFIG });
    expect((await seen('desc', 'config', '--live')).trim()).toBe('live');
    expect((await seen('desc', 'config', '--config')).trim()).toBe('later');
    await domain.setMetadata(2, '<x/>', { key: 'x', uri: 'urn:x' });
    expect(await domain.getMetadata(2, { uri: 'urn:x' })).toBe('<x/>');
    await domain.setMetadata(2, null, { key: 'x', uri: 'urn:x' });
    await expect(domain.getMetadata(2, { uri: 'urn:x' })).rejects.toMatchObject({ isNoDomainMetadata: true });

    const path = join(libvirtd.imagesDir, 'extra.raw');
    await createImage({ path, size: MiB, format: 'raw', owner: libvirtd.user });
    const disk = (more = ''): string =>
      `<disk type='file'><driver type='raw'/><source file='${path}'/><target dev='vdb' bus='virtio'/>${more}</disk>`;
    const { VIR_DOMAIN_DEVICE_MODIFY_CONFIG } = virDomainDeviceModifyFlags;
    await domain.attachDeviceFlags(disk(), { flags: VIR_DOMAIN_DEVICE_MODIFY_CONFIG });
    expect(await seen('domblklist', 'config', '--inactive')).toContain(path);
    expect(await seen('domblklist', 'config')).not.toContain(path);
    await domain.updateDeviceFlags(disk('<serial>s1</serial>'), { flags: VIR_DOMAIN_DEVICE_MODIFY_CONFIG });
    expect(await domain.getXmlDesc({ flags: 2 })).toContain('<serial>s1</serial>');
    await domain.detachDeviceFlags(disk(), { flags: VIR_DOMAIN_DEVICE_MODIFY_CONFIG });
    expect(await seen('domblklist', 'config', '--inactive')).not.toContain(path);
  });

  const job = async (domain: Domain): Promise<number | undefined> =>
    (await domain.getBlockJobInfo('vda'))?.type;
  const isReady = async (domain: Domain): Promise<boolean> => {
    const info = await domain.getBlockJobInfo('vda');
    return info !== null && info.end > 0 && info.cur === info.end;
  };

  test('block jobs: overlay and commit, copy and abort, pull; sizes and thresholds', async () => {
    const raw = { size: MiB, format: 'raw', fill: [{ pattern: 9, offset: 512, length: 512 }] } as const;
    await using made = await defineDomain(libvirt, libvirtd, {
      name: 'blocks',
      disks: [{ size: 16 * MiB }, raw],
    });
    const domain = made.handle;
    await made.write(0, 'write -P 5 0 1M');
    expect(await domain.getBlockJobInfo('vda')).toBeNull();
    const overlay = join(libvirtd.imagesDir, 'overlay.qcow2');
    const { VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY, VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA } =
      virDomainSnapshotCreateFlags;
    const snapshotXml = `<domainsnapshot><disks><disk name='vda' snapshot='external'><source file='${overlay}'/></disk><disk name='vdb' snapshot='no'/></disks></domainsnapshot>`;
    await domain.snapshotCreateXml(snapshotXml, {
      flags: VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
    });
    expect(await seen('domblklist', 'blocks')).toContain(overlay);
    const { VIR_DOMAIN_BLOCK_COMMIT_ACTIVE } = virDomainBlockCommitFlags;
    const { VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT } = virDomainBlockJobAbortFlags;
    await domain.blockCommit('vda', { flags: VIR_DOMAIN_BLOCK_COMMIT_ACTIVE });
    expect(await job(domain)).toBe(virDomainBlockJobType.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT);
    await expect.poll(() => isReady(domain), { timeout: 20_000 }).toBe(true);
    await domain.blockJobAbort('vda', { flags: VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT });
    expect(await seen('domblklist', 'blocks')).not.toContain(overlay);

    const copy = join(libvirtd.imagesDir, 'copy.qcow2');
    const destination = `<disk type='file'><driver type='qcow2'/><source file='${copy}'/></disk>`;
    const { VIR_TYPED_PARAM_ULLONG } = virTypedParameterType;
    const { VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB } = virDomainBlockCopyFlags;
    await domain.blockCopy('vda', destination, {
      params: new Map([['bandwidth', { type: VIR_TYPED_PARAM_ULLONG, value: BigInt(MiB) }]]),
      flags: VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB,
    });
    expect(await domain.getBlockJobInfo('vda', { flags: 1 })).toMatchObject({
      type: virDomainBlockJobType.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY,
      bandwidth: MiB,
    });
    await domain.blockJobSetSpeed('vda', 3);
    expect(await domain.getBlockJobInfo('vda')).toMatchObject({ bandwidth: 3 });
    await domain.blockJobAbort('vda');
    expect(await domain.getBlockJobInfo('vda')).toBeNull();

    await domain.snapshotCreateXml(snapshotXml.replace(overlay, `${overlay}2`), {
      flags: VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
    });
    await domain.blockPull('vda');
    await expect.poll(() => job(domain), { timeout: 20_000 }).toBe(undefined);
    expect(await domain.getXmlDesc()).not.toContain('<backingStore type');
    await expect(domain.blockRebase('vda', '/no/such/base')).rejects.toMatchObject({ name: 'LibvirtError' });

    await domain.blockResize('vda', 32 * MiB, {
      flags: virDomainBlockResizeFlags.VIR_DOMAIN_BLOCK_RESIZE_BYTES,
    });
    expect((await domain.getBlockInfo('vda')).capacity).toBe(32 * MiB);
    expect([...(await domain.blockPeek('vdb', 511, 3))]).toEqual([0, 9, 9]);
    await expect(domain.blockPeek('vda', 0, 3)).rejects.toMatchObject({ isUnsupported: true });
    await using events = libvirt.domainEvents('blockThreshold', { domain });
    await events.ready;
    await domain.setBlockThreshold('vda', 1);
    await made.write(0, 'write -P 6 8M 1M');
    expect((await events.next()).value).toMatchObject({ dev: expect.stringMatching(/^vda/) as string });
  });

  test('snapshots: back to an earlier one, then none', async () => {
    await using made = await defineDomain(libvirt, libvirtd, { name: 'snaps', disks: [{ size: 16 * MiB }] });
    const domain = made.handle;
    const first = await domain.snapshotCreateXml('<domainsnapshot><name>s1</name></domainsnapshot>');
    const second = await domain.snapshotCreateXml('<domainsnapshot><name>s2</name></domainsnapshot>');
    expect((await second.getParent())?.name).toBe('s1');
    expect(await first.getParent()).toBeNull();
    await domain.revertToSnapshot(first);
    expect((await seen('snapshot-current', 'snaps', '--name')).trim()).toBe('s1');
    await first.delete({ flags: virDomainSnapshotDeleteFlags.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN });
    expect(await domain.listAllSnapshots()).toEqual([]);
    await expect(second.getXmlDesc()).rejects.toMatchObject({ isNoDomainSnapshot: true });
    await expect(second.getParent()).rejects.toMatchObject({ isNoDomainSnapshot: true });

    for (const name of ['c1', 'c2', 'c3'])
      await domain.checkpointCreateXml(`<domaincheckpoint><name>${name}</name></domaincheckpoint>`);
    const checkpoint = await domain.checkpointLookupByName('c1');
    expect((await checkpoint.listAllChildren()).map(({ name }) => name)).toEqual(['c2']);
    expect((await checkpoint.listAllChildren({ flags: 1 })).map(({ name }) => name).sort()).toEqual([
      'c2',
      'c3',
    ]);
  });

  test('the test driver: pools, volumes, snapshots, statistics; no secrets', async () => {
    const uri = `test+unix:///default?socket=${libvirtd.socketPath}`;
    await using mock = await connect(uri);
    expect(String(await mock.getMaxVcpus())).toBe((await virsh(uri, 'maxvcpus')).trim());
    expect(await virsh(uri, 'nodeinfo')).toContain((await mock.nodeGetInfo()).model);
    const domain = await mock.lookupDomainByName('test');
    await domain.reboot();
    const [stats] = await mock.getAllDomainStats({ stats: 1 });
    expect(stats?.domain.name).toBe('test');
    expect(stats?.params.get('state.state')?.value).toBe(virDomainState.VIR_DOMAIN_RUNNING);
    const pool = await mock.lookupStoragePoolByName('default-pool');
    expect((await pool.getXmlDesc()).trim()).toBe((await virsh(uri, 'pool-dumpxml', 'default-pool')).trim());
    expect(await pool.getInfo()).toMatchObject({ state: 2, capacity: 100 * 1024 * MiB });
    const volume = await pool.storageVolCreateXml(
      `<volume><name>v</name><capacity>${MiB}</capacity></volume>`,
    );
    expect((await virsh(uri, 'vol-path', 'v', '--pool', 'default-pool')).trim()).toBe(await volume.getPath());
    expect((await mock.lookupStoragePoolByVolume(volume)).uuid).toBe(pool.uuid);
    await volume.delete();
    const snapshot = await domain.snapshotCreateXml('<domainsnapshot><name>s1</name></domainsnapshot>');
    await domain.suspend();
    await domain.revertToSnapshot(snapshot);
    expect((await domain.getState()).state).toBe(virDomainState.VIR_DOMAIN_RUNNING);
    await snapshot.delete();
    await expect(mock.listAllSecrets()).rejects.toMatchObject({ isUnsupported: true });
    await domain.shutdownFlags();
    expect(await domain.isActive()).toBe(false);
    await domain.create();
  });
});
