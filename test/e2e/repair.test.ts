import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BackupRepository, type BackupResult, type TakeBackupOptions } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  defineDomain,
  type PrivateLibvirtd,
  requireServers,
  run,
  startLibvirtd,
  type TestDomain,
} from '../harness/index.ts';
import { example } from './commands.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img');
const MIB = 1024 * 1024;
const BLOCK = 65_536;
const VIR_DOMAIN_START_PAUSED = 1;

describe.skipIf(servers.skip)(servers.title('what is stored of a running domain, and the domain'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let folder: string;
  let repository: BackupRepository;
  const ids: string[] = [];
  const truths: string[] = [];

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
    domain = await defineDomain(libvirt, libvirtd, { name: 'heal', disks: [{ size: 16 * MIB }] });
    folder = join(libvirtd.workDir, 'repository');
    repository = await BackupRepository.open(folder);
    for (const command of ['write -P 0x11 0 8M', 'write -P 0x22 1M 1M']) {
      await domain.write(0, command);
      await backUp();
    }
  });

  afterAll(async () => {
    await repository.close();
    await domain.remove();
    await libvirt.close();
    await libvirtd.stop();
  });

  async function backUp(options: TakeBackupOptions = {}): Promise<BackupResult> {
    truths.push(await domain.truth(0));
    const { scratchDir } = libvirtd;
    const result = await repository.backup(domain.handle, { audit: 0, scratchDir, ...options });
    ids.push(result.point.id);
    return result;
  }

  /** What verify-points prints as JSON, and how it ends. */
  async function verified(...more: readonly string[]): Promise<object> {
    const { code, stdout } = await example('verify-points', ['--from', folder, '--json', ...more]);
    return { ...(JSON.parse(stdout) as object), code };
  }

  const at = (): readonly string[] => [
    ...['--live', '--connect', libvirtd.uri, '--domain', 'heal', '--scratch', libvirtd.scratchDir],
  ];

  async function expectRestored(index: number): Promise<void> {
    const point = (await repository.points()).find(({ id }) => id === ids[index]) ?? expect.fail();
    const output = join(libvirtd.workDir, `restored-${Math.random()}`);
    await repository.restore(point, 'vda', output);
    await assertSameContent(output, truths[index] ?? '');
  }

  it('what is damaged is quarantined, and the next backup stores it anew, though nothing is dirty', async () => {
    const packs = readdirSync(join(folder, 'packs')).filter((name) => /^[0-9A-Z]{26}\.\d+$/.test(name));
    const pack = join(folder, 'packs', packs.sort()[1] ?? '');
    const bytes = readFileSync(pack);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(pack, bytes);
    expect(await verified('--deep', '--repair')).toMatchObject({
      ...{ code: 1, isWhole: false, dryRun: true },
      quarantined: { packs: 0, pieces: 1 },
    });
    expect((await repository.verify()).isWhole, 'that was the plan').toBe(true);
    expect(await verified('--deep', '--repair', '--yes')).toMatchObject({ code: 1, dryRun: false });

    const { point, ...healed } = await backUp({ mode: 'incremental' });
    expect(healed).toMatchObject({
      ...{ readBytes: BLOCK, storedBytes: BLOCK },
      remarks: [{ reason: 'healed', disk: 'vda' }],
    });
    expect(point.disks).toMatchObject([{ reading: { mode: 'incremental' }, healedBytes: BLOCK }]);
    const { points } = await repository.verify({ mode: 'deep' });
    expect(points.map(({ id, disks }) => [id, disks[0]?.state])).toEqual([
      [ids[0], 'whole'],
      [ids[1], 'damaged'],
      [ids[2], 'whole'],
    ]);
    await expectRestored(2);
    await repository.prune({ keepLast: 1 });
    expect(await verified('--deep')).toMatchObject({ code: 0, isWhole: true });
    expect(readdirSync(join(folder, 'damaged')), 'the record went with what it is about').toEqual([]);
    await expectRestored(2);
  });

  it('verify-points --live: the same, unless the bitmap was cleared behind our back', async () => {
    await domain.write(0, 'write -P 0x33 3M 1M');
    expect(await verified(...at())).toMatchObject({
      ...{ code: 0, isWhole: true },
      disks: [{ name: 'vda', state: 'whole', comparedBytes: 15 * MIB, ranges: [] }],
    });
    const [image = expect.fail()] = await domain.activeImages();
    await domain.handle.destroy();
    for (const bitmap of image.bitmaps) await run('qemu-img', ['bitmap', '--clear', image.path, bitmap]);
    await domain.handle.create({ flags: VIR_DOMAIN_START_PAUSED });
    await domain.write(0, 'write -P 0x44 5M 64k');
    expect(await verified(...at())).toMatchObject({
      ...{ code: 1, isWhole: false },
      disks: [{ state: 'different', ranges: [{ offset: 3 * MIB, length: MIB }] }],
    });
    await backUp({ mode: 'full' });
    const { scratchDir } = libvirtd;
    expect((await repository.verifyLive(domain.handle, { scratchDir })).isWhole).toBe(true);
    await expectRestored(3);
    const refused = await example('verify-points', ['--from', folder, '--deep', ...at()]);
    expect(refused.code).toBe(2);
  });
});
