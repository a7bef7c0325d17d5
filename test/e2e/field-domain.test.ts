import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BackupRepository, type Point } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  commandLine,
  defineDomain,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TestDomain,
  virsh,
} from '../harness/index.ts';
import { example, interruptedExample } from './commands.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'virsh');
const MIB = 1024 * 1024;
const VIR_DOMAIN_START_PAUSED = 1;

describe.skipIf(servers.skip)(servers.title('what backups leave on a domain, and what errors say'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let repository: BackupRepository;
  let count = 0;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
  });

  beforeEach(async () => {
    const disks = [{ size: 128 * MIB }, { size: 8 * MIB }];
    domain = await defineDomain(libvirt, libvirtd, { name: `l${++count}`, disks });
    await domain.write(0, 'write -P 0x11 0 64M');
    await domain.write(1, 'write -P 0x22 0 1M');
    repository = await BackupRepository.open(join(libvirtd.workDir, `repository-${count}`), { create: true });
  });

  afterEach(async () => {
    await repository.close();
    await domain.remove().catch(() => undefined); // the test may have undefined it
  });

  const backup = async (): Promise<Point> =>
    (await repository.backup(domain.handle, { scratchDir: libvirtd.scratchDir })).point;

  const ourBitmaps = async (): Promise<string[]> =>
    (await domain.activeImages()).flatMap(({ bitmaps }) => bitmaps.filter((name) => /^tsbackup/.test(name)));

  it('client, QEMU and libvirtd killed together: the next success leaves no file and no socket', async () => {
    await backup();
    await domain.write(0, 'write -P 0x33 0 64M');
    const args = ['--connect', libvirtd.uri, '--domain', domain.name, '--to', repository.description];
    const ready = (): boolean => readdirSync(libvirtd.scratchDir).length > 0;
    await interruptedExample('backup-domain', [...args, '--scratch', libvirtd.scratchDir], 'SIGKILL', ready);
    const qemu = libvirtd.offspring().find((pid) => commandLine(pid).includes(`guest=${domain.name}`));
    await libvirtd.kill('SIGKILL');
    if (qemu !== undefined) process.kill(qemu, 'SIGKILL');
    expect(readdirSync(libvirtd.scratchDir)).not.toEqual([]);
    await libvirtd.restart();
    libvirt = await connect(libvirtd.uri);
    await domain.reconnect(libvirt);
    if (!(await domain.handle.isActive())) await domain.handle.create({ flags: VIR_DOMAIN_START_PAUSED });
    const truth = await domain.truth(0);
    const point = await backup();
    const output = join(libvirtd.workDir, `${point.id}.raw`);
    await repository.restore(point, 'vda', output);
    await assertSameContent(output, truth);
    expect(readdirSync(libvirtd.scratchDir)).toEqual([]);
    expect(readdirSync(libvirtd.imagesDir).filter((name) => name.includes('tsbackup'))).toEqual([]);
    await expect(domain.handle.backupGetXmlDesc()).rejects.toMatchObject({ isNoDomainBackup: true });
    expect((await domain.handle.listAllCheckpoints()).length).toBe(1);
  });

  it('forgetDomain takes checkpoints and bitmaps off, and undefine works again', async () => {
    await backup();
    await virsh(libvirtd.uri, 'checkpoint-create-as', domain.name, 'somebody-elses');
    await backup();
    const checkpoints = async (): Promise<string[]> =>
      (await domain.handle.listAllCheckpoints()).map(({ name }) => name).sort();
    const before = await checkpoints();
    const plan = JSON.stringify(await repository.forgetDomain(domain.handle, { dryRun: true }));
    expect(await checkpoints()).toEqual(before);
    for (const name of before.filter((each) => each.startsWith('tsbackup'))) expect(plan).toContain(name);
    await repository.forgetDomain(domain.handle, { dryRun: false });
    expect(await checkpoints()).toEqual(['somebody-elses']);
    expect(await ourBitmaps()).toEqual([]);
    await virsh(libvirtd.uri, 'checkpoint-delete', domain.name, 'somebody-elses');
    await domain.handle.destroy();
    await virsh(libvirtd.uri, 'undefine', domain.name);
  });

  it('what is not found is not damage', async () => {
    const point = await backup();
    const output = join(libvirtd.workDir, `${point.id}-none.raw`);
    await expect(repository.restore(point, 'vdz', output)).rejects.toMatchObject({
      code: 'ERR_BACKUP_NOT_FOUND',
      reason: 'disk',
    });
    const never = [
      '--domain',
      domain.name,
      '--from',
      repository.description,
      '--output',
      output,
      '--disk',
      'vda',
    ];
    const { code, stderr } = await example('restore-disk', [
      ...never,
      '--point',
      '00000000000000000000000000',
    ]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('has no point') as string });
    await expect(repository.points('no-such-domain')).rejects.toMatchObject({
      code: 'ERR_BACKUP_NOT_FOUND',
      reason: 'domain',
    });
    await expect(
      repository.backup(domain.handle, { disks: ['vdz'], scratchDir: libvirtd.scratchDir }),
    ).rejects.toMatchObject({ code: 'ERR_BACKUP_NOT_FOUND', reason: 'disk' });
    expect(readdirSync(libvirtd.workDir).filter((name) => name.includes('-none.raw'))).toEqual([]);
  });

  it('busy, off, mistyped and absent are different', async () => {
    const job = join(libvirtd.workDir, `${domain.name}-job.xml`);
    const socket = join(libvirtd.scratchDir, `${domain.name}.sock`);
    writeFileSync(
      job,
      `<domainbackup mode='pull'><server transport='unix' socket='${socket}'/></domainbackup>`,
    );
    await virsh(libvirtd.uri, 'backup-begin', domain.name, job);
    await expect(backup()).rejects.toMatchObject({ code: 'ERR_BACKUP_PLAN', reason: 'domain-busy' });
    await virsh(libvirtd.uri, 'domjobabort', domain.name);
    await domain.handle.destroy();
    await expect(backup()).rejects.toMatchObject({ code: 'ERR_BACKUP_PLAN', reason: 'domain-off' });
    await expect(
      repository.backup(domain.handle, { mode: 'fulll' as 'full', scratchDir: libvirtd.scratchDir }),
    ).rejects.toMatchObject({ code: 'ERR_BACKUP_USAGE', reason: 'option' });
    const nowhere = join(libvirtd.workDir, 'nowhere');
    await expect(BackupRepository.open(nowhere, { create: false })).rejects.toMatchObject({
      code: 'ERR_BACKUP_REPOSITORY',
      reason: 'absent',
    });
  });
});
