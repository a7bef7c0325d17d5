import { join } from 'node:path';
import { BackupRepository, type BackupResult, startPullBackup } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  commandPath,
  defineDomain,
  type PrivateLibvirtd,
  requireServers,
  run,
  startLibvirtd,
  type TestDomain,
  virsh,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'virsh');
const MIB = 1024 * 1024;

describe.skipIf(servers.skip)(servers.title('what earlier runs left on a domain'), () => {
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

  afterEach(async () => {
    await repository.close();
    await domain.remove();
  });

  async function start(disks = 1): Promise<void> {
    const name = `l${++count}`;
    domain = await defineDomain(libvirt, libvirtd, {
      name,
      disks: Array.from({ length: disks }, () => ({ size: 8 * MIB })),
    });
    repository = await BackupRepository.open(join(libvirtd.workDir, `repository-${name}`));
    for (let disk = 0; disk < disks; disk++) await domain.write(disk, 'write -P 0x11 0 2M');
  }

  const call = (...args: readonly string[]): Promise<string> => virsh(libvirtd.uri, ...args);

  const backup = (): Promise<BackupResult> =>
    repository.backup(domain.handle, { mode: 'auto', scratchDir: libvirtd.scratchDir });

  /** Takes a backup and compares every disk; answers how each disk was read. */
  async function exactBackup(): Promise<Record<string, string>> {
    const truths = await Promise.all(domain.disks.map((_, index) => domain.truth(index)));
    const { point } = await backup();
    for (const [index, { target }] of domain.disks.entries()) {
      const output = join(libvirtd.workDir, `${point.id}-${target}.raw`);
      await repository.restore(point, target, output);
      await assertSameContent(output, truths[index] ?? '');
    }
    const answers = point.disks.map(({ name, reading }) => [
      name,
      reading.mode === 'full' ? reading.reason : 'incremental',
    ]);
    return Object.fromEntries(answers) as Record<string, string>;
  }

  /** The bitmaps that are stored in an image, as qemu-img sees them when nobody has it open. */
  async function storedBitmaps(disk: number): Promise<readonly string[]> {
    const path = domain.disks[disk]?.path ?? '';
    const text = await run(commandPath('qemu-img'), ['info', '--output=json', '--force-share', path]);
    const info = JSON.parse(text) as {
      'format-specific'?: { data?: { bitmaps?: readonly { name: string }[] } };
    };
    return (info['format-specific']?.data?.bitmaps ?? []).map(({ name }) => name);
  }

  async function powerCycle(whileOff: () => Promise<unknown>): Promise<void> {
    await call('destroy', domain.name);
    await whileOff();
    await call('start', domain.name, '--paused');
  }

  it('a bitmap lost on one disk costs that disk a full, and the other disk keeps no stale bitmap', async () => {
    await start(2);
    expect(await exactBackup()).toEqual({ vda: 'first', vdb: 'first' });
    const [first] = await repository.points();
    const lost = first?.checkpoint?.name ?? '';
    await powerCycle(() =>
      run(commandPath('qemu-img'), ['bitmap', '--remove', domain.disks[0]?.path ?? '', lost]),
    );
    await domain.write(1, 'write -P 0x22 1M 64k');
    expect(await exactBackup()).toEqual({ vda: 'bitmap-unusable', vdb: 'incremental' });
    const newest = (await repository.points()).at(-1)?.checkpoint?.name;
    await call('destroy', domain.name);
    expect(await storedBitmaps(0)).toEqual([newest]);
    expect(await storedBitmaps(1)).toEqual([newest]);
  });

  it('a checkpoint that only a backing image still has a bitmap of is removed, the bitmap too', async () => {
    await start(2);
    await exactBackup();
    const [first] = await repository.points();
    const lost = first?.checkpoint?.name ?? '';
    await domain.write(0, 'write -P 0x77 3M 64k');
    const disks = domain.disks.flatMap(({ target, path }) => ['--diskspec', `${target},file=${path}.over`]);
    await call('snapshot-create-as', domain.name, '--disk-only', '--no-metadata', ...disks);
    await powerCycle(() =>
      run(commandPath('qemu-img'), ['bitmap', '--remove', domain.disks[0]?.path ?? '', lost]),
    );
    await domain.write(1, 'write -P 0x22 1M 64k');
    expect(await exactBackup()).toEqual({ vda: 'bitmap-unusable', vdb: 'incremental' });
    expect(await call('checkpoint-list', domain.name, '--name')).not.toContain(lost);
    await call('destroy', domain.name);
    expect(await storedBitmaps(0)).toEqual([]);
    expect(await storedBitmaps(1)).toEqual([]);
  });

  it('a domain that was undefined and defined again goes on with an incremental', async () => {
    await start();
    await exactBackup();
    const xml = await call('dumpxml', domain.name, '--inactive');
    const path = join(libvirtd.workDir, `${domain.name}-again.xml`);
    await run('sh', ['-c', `cat > ${path} <<'EOF'\n${xml}\nEOF`]);
    await domain.write(0, 'write -P 0x33 4M 128k');
    await powerCycle(async () => {
      await call('undefine', domain.name, '--checkpoints-metadata');
      await call('define', path);
    });
    await domain.reconnect(libvirt);
    await domain.write(0, 'write -P 0x44 5M 64k');
    expect(await exactBackup()).toEqual({ vda: 'incremental' });
  });

  it('so does one whose checkpoint was forgotten with --metadata while it runs', async () => {
    await start();
    await exactBackup();
    const [first] = await repository.points();
    await call('checkpoint-delete', domain.name, first?.checkpoint?.name ?? '', '--metadata');
    await domain.write(0, 'write -P 0x55 3M 64k');
    expect(await exactBackup()).toEqual({ vda: 'incremental' });
  });

  it('a checkpoint that was forgotten and made known again on one disk goes with the bitmaps of both', async () => {
    await start(2);
    await exactBackup();
    const [first] = await repository.points();
    const lost = first?.checkpoint?.name ?? '';
    await call('checkpoint-delete', domain.name, lost, '--metadata');
    const [disk] = domain.disks;
    // The overlay gets a bitmap of the same name, and is another image than the point was taken of.
    const over = `${disk?.target ?? ''},file=${disk?.path ?? ''}.over`;
    const specs = ['--diskspec', over, '--diskspec', 'vdb,snapshot=no'];
    await call('snapshot-create-as', domain.name, '--disk-only', '--no-metadata', ...specs);
    await domain.write(0, 'write -P 0x22 1M 64k');
    await domain.write(1, 'write -P 0x22 1M 64k');
    expect(await exactBackup()).toEqual({ vda: 'bitmap-unusable', vdb: 'incremental' });
    const newest = (await repository.points()).at(-1)?.checkpoint?.name;
    expect((await domain.activeImages()).map(({ bitmaps }) => bitmaps)).toEqual([[newest], [newest]]);
    await call('destroy', domain.name);
    expect(await storedBitmaps(0)).toEqual([]);
  });

  it('a bitmap of ours that nothing stands for is removed, one of somebody else stays', async () => {
    await start();
    await exactBackup();
    const image = domain.disks[0]?.path ?? '';
    const orphan = `tsbackup-${repository.id}-01ARZ3NDEKTSV4RRFFQ69G5FAV`;
    await powerCycle(async () => {
      for (const name of [orphan, 'somebody-elses', 'tsbackup-00000000-01ARZ3NDEKTSV4RRFFQ69G5FAV'])
        await run(commandPath('qemu-img'), ['bitmap', '--add', image, name]);
    });
    expect(await exactBackup()).toEqual({ vda: 'incremental' });
    const newest = (await repository.points()).at(-1)?.checkpoint?.name ?? '';
    await call('destroy', domain.name);
    expect([...(await storedBitmaps(0))].sort()).toEqual(
      ['somebody-elses', 'tsbackup-00000000-01ARZ3NDEKTSV4RRFFQ69G5FAV', newest].sort(),
    );
  });

  it('forgetDomain shows and then takes our checkpoints and bitmaps off, so that undefine works again', async () => {
    await start(2);
    await exactBackup();
    await domain.write(0, 'write -P 0x66 6M 64k');
    await exactBackup();
    await using foreign = await startPullBackup(domain.handle, {
      checkpoint: 'mine',
      scratchDir: libvirtd.scratchDir,
    });
    await foreign.complete({ unread: 'accept' });
    const plan = await repository.forgetDomain(domain.handle, { dryRun: true });
    expect(plan.steps.map(({ type }) => type)).toEqual(['delete-checkpoint']);
    expect((await domain.handle.listAllCheckpoints()).length).toBe(2);
    const done = await repository.forgetDomain(domain.handle, { dryRun: false });
    expect(done.steps).toEqual(plan.steps);
    expect(done.remarks).toEqual([]);
    expect((await domain.handle.listAllCheckpoints()).map(({ name }) => name)).toEqual(['mine']);
    await call('checkpoint-delete', domain.name, 'mine');
    await call('destroy', domain.name);
    expect(await storedBitmaps(0)).toEqual([]);
    await call('undefine', domain.name);
    await expect(libvirt.lookupDomainByName(domain.name)).rejects.toMatchObject({ isNoDomain: true });
    // For the clean-up of the test.
    const xml = `<domain type='qemu'><name>${domain.name}</name><memory>32768</memory><os><type>hvm</type></os></domain>`;
    await libvirt.domainDefineXml(xml);
    await domain.reconnect(libvirt);
  });

  it('forgetDomain of a domain that is off says that the bitmaps stay, and takes them off once it runs', async () => {
    await start();
    await exactBackup();
    await call('destroy', domain.name);
    const off = await repository.forgetDomain(domain.handle, { dryRun: false });
    expect(off.remarks.map(({ message }) => message)).toEqual([
      `domain ${domain.name} is off: the bitmaps stay in its images, until this is done while it runs`,
    ]);
    expect(await domain.handle.listAllCheckpoints()).toEqual([]);
    expect(await storedBitmaps(0)).toHaveLength(1);
    await call('start', domain.name, '--paused');
    const on = await repository.forgetDomain(domain.handle, { dryRun: false });
    expect([on.steps.map(({ type }) => type), on.remarks]).toEqual([['remove-bitmap'], []]);
    await call('destroy', domain.name);
    expect(await storedBitmaps(0)).toEqual([]);
  });

  it('forgetDomain lets an internal snapshot be reverted to', async () => {
    await start();
    await exactBackup();
    await repository.forgetDomain(domain.handle, { dryRun: false });
    await call('snapshot-create-as', domain.name, 's1');
    await domain.write(0, 'write -P 0x77 0 1M');
    await call('snapshot-revert', domain.name, 's1', '--paused');
    expect((await call('domstate', domain.name)).trim()).toBe('paused');
    expect(await exactBackup()).toEqual({ vda: 'checkpoint-missing' });
    await call('snapshot-delete', domain.name, 's1');
  });
});
