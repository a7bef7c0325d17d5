import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackupRepository, type BackupResult, type Point, startPullBackup } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  defineDomain,
  type DomainSpec,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TestDomain,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img');
const KIB = 1024;
const MIB = 1024 * KIB;

describe.skipIf(servers.skip)(servers.title('backups of a running domain'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let repositories: BackupRepository[] = [];
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
    await Promise.all(repositories.map((repository) => repository.close()));
    repositories = [];
    expect(readdirSync(libvirtd.scratchDir), 'scratch files and sockets').toEqual([]);
    expect(readdirSync(libvirtd.imagesDir).filter((name) => name.includes('tsbackup'))).toEqual([]);
    await domain.remove();
  });

  async function start(disks: DomainSpec['disks'], devicesXml = ''): Promise<BackupRepository> {
    domain = await defineDomain(libvirt, libvirtd, { name: `b${++count}`, disks, devicesXml });
    const repository = await BackupRepository.open(join(libvirtd.workDir, `repository-${count}`));
    repositories.push(repository);
    return repository;
  }

  /** Without an audit, so that what is read can be counted. */
  function backup(
    repository: BackupRepository,
    mode: 'auto' | 'full' | 'incremental' = 'auto',
  ): Promise<BackupResult> {
    return repository.backup(domain.handle, { mode, audit: 0, scratchDir: libvirtd.scratchDir });
  }

  const readings = ({ disks }: Point): readonly (readonly [string, string])[] =>
    disks.map(({ name, reading }) => [name, reading.mode === 'full' ? reading.reason : 'incremental']);

  async function expectRestored(
    repository: BackupRepository,
    point: Point,
    truth: string,
    disk = 'vda',
  ): Promise<void> {
    const output = join(libvirtd.workDir, `${point.id}-${disk}.raw`);
    await repository.restore(point, disk, output);
    await assertSameContent(output, truth);
  }

  it('restores a full and two incrementals byte for byte', async () => {
    const repository = await start([{ size: 64 * MIB }]);
    await domain.write(0, 'write -P 0x11 0 40M');
    const taken: { point: Point; truth: string }[] = [];
    const take = async (): Promise<Point> => {
      const truth = await domain.truth(0);
      const { point } = await backup(repository);
      taken.push({ point, truth });
      return point;
    };
    expect(readings(await take())).toEqual([['vda', 'first']]);
    await domain.write(
      0,
      'write -P 0xcc 10M 5M',
      'write -z 20M 2M',
      'write -z -u 24M 2M',
      'discard 28M 2M',
      `write -P 0x44 ${1 * MIB + 63 * KIB} 2k`,
    );
    expect(readings(await take())).toEqual([['vda', 'incremental']]);
    await domain.write(0, 'write -P 0x77 21M 64k', 'discard 0 1M', 'write -z 10M 1M', 'write -P 0x12 50M 3M');
    expect(readings(await take())).toEqual([['vda', 'incremental']]);
    for (const { point, truth } of taken) await expectRestored(repository, point, truth);
    expect((await repository.points(domain.handle)).map(({ id }) => id)).toEqual(
      taken.map(({ point }) => point.id),
    );
  });

  it('reads only what is dirty, and nothing when nothing was written', async () => {
    const repository = await start([{ size: 64 * MIB }]);
    await domain.write(0, 'write -P 0x11 0 40M');
    expect((await backup(repository)).readBytes).toBe(40 * MIB);
    await domain.write(0, 'write -P 0x22 8M 128k', 'write -P 0x22 30M 64k', 'write -z 12M 1M');
    const second = await backup(repository, 'incremental');
    expect(second.readBytes).toBe(192 * KIB);
    expect(second.dirtyBytes).toBe(192 * KIB + MIB);
    const third = await backup(repository, 'incremental');
    expect(third.readBytes).toBe(0);
    await expectRestored(repository, third.point, await domain.truth(0));
    const audited = await repository.backup(domain.handle, {
      mode: 'incremental',
      audit: 0.25,
      scratchDir: libvirtd.scratchDir,
    });
    expect(audited).toMatchObject({ readBytes: 16 * MIB - MIB, reusedBytes: 15 * MIB, storedBytes: 0 });
  });

  it('shows two disks at one moment, and nothing that is written while it runs', async () => {
    const repository = await start([{ size: 16 * MIB }, { size: 24 * MIB }]);
    await domain.write(0, 'write -P 0x11 0 8M');
    await domain.write(1, 'write -P 0x21 0 8M');
    await backup(repository);
    await domain.write(0, 'write -P 0x12 1M 1M');
    await domain.write(1, 'write -P 0x22 1M 1M');
    const truths = [await domain.truth(0), await domain.truth(1)];
    const writes = ['write -P 0xee 1M 64k', 'write -P 0xee 4M 64k', 'discard 6M 1M', 'write -z 0 1M'];
    const { point } = await backup(repository, 'incremental');
    await expectRestored(repository, point, truths[0] ?? '', 'vda');
    await expectRestored(repository, point, truths[1] ?? '', 'vdb');
    await using running = await startPullBackup(domain.handle, {
      incremental: point.checkpoint?.name,
      scratchDir: libvirtd.scratchDir,
    });
    await domain.write(0, ...writes);
    await domain.write(1, ...writes);
    for (const disk of running.disks)
      for await (const chunk of disk.chunks()) expect(chunk.type, 'nothing was dirty').toBe('zero');
  });

  it('reads the old content of what is overwritten while the job runs', async () => {
    await start([{ size: 16 * MIB }]);
    await domain.write(0, 'write -P 0x11 0 4M');
    const truth = await readFile(await domain.truth(0));
    await using running = await startPullBackup(domain.handle, { scratchDir: libvirtd.scratchDir });
    await domain.write(0, 'write -P 0xee 0 2M', 'discard 2M 1M', 'write -P 0xdd 8M 1M');
    const seen = Buffer.alloc(16 * MIB);
    for (const disk of running.disks)
      for await (const chunk of disk.chunks()) if (chunk.type === 'data') seen.set(chunk.bytes, chunk.offset);
    expect(seen.equals(truth)).toBe(true);
  });

  it('leaves the domain untouched when a job is given up, and the same parent serves again', async () => {
    await start([{ size: 16 * MIB }]);
    await domain.write(0, 'write -P 0x11 0 4M');
    {
      await using first = await startPullBackup(domain.handle, {
        checkpoint: 'c1',
        scratchDir: libvirtd.scratchDir,
      });
      await first.complete({ unread: 'accept' });
    }
    await domain.write(0, 'write -P 0x22 1M 64k');
    {
      await using given = await startPullBackup(domain.handle, {
        incremental: 'c1',
        checkpoint: 'c2',
        scratchDir: libvirtd.scratchDir,
      });
      expect(given.disks[0]?.mode).toBe('incremental');
    }
    const names = async (): Promise<string[]> =>
      (await domain.handle.listAllCheckpoints()).map(({ name }) => name).sort();
    expect(await names()).toEqual(['c1']);
    await domain.write(0, 'write -P 0x33 2M 64k');
    await using again = await startPullBackup(domain.handle, {
      incremental: 'c1',
      checkpoint: 'c2',
      scratchDir: libvirtd.scratchDir,
    });
    const dirty: [number, number][] = [];
    for (const disk of again.disks)
      for await (const { type, offset, length } of disk.ranges())
        if (type === 'data') dirty.push([offset, length]);
    expect(dirty).toEqual([
      [1 * MIB, 64 * KIB],
      [2 * MIB, 64 * KIB],
    ]);
    await again.complete();
    expect(await names()).toEqual(['c1', 'c2']);
  });

  it('puts scratch files beside the images by default, and the socket into /var/tmp', async () => {
    const repository = await start([{ size: 16 * MIB }]);
    await domain.write(0, 'write -P 0x11 0 4M');
    const { point } = await repository.backup(domain.handle, {
      onProgress: () => {
        expect(readdirSync(libvirtd.imagesDir).some((name) => /^tsbackup-.*\.vda\.scratch$/.test(name))).toBe(
          true,
        );
        expect(readdirSync('/var/tmp').some((name) => name.startsWith(`tsbackup-${repository.id}`))).toBe(
          true,
        );
      },
    });
    expect(readdirSync('/var/tmp').some((name) => name.includes(repository.id))).toBe(false);
    await expectRestored(repository, point, await domain.truth(0));
  });

  it('gives every disk a place in the result: a cdrom is excluded with a reason', async () => {
    const cdrom = `<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>`;
    const repository = await start([{ size: 16 * MIB }], cdrom);
    const { point } = await backup(repository);
    expect(point.disks.map(({ name }) => name)).toEqual(['vda']);
    expect(point.excluded).toMatchObject([{ name: 'sda', reason: 'cdrom' }]);
  });

  it('demotes a disk without usable bitmap and says why', async () => {
    const repository = await start([{ size: 16 * MIB }, { size: 16 * MIB }]);
    await repository.backup(domain.handle, { scratchDir: libvirtd.scratchDir, disks: ['vda'] });
    await domain.write(1, 'write -P 0x55 0 1M');
    await expect(backup(repository, 'incremental')).rejects.toThrow(/no earlier point of disk vdb/);
    const { point } = await backup(repository);
    expect(readings(point)).toEqual([
      ['vda', 'incremental'],
      ['vdb', 'first'],
    ]);
    await expectRestored(repository, point, await domain.truth(1), 'vdb');
  });

  it('backs a raw disk up in full each time, with the reason, beside one that is tracked', async () => {
    const repository = await start([{ size: 16 * MIB }, { size: 16 * MIB, format: 'raw' }]);
    await domain.write(1, 'write -P 0x55 0 1M');
    await backup(repository);
    await domain.write(1, 'write -P 0x66 0 1M');
    const { point } = await backup(repository, 'incremental');
    expect(readings(point)).toEqual([
      ['vda', 'incremental'],
      ['vdb', 'no-bitmap'],
    ]);
    expect(point.disks[1]?.reading).toMatchObject({ message: expect.stringMatching(/raw/) as string });
    await expectRestored(repository, point, await domain.truth(1), 'vdb');
  });

  it('names owner and mode of a scratch folder that QEMU cannot write to', async () => {
    await start([{ size: 16 * MIB }]);
    const scratchDir = join(libvirtd.workDir, `denied-${count}`);
    await mkdir(scratchDir, { mode: 0o700 });
    const owner = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
    // Only root's folders are closed to the daemon: otherwise it runs as ourselves.
    if (process.getuid?.() === 0)
      await expect(startPullBackup(domain.handle, { scratchDir })).rejects.toThrow(
        new RegExp(`denied-${count} \\(owner ${owner}, mode 0700\\)`),
      );
    expect(await domain.handle.listAllCheckpoints()).toEqual([]);
    expect(existsSync(join(scratchDir, 'x'))).toBe(false);
  });
});
