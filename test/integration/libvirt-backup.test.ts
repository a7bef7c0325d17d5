import { join } from 'node:path';
import {
  connect,
  type Connection,
  type Domain,
  LibvirtError,
  virConnectDomainEventBlockJobStatus,
  virDomainBlockJobType,
  virDomainCheckpointXMLFlags,
  virDomainGetJobStatsFlags,
  virDomainState,
} from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  defineDomain,
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TestDomain,
  virsh,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'virsh');
const MiB = 1024 * 1024;

const checkpointXml = (name: string): string => `<domaincheckpoint><name>${name}</name></domaincheckpoint>`;

function backupXml(libvirtd: PrivateLibvirtd, incremental?: string): string {
  const from = incremental === undefined ? '' : `<incremental>${incremental}</incremental>`;
  return `<domainbackup mode='pull'>${from}
    <server transport='unix' socket='${join(libvirtd.scratchDir, 'b.sock')}'/>
    <disks><disk name='vda' type='file'><scratch file='${join(libvirtd.scratchDir, 'vda.scratch')}'/></disk></disks>
  </domainbackup>`;
}

async function rejection(promise: Promise<unknown>): Promise<LibvirtError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof LibvirtError)) throw new Error(`not a LibvirtError: ${String(error)}`);
  return error;
}

describe.skipIf(servers.skip)(servers.title('backups of a QEMU domain'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let guest: TestDomain<Domain>;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
    guest = await defineDomain(libvirt, libvirtd, { name: 'rpc', disks: [{ size: 16 * MiB }] });
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  afterEach(async () => {
    for (const checkpoint of await guest.handle.listAllCheckpoints()) await checkpoint.delete();
  });

  test('begin, describe, abort, hear of it', async () => {
    const domain = guest.handle;
    await using jobs = libvirt.domainEvents('jobCompleted', { domain });
    await using blockJobs = libvirt.domainEvents('blockJob2');
    await Promise.all([jobs.ready, blockJobs.ready]);
    expect(await rejection(domain.backupGetXmlDesc())).toMatchObject({
      isNoDomainBackup: true,
      code: 'ERR_LIBVIRT_NO_DOMAIN_BACKUP',
      virErrorNumber: 104,
      procedure: 'REMOTE_PROC_DOMAIN_BACKUP_GET_XML_DESC',
    });
    await domain.backupBegin(backupXml(libvirtd), checkpointXml('c1'));
    expect(await domain.backupGetXmlDesc()).toMatch(/<disk name='vda' [^>]*exportname='vda'/);
    expect((await domain.getJobStats()).params.get('operation')?.value).toBe(9);
    expect((await domain.getJobInfo()).type).not.toBe(0);
    await domain.abortJob();
    const completed = await jobs.next();
    expect(completed.value?.domain.uuid).toBe(domain.uuid);
    expect(completed.value?.params.get('success')?.value).toBe(true);
    expect(completed.value?.params.get('operation')?.value).toBe(9);
    const { value: blockJob } = await blockJobs.next();
    expect(blockJob).toMatchObject({
      disk: 'vda',
      type: virDomainBlockJobType.VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP,
    });
    expect(Object.values(virConnectDomainEventBlockJobStatus)).toContain(blockJob?.status);
    const flags = virDomainGetJobStatsFlags.VIR_DOMAIN_JOB_STATS_COMPLETED;
    expect((await domain.getJobStats({ flags })).params.get('success')?.value).toBe(true);
    expect((await domain.getJobStats({ flags })).type).toBe(0); // read once
    expect(await rejection(domain.abortJob())).toMatchObject({ isOperationInvalid: true });
  });

  test('an incremental backup names its checkpoint, and a missing one is told apart', async () => {
    const domain = guest.handle;
    await using jobs = libvirt.domainEvents('jobCompleted', { domain });
    await domain.checkpointCreateXml(checkpointXml('base'));
    await guest.write(0, 'write -P 0xaa 0 192k');
    const xml = await (
      await domain.checkpointLookupByName('base')
    ).getXmlDesc({ flags: virDomainCheckpointXMLFlags.VIR_DOMAIN_CHECKPOINT_XML_SIZE });
    expect(xml).toContain("size='196608'");
    await domain.backupBegin(backupXml(libvirtd, 'base'), checkpointXml('next'));
    expect(await domain.backupGetXmlDesc()).toMatch(/backupmode='incremental'/);
    await domain.abortJob();
    await jobs.next();
    expect(await rejection(domain.backupBegin(backupXml(libvirtd, 'nosuch')))).toMatchObject({
      isNoDomainCheckpoint: true,
    });
  });

  test('checkpoints: create, list, look up, parent, delete', async () => {
    const domain = guest.handle;
    const first = await domain.checkpointCreateXml(checkpointXml('a'));
    const second = await domain.checkpointCreateXml(checkpointXml('b'));
    expect((await domain.listAllCheckpoints()).map(({ name }) => name).sort()).toEqual(['a', 'b']);
    expect((await second.getParent())?.name).toBe('a');
    expect(await first.getParent()).toBeNull();
    expect(await virsh(libvirtd.uri, 'checkpoint-list', domain.name, '--name')).toMatch(/^a$/m);
    await first.delete();
    expect(await rejection(first.getParent())).toMatchObject({ isNoDomainCheckpoint: true });
    expect(await rejection(domain.checkpointLookupByName('a'))).toMatchObject({ virErrorNumber: 103 });
  });

  test('reads what virsh reads', async () => {
    const domain = await libvirt.lookupDomainByName('rpc');
    expect(await domain.getXmlDesc()).toBe(
      (await virsh(libvirtd.uri, 'dumpxml', 'rpc')).replace(/\n\n$/, '\n'),
    );
    expect(domain.uuid).toBe((await virsh(libvirtd.uri, 'domuuid', 'rpc')).trim());
    expect(String(domain.id)).toBe((await virsh(libvirtd.uri, 'domid', 'rpc')).trim());
    expect((await domain.getState()).state).toBe(virDomainState.VIR_DOMAIN_PAUSED);
    expect(await domain.isActive()).toBe(true);
    expect(await domain.isPersistent()).toBe(true);
    const info = await domain.getBlockInfo('vda');
    const printed = await virsh(libvirtd.uri, 'domblkinfo', 'rpc', 'vda');
    expect(info.capacity).toBe(16 * MiB);
    for (const size of Object.values(info)) expect(printed).toContain(String(size));
    expect(await domain.monitorCommand('{"execute":"query-status"}')).toContain('prelaunch');
  });

  test('an agent that is not there is told apart', async () => {
    const error = await rejection(guest.handle.fsFreeze());
    expect(error.isAgentUnavailable || error.isOperationInvalid).toBe(true);
    expect(await rejection(guest.handle.agentCommand('{"execute":"guest-ping"}'))).toBeInstanceOf(
      LibvirtError,
    );
  });

  test('blockResize grows a disk', async () => {
    await guest.handle.blockResize('vda', 17 * 1024);
    expect((await guest.handle.getBlockInfo('vda')).capacity).toBe(17 * MiB);
  });
});
