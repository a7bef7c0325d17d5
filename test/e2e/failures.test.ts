import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BackupJobError, BackupRepository, type BackupResult, type Point } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  defineDomain,
  mountTmpfs,
  type PrivateLibvirtd,
  requireMount,
  requireServers,
  startLibvirtd,
  startNbdkit,
  type TestDomain,
} from '../harness/index.ts';
import { bytesIn, example, exampleJson, interruptedExample } from './commands.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'nbdkit');
const mounts = requireMount();
const MIB = 1024 * 1024;

describe.skipIf(servers.skip)(servers.title('what goes wrong in the middle of a backup'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let folder: string;
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
    domain = await defineDomain(libvirt, libvirtd, { name: `f${++count}`, disks: [{ size: 256 * MIB }] });
    await domain.write(0, 'write -P 0x11 0 96M');
    folder = join(libvirtd.workDir, `repository-${count}`);
  });

  afterEach(async () => {
    await domain.remove();
  });

  const commandArgs = (to: string): string[] => [
    '--connect',
    libvirtd.uri,
    '--domain',
    domain.name,
    '--to',
    to,
    '--scratch',
    libvirtd.scratchDir,
  ];

  const checkpoints = async (): Promise<string[]> =>
    (await domain.handle.listAllCheckpoints()).map(({ name }) => name);

  async function expectNoJob(): Promise<void> {
    await expect(domain.handle.backupGetXmlDesc()).rejects.toMatchObject({ isNoDomainBackup: true });
    expect(readdirSync(libvirtd.scratchDir)).toEqual([]);
  }

  function backup(
    repository: BackupRepository,
    mode: 'full' | 'incremental',
    onProgress?: () => void,
  ): Promise<BackupResult> {
    const options = { mode, scratchDir: libvirtd.scratchDir };
    return repository.backup(domain.handle, onProgress === undefined ? options : { ...options, onProgress });
  }

  /** The same parent serves, and the result is what the disk is now. */
  async function expectExactIncremental(repository: BackupRepository, parent: string): Promise<void> {
    const truth = await domain.truth(0);
    const { point } = await backup(repository, 'incremental');
    expect(point.previous?.id).toBe(parent);
    expect(point.disks[0]?.reading.mode).toBe('incremental');
    const output = join(libvirtd.workDir, `${point.id}.raw`);
    await repository.restore(point, 'vda', output);
    await assertSameContent(output, truth);
    expect(await checkpoints()).toEqual([point.checkpoint?.name]);
    await expectNoJob();
  }

  it('SIGKILL of the backup: the next one removes what it left and starts from the same parent', async () => {
    const first = (await exampleJson('backup-domain', [...commandArgs(folder), '--json'])) as { id: string };
    await domain.write(0, 'write -P 0x22 0 96M', 'discard 90M 2M');
    const before = bytesIn(folder);
    const transferring = (): boolean => bytesIn(folder) > before + MIB;
    const killed = await interruptedExample('backup-domain', commandArgs(folder), 'SIGKILL', transferring);
    expect(killed.signal).toBe('SIGKILL');
    expect(await domain.handle.backupGetXmlDesc()).toContain('<domainbackup');
    expect((await checkpoints()).length).toBe(2);
    await using repository = await BackupRepository.open(folder);
    expect((await repository.points()).map(({ id }) => id)).toEqual([first.id]);
    // The owner of its lease is known to be dead: nobody waits for it.
    await expectExactIncremental(repository, first.id);
    expect(bytesIn(folder)).toBeLessThan(before + 97 * MIB);
  });

  /** Runs an incremental, kills libvirtd in the middle of it and starts it again. */
  async function backupWhileKilled(repository: BackupRepository, abort?: AbortController): Promise<unknown> {
    let killed: Promise<void> | undefined;
    const onProgress = (): void => {
      killed ??= libvirtd.kill('SIGKILL').then(() => abort?.abort(new Error('given up')));
    };
    const options = { mode: 'incremental', scratchDir: libvirtd.scratchDir, onProgress } as const;
    const outcome = await repository
      .backup(domain.handle, abort === undefined ? options : { ...options, signal: abort.signal })
      .catch((error: unknown) => error);
    await killed;
    expect(killed).toBeDefined();
    await libvirtd.restart();
    libvirt = await connect(libvirtd.uri);
    await domain.reconnect(libvirt);
    return outcome;
  }

  it('a libvirtd that is killed: the point is stored, a remark says that the job could not be ended', async () => {
    await using repository = await BackupRepository.open(folder);
    await backup(repository, 'full');
    await domain.write(0, 'write -P 0x22 0 64M');
    const truth = await domain.truth(0);
    const { point, remarks } = (await backupWhileKilled(repository)) as BackupResult;
    expect(remarks.map(({ reason }) => reason)).toEqual(['job-left', 'checkpoint-left']);
    expect(remarks[0]?.message).toMatch(/connection/);
    const newest = (await repository.points()).at(-1) as Point;
    expect(newest.id).toBe(point.id);
    const output = join(libvirtd.workDir, `${newest.id}.raw`);
    await repository.restore(newest, 'vda', output);
    await assertSameContent(output, truth);
    await expectExactIncremental(repository, newest.id);
  });

  it('a libvirtd that is killed, and an abort: both are in the error, and the same parent serves', async () => {
    await using repository = await BackupRepository.open(folder);
    const { point } = await backup(repository, 'full');
    await domain.write(0, 'write -P 0x22 0 96M');
    const abort = new AbortController();
    const failed = await backupWhileKilled(repository, abort);
    expect(failed).toBeInstanceOf(BackupJobError);
    expect(failed).toMatchObject({ phase: 'transfer', cause: abort.signal.reason as Error });
    expect((failed as BackupJobError).message).toMatch(/^given up; cleaning up failed too: .*connection/);
    expect((await repository.points()).map(({ id }) => id)).toEqual([point.id]);
    await expectExactIncremental(repository, point.id);
  });

  it('a QEMU that is gone: an error, nothing is left but what was there before', async () => {
    await using repository = await BackupRepository.open(folder);
    const { point } = await backup(repository, 'full');
    await domain.write(0, 'write -P 0x22 0 64M');
    let destroyed: Promise<unknown> | undefined;
    const failed = await backup(repository, 'incremental', () => {
      destroyed ??= domain.handle.destroy();
    }).catch((error: unknown) => error);
    await destroyed;
    expect(failed).toBeInstanceOf(BackupJobError);
    expect(failed).toMatchObject({ phase: 'transfer', disk: 'vda', cleanupErrors: [] });
    expect(await checkpoints()).toEqual([point.checkpoint?.name]);
    expect(readdirSync(libvirtd.scratchDir)).toEqual([]);
    expect((await repository.points()).map(({ id }) => id)).toEqual([point.id]);
    await domain.handle.create({ flags: 1 });
    await domain.write(0, 'write -P 0x33 1M 1M');
    await expectExactIncremental(repository, point.id);
  });

  describe.skipIf(mounts.skip)(mounts.title('a disk that is full'), () => {
    it('of the repository: a clear error, no job, no checkpoint, and room for the next try', async () => {
      await using small = await mountTmpfs(32 * MIB);
      const to = join(small.path, 'repository');
      const { code, stdout, stderr } = await example('backup-domain', commandArgs(to));
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^[^\n]*cannot write a pack: [^\n]*ENOSPC[^\n]*\n$/);
      expect(await checkpoints()).toEqual([]);
      await expectNoJob();
      expect(bytesIn(to)).toBeLessThan(MIB);
      await small.resize(128 * MIB);
      await using repository = await BackupRepository.open(to);
      const { point } = await backup(repository, 'full');
      await domain.write(0, 'write -P 0x22 0 48M');
      const failed = await backup(repository, 'incremental').catch((error: unknown) => error);
      expect(failed).toMatchObject({ code: 'ERR_BACKUP_REPOSITORY', reason: 'full' });
      expect(await checkpoints()).toEqual([point.checkpoint?.name]);
      await expectNoJob();
      await small.resize(256 * MIB);
      await expectExactIncremental(repository, point.id);
    });

    it('of the output of a restore and of a copy: a clear error and no file', async () => {
      await using repository = await BackupRepository.open(folder);
      await backup(repository, 'full');
      await using small = await mountTmpfs(16 * MIB);
      const output = join(small.path, 'vda.raw');
      const args = ['--from', folder, '--domain', domain.name, '--disk', 'vda', '--output', output];
      await using server = await startNbdkit({ plugin: 'pattern', parameters: ['64M'] });
      for (const { code, stdout, stderr } of [
        await example('restore-disk', args),
        await example('copy-disk', [server.uri, output]),
      ]) {
        expect([code, stdout]).toEqual([1, '']);
        expect(stderr).toMatch(/^[^\n]*cannot write [^\n]*vda\.raw: ENOSPC[^\n]*\n$/);
        expect(readdirSync(small.path)).toEqual([]);
      }
      expect(existsSync(output)).toBe(false);
    });
  });
});
