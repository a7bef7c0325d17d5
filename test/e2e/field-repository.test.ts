import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BackupRepository, openNbdExport, type OpenRepositoryOptions, type Point } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  commandPath,
  defineDomain,
  findCommand,
  type PrivateLibvirtd,
  requireServers,
  run,
  runAny,
  type RunResult,
  startLibvirtd,
  type TestDomain,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img');
const MIB = 1024 * 1024;
const VIR_DOMAIN_START_PAUSED = 1;
const LAUNCHER = fileURLToPath(new URL('../../scripts/example.mjs', import.meta.url));

describe.skipIf(servers.skip)(servers.title('a repository that somebody has been at'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let other: TestDomain<Domain>;
  let folder: string;
  let count = 0;
  const repositories: BackupRepository[] = [];

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
  });

  beforeEach(async () => {
    count += 1;
    domain = await defineDomain(libvirt, libvirtd, { name: `r${count}`, disks: [{ size: 8 * MIB }] });
    other = await defineDomain(libvirt, libvirtd, { name: `o${count}`, disks: [{ size: 8 * MIB }] });
    await domain.write(0, 'write -P 0x11 0 4M');
    await other.write(0, 'write -P 0x22 0 4M');
    folder = join(libvirtd.workDir, `repository-${count}`);
  });

  afterEach(async () => {
    for (const repository of repositories.splice(0)) await repository.close();
    await domain.remove();
    await other.remove();
  });

  async function opened(options: OpenRepositoryOptions, path = folder): Promise<BackupRepository> {
    const repository = await BackupRepository.open(path, options);
    repositories.push(repository);
    return repository;
  }

  const open = (path = folder): Promise<BackupRepository> => opened({}, path);

  async function take(
    repository: BackupRepository,
    of = domain,
  ): Promise<{ readonly point: Point; readonly truth: string }> {
    const truth = await of.truth(0);
    const { point } = await repository.backup(of.handle, { scratchDir: libvirtd.scratchDir });
    return { point, truth };
  }

  async function expectRestored(
    repository: BackupRepository,
    { point, truth }: { readonly point: Point; readonly truth: string },
  ): Promise<void> {
    const output = join(libvirtd.workDir, `${point.id}-${Math.random()}.raw`);
    await repository.restore(point, 'vda', output);
    await assertSameContent(output, truth);
    rmSync(output);
  }

  /** Where the points of a domain are, oldest first. */
  function manifests(of = domain): string[] {
    const points = join(folder, 'points', of.handle.uuid);
    return readdirSync(points)
      .sort()
      .map((name) => join(points, name));
  }

  const idsOf = async (repository: BackupRepository, of = domain): Promise<string[]> =>
    (await repository.points(of.handle)).map(({ id }) => id);

  async function threePoints(repository: BackupRepository): Promise<Awaited<ReturnType<typeof take>>[]> {
    const taken = [await take(repository)];
    for (const pattern of ['0x33', '0x44']) {
      await domain.write(0, `write -P ${pattern} 1M 64k`);
      taken.push(await take(repository));
    }
    return taken;
  }

  it('the newest point removed: the next backup is exact and nothing else is removed', async () => {
    const repository = await open();
    const [first, second] = await threePoints(repository);
    rmSync(manifests().at(-1) ?? '');
    mkdirSync(join(folder, 'points', domain.handle.uuid, 'mine'));
    writeFileSync(join(folder, 'points', domain.handle.uuid, 'mine', 'notes'), 'keep');
    writeFileSync(join(folder, 'packs', 'notes'), 'keep');
    await domain.write(0, 'write -P 0x55 5M 64k');
    const next = await take(repository);
    expect(await idsOf(repository)).toEqual([first?.point.id, second?.point.id, next.point.id]);
    for (const each of [first, second, next]) if (each) await expectRestored(repository, each);
    expect(readFileSync(join(folder, 'points', domain.handle.uuid, 'mine', 'notes'), 'utf8')).toBe('keep');
    expect(readFileSync(join(folder, 'packs', 'notes'), 'utf8')).toBe('keep');
  });

  it('an older copy of the points put back: the next backup is exact', async () => {
    const repository = await open();
    const first = await take(repository);
    const points = join(folder, 'points');
    cpSync(points, `${folder}.points`, { recursive: true });
    await domain.write(0, 'write -P 0x33 1M 1M');
    await take(repository);
    rmSync(points, { recursive: true });
    cpSync(`${folder}.points`, points, { recursive: true });
    await domain.write(0, 'write -P 0x44 2M 64k');
    const next = await take(repository);
    await expectRestored(repository, first);
    await expectRestored(repository, next);
  });

  it('one byte of the oldest manifest changed: the others are listed, restored and backed up', async () => {
    const repository = await open();
    const [, second, third] = await threePoints(repository);
    const elsewhere = await take(repository, other);
    const [oldest = ''] = manifests();
    const bytes = readFileSync(oldest);
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    writeFileSync(oldest, bytes);
    writeFileSync(join(folder, 'points', 'stray'), '');
    writeFileSync(join(folder, 'points', domain.handle.uuid, 'stray'), '');
    const again = await open();
    expect(await idsOf(again)).toEqual(expect.arrayContaining([second?.point.id, third?.point.id]));
    expect(await idsOf(again, other)).toEqual([elsewhere.point.id]);
    expect((await again.points()).map(({ id }) => id)).toContain(elsewhere.point.id);
    for (const each of [second, third, elsewhere]) if (each) await expectRestored(again, each);
    await expectRestored(again, await take(again));
  });

  it("a domain's points copied into another's folder are not the other's", async () => {
    const repository = await open();
    const mine = await take(repository);
    const theirs = await take(repository, other);
    for (const path of manifests())
      cpSync(path, join(folder, 'points', other.handle.uuid, path.split('/').at(-1) ?? ''));
    const again = await open();
    expect(await idsOf(again, other)).toEqual([theirs.point.id]);
    await expectRestored(again, mine);
    await expectRestored(again, theirs);
    await expectRestored(again, await take(again, other));
  });

  it('a bitmap cleared while the domain was off is found by the audit in the backups its share promises', async () => {
    const repository = await open();
    await take(repository);
    await domain.write(0, 'write -P 0x33 5M 256k');
    const [image] = await domain.activeImages();
    const { path = '', bitmaps = [] } = image ?? {};
    await domain.handle.destroy();
    for (const name of bitmaps) await run(commandPath('qemu-img'), ['bitmap', '--clear', path, name]);
    await domain.handle.create({ flags: VIR_DOMAIN_START_PAUSED });
    expect(bitmaps).toHaveLength(1);
    const share = 0.25;
    for (let backups = 1; ; backups++) {
      expect(backups, 'backups until it is found').toBeLessThanOrEqual(1 / share);
      const truth = await domain.truth(0);
      const { point, remarks } = await repository.backup(domain.handle, {
        scratchDir: libvirtd.scratchDir,
        mode: 'incremental',
        audit: share,
      });
      if (!remarks.some(({ reason }) => reason === 'bitmap-wrong')) continue;
      expect(point.disks[0]?.reading).toMatchObject({ mode: 'full', reason: 'bitmap-wrong' });
      // Healed by the job that found it, and not only where it looked.
      await expectRestored(repository, { point, truth });
      break;
    }
  });

  it("a backup into a copied repository leaves the original's running job alone", async () => {
    const repository = await open();
    await take(repository);
    cpSync(folder, `${folder}-copy`, { recursive: true });
    const copy = await open(`${folder}-copy`);
    await domain.write(0, 'write -P 0x33 0 4M');
    let meanwhile: Promise<unknown> | undefined;
    const original = await opened({
      openExport: async (address, options) => {
        await (meanwhile ??= take(copy).catch((error: unknown) => error));
        return openNbdExport(address, options);
      },
    });
    const taken = await take(original);
    expect(await meanwhile).toMatchObject({ code: 'ERR_BACKUP_PLAN', reason: 'domain-busy' });
    await expectRestored(original, taken);
    await expectRestored(copy, await take(copy));
    await expectRestored(repository, await take(repository));
  });

  it('folders are 0700 and files 0600 whatever the umask, restored files too', async () => {
    const before = process.umask(0);
    try {
      const repository = await open();
      const { point } = await take(repository);
      const output = join(libvirtd.workDir, `mode-${count}.raw`);
      await repository.restore(point, 'vda', output);
      expect(lstatSync(output).mode & 0o777).toBe(0o600);
    } finally {
      process.umask(before);
    }
    const modes = readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => {
      const mode = (lstatSync(join(entry.parentPath, entry.name)).mode & 0o777).toString(8);
      return `${entry.isDirectory() ? 'folder' : 'file'} ${mode}`;
    });
    expect((lstatSync(folder).mode & 0o777).toString(8)).toBe('700');
    expect(new Set(modes)).toEqual(new Set(['folder 700', 'file 600']));
  });

  it.each(['packs', 'points', 'leases', 'intents'])('a symlink %s inside is not followed', async (name) => {
    const repository = await open();
    await take(repository);
    const victim = join(libvirtd.workDir, `victim-${count}`);
    mkdirSync(victim);
    rmSync(join(folder, name), { recursive: true, force: true });
    symlinkSync(victim, join(folder, name));
    await expect(take(await open(), other)).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY' });
    expect(readdirSync(victim)).toEqual([]);
    expect(readdirSync(libvirtd.scratchDir)).toEqual([]);
  });

  it("a symlink in place of a domain's points is not followed", async () => {
    const repository = await open();
    await take(repository);
    const victim = join(libvirtd.workDir, `victim-${count}`);
    mkdirSync(victim);
    symlinkSync(victim, join(folder, 'points', other.handle.uuid));
    await expect(take(repository, other)).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY' });
    expect(readdirSync(victim)).toEqual([]);
    await expectRestored(repository, await take(repository));
  });

  it('a fresh file system with its lost+found becomes a repository; a folder with anything else does not', async () => {
    mkdirSync(join(folder, 'lost+found'), { recursive: true });
    const repository = await open();
    await expectRestored(repository, await take(repository));
    const foreign = `${folder}-foreign`;
    mkdirSync(foreign);
    writeFileSync(join(foreign, 'notes'), 'keep');
    await expect(open(foreign)).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY', reason: 'foreign' });
    expect(readdirSync(foreign)).toEqual(['notes']);
  });

  describe.skipIf(findCommand('strace') === undefined)('seen from below, by strace', () => {
    function traced(options: readonly string[]): Promise<RunResult> {
      const args = ['backup-domain', '--connect', libvirtd.uri, '--domain', domain.name, '--to', folder];
      args.push('--scratch', libvirtd.scratchDir);
      return runAny(commandPath('strace'), ['-f', '-y', ...options, process.execPath, LAUNCHER, ...args]);
    }

    it('every folder is made durable in the one that holds it', async () => {
      const { code, stderr } = await traced(['-e', 'trace=fsync,fdatasync']);
      expect(code, stderr.slice(-2000)).toBe(0);
      const synced = new Set([...stderr.matchAll(/f(?:data)?sync\(\d+<([^>]+)>/g)].map((match) => match[1]));
      const folders = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name));
      expect(folders.length).toBeGreaterThan(1);
      for (const path of [folder, ...folders])
        expect(synced, `the folder that holds ${path}`).toContain(dirname(path));
    });

    it('killed while it makes the repository: the next one makes it', async () => {
      const names = 'rename,renameat,renameat2,link,linkat';
      await traced(['-e', `trace=${names}`, '-e', `inject=${names}:error=EIO:signal=SIGKILL:when=1`]);
      expect(existsSync(join(folder, 'repository.json'))).toBe(false);
      const repository = await open();
      await expectRestored(repository, await take(repository));
    });
  });
});
