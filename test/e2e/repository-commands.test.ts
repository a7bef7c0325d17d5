import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  defineDomain,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  type TestDomain,
} from '../harness/index.ts';
import { example, exampleJson } from './commands.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img');
const MIB = 1024 * 1024;

describe.skipIf(servers.skip)(servers.title('commands that keep points'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let folder: string;
  let keyFile: string;
  const truths: string[] = [];
  const ids: string[] = [];

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
    domain = await defineDomain(libvirt, libvirtd, { name: 'keep', disks: [{ size: 16 * MIB }] });
    folder = join(libvirtd.workDir, 'repository');
    keyFile = join(libvirtd.workDir, 'key');
    writeFileSync(keyFile, 'correct horse\n', { mode: 0o600 });
    for (const command of ['write -P 0x11 0 8M', 'write -P 0x22 1M 1M', 'write -z 2M 2M']) {
      await domain.write(0, command);
      truths.push(await domain.truth(0));
      const { id } = (await exampleJson('backup-domain', [
        ...['--connect', libvirtd.uri, '--domain', 'keep', '--to', folder, '--scratch', libvirtd.scratchDir],
        '--json',
      ])) as { id: string };
      ids.push(id);
    }
  });

  afterAll(async () => {
    await domain.remove();
    await libvirt.close();
    await libvirtd.stop();
  });

  async function expectRestored(from: string, index: number, ...more: readonly string[]): Promise<void> {
    const output = join(libvirtd.workDir, `restored-${Math.random()}`);
    await exampleJson('restore-disk', [
      ...[
        '--from',
        from,
        '--domain',
        'keep',
        '--disk',
        'vda',
        '--point',
        ids[index] ?? '',
        '--output',
        output,
      ],
      ...more,
    ]);
    await assertSameContent(output, truths[index] ?? '');
  }

  it('verify-points says that all is whole', async () => {
    const report = await exampleJson('verify-points', ['--from', folder, '--deep', '--json']);
    expect(report).toMatchObject({ isWhole: true, damagedManifests: [], missingPrevious: [] });
  });

  it('copy-points copies into an encrypted repository, once, and its points restore', async () => {
    const to = join(libvirtd.workDir, 'copy');
    const args = ['--from', folder, '--to', to, '--to-key-file', keyFile, '--json'];
    const copied = (await exampleJson('copy-points', args)) as { copied: { id: string }[] };
    expect(copied.copied.map(({ id }) => id)).toEqual(ids);
    expect(await exampleJson('copy-points', args)).toMatchObject({ copied: [], present: ids });
    for (const index of ids.keys()) await expectRestored(to, index, '--key-file', keyFile);
    const refused = await example('list-points', ['--from', to]);
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toMatch(/key/);
  });

  it('restore-disk writes over a file that is there only what differs', async () => {
    const output = join(libvirtd.workDir, 'existing.raw');
    writeFileSync(output, readFileSync(truths[0] ?? ''));
    const result = await exampleJson('restore-disk', [
      ...['--from', folder, '--domain', 'keep', '--disk', 'vda', '--to-device', output],
    ]);
    await assertSameContent(output, truths[2] ?? '');
    expect(result).toMatchObject({ writtenBytes: MIB });
  });

  it('prune-points shows what it would do, and does it when told so', async () => {
    const args = ['--from', folder, '--keep-last', '2', '--json'];
    const plan = await exampleJson('prune-points', args);
    expect(plan).toMatchObject({ dryRun: true, remove: [ids[0]] });
    expect((await exampleJson('list-points', ['--from', folder, '--json'])) as object[]).toHaveLength(3);
    expect(await exampleJson('prune-points', [...args, '--yes'])).toMatchObject({
      dryRun: false,
      remove: [ids[0]],
    });
    for (const index of [1, 2]) await expectRestored(folder, index);
    expect(await exampleJson('verify-points', ['--from', folder, '--deep', '--json'])).toMatchObject({
      isWhole: true,
      missingPrevious: [{ id: ids[1] }],
    });
  });

  it('damage is named, exit status 1, and salvage says what is lost', async () => {
    const packs = readdirSync(join(folder, 'packs')).filter((name) => /^[0-9A-Z]{26}\.\d+$/.test(name));
    const pack = join(folder, 'packs', packs[0] ?? '');
    const bytes = readFileSync(pack);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(pack, bytes);
    const { code, stdout } = await example('verify-points', ['--from', folder, '--deep']);
    expect(code).toBe(1);
    const [, harmed = ''] =
      /damaged: point ([0-9A-Z]{26}) of keep, vda: 65536 bytes at \d+/.exec(stdout) ?? [];
    expect(ids).toContain(harmed);
    const output = join(libvirtd.workDir, 'left.raw');
    const salvage = await example('restore-disk', [
      ...['--from', folder, '--domain', 'keep', '--disk', 'vda', '--output', output, '--salvage'],
      ...['--point', harmed],
    ]);
    expect(salvage.code).toBe(1);
    expect(JSON.parse(salvage.stdout)).toMatchObject({ badBytes: 65536, file: `${output}.salvaged` });
  });
});
