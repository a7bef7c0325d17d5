import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
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
  virsh,
} from '../harness/index.ts';
import { bytesIn, example, exampleJson, interruptedExample } from './commands.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'qemu-nbd', 'virsh');
const MIB = 1024 * 1024;

interface PointJson {
  readonly id: string;
  readonly mode: string;
  readonly readBytes: number;
  readonly disks: readonly { readonly auditedBytes: number }[];
}

/** What every failing command has to be: not 0, one sentence on stderr that says what and where, no more. */
function expectClearError(
  result: { code: number | null; stdout: string; stderr: string },
  says: RegExp,
): void {
  expect(result.stderr).toMatch(says);
  expect(result.stderr.trim().split('\n').length, result.stderr).toBe(1);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expect(result.stdout).toBe('');
  expect(result.code).not.toBe(0);
}

describe.skipIf(servers.skip)(servers.title('the example commands'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let repository: string;
  let base: string[];

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
    domain = await defineDomain(libvirt, libvirtd, { name: 'web1', disks: [{ size: 320 * MIB }] });
    await domain.write(0, 'write -P 0x11 0 256M');
    repository = join(libvirtd.workDir, 'repository');
    base = [
      '--connect',
      libvirtd.uri,
      '--domain',
      'web1',
      '--to',
      repository,
      '--scratch',
      libvirtd.scratchDir,
    ];
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
  });

  const checkpoints = async (): Promise<string[]> =>
    (await virsh(libvirtd.uri, 'checkpoint-list', 'web1', '--name'))
      .split('\n')
      .filter((line) => line !== '');

  async function expectNothingLeft(): Promise<void> {
    expect(readdirSync(libvirtd.scratchDir)).toEqual([]);
    expect(await virsh(libvirtd.uri, 'domjobinfo', 'web1')).toMatch(/None/);
    await expect(virsh(libvirtd.uri, 'backup-dumpxml', 'web1')).rejects.toThrow(/no domain backup job/i);
  }

  it('list-domains shows what virsh shows', async () => {
    const [listed] = (await exampleJson('list-domains', ['--connect', libvirtd.uri, '--json'])) as object[];
    const uuid = (await virsh(libvirtd.uri, 'domuuid', 'web1')).trim();
    expect(listed).toMatchObject({ name: 'web1', uuid, state: 'paused', checkpoints: 0 });
    const { stdout } = await example('list-domains', ['--connect', libvirtd.uri]);
    expect(stdout).toContain('web1');
  });

  it('backup-domain, list-points and restore-disk carry a domain through two points', async () => {
    const truths = [await domain.truth(0)];
    const full = (await exampleJson('backup-domain', [...base, '--json'])) as PointJson;
    expect(full).toMatchObject({ mode: 'full', readBytes: 256 * MIB, previous: null });
    await domain.write(0, 'write -P 0x22 100M 1M', 'discard 200M 1M');
    truths.push(await domain.truth(0));
    const { code, stdout } = await example('backup-domain', [...base, '--mode', 'incremental']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^incremental backup of web1: point /);
    const points = (await exampleJson('list-points', ['--from', repository, '--json'])) as PointJson[];
    expect(points.map(({ mode }) => mode)).toEqual(['full', 'incremental']);
    expect(points[0]?.id).toBe(full.id);
    for (const [index, point] of ['--point', 'latest'].entries()) {
      const id = index === 0 ? full.id : point;
      const output = `restored-${index}.raw`;
      const args = [
        '--from',
        'repository',
        '--domain',
        'web1',
        '--disk',
        'vda',
        '--point',
        id,
        '--output',
        output,
      ];
      // Relative paths count from where the user stands.
      await exampleJson('restore-disk', args, libvirtd.workDir);
      await assertSameContent(join(libvirtd.workDir, output), truths[index] ?? '');
    }
    await expectNothingLeft();
  });

  it.each([
    ['SIGINT', '0x33'],
    ['SIGTERM', '0x34'],
    ['SIGHUP', '0x35'],
  ] as const)('%s in the middle of a backup costs nothing', async (signal, pattern) => {
    await domain.write(0, `write -P ${pattern} 0 200M`);
    const truth = await domain.truth(0);
    const before = await checkpoints();
    const points = await exampleJson('list-points', ['--from', repository, '--json']);
    const stored = bytesIn(repository);
    const transferring = (): boolean => bytesIn(repository) > stored + MIB;
    const result = await interruptedExample('backup-domain', base, signal, transferring);
    expect(result.code).toBe(128 + constants.signals[signal]);
    expectClearError(result, new RegExp(`interrupted by ${signal}`));
    await expectNothingLeft();
    expect(await checkpoints()).toEqual(before);
    expect(await exampleJson('list-points', ['--from', repository, '--json'])).toEqual(points);
    expect(bytesIn(repository)).toBe(stored);
    const next = (await exampleJson('backup-domain', [
      ...base,
      '--mode',
      'incremental',
      '--json',
    ])) as PointJson;
    const audited = next.disks.reduce((sum, { auditedBytes }) => sum + auditedBytes, 0);
    expect(next.readBytes - audited).toBe(200 * MIB);
    const output = join(libvirtd.workDir, `${signal}.raw`);
    await exampleJson('restore-disk', [
      '--from',
      repository,
      '--domain',
      'web1',
      '--disk',
      'vda',
      '--output',
      output,
    ]);
    await assertSameContent(output, truth);
  });

  it('npm gives back output and exit status', async () => {
    const stdout = await run('npm', [
      'run',
      '--silent',
      'example',
      '--',
      'list-points',
      '--from',
      repository,
      '--json',
    ]);
    expect((JSON.parse(stdout) as object[]).length).toBeGreaterThan(1);
    await expect(run('npm', ['run', '--silent', 'example', '--', 'list-points'])).rejects.toThrow(
      /exit status 2.*--from is missing/s,
    );
  });

  describe('bad input gets a clear error and changes nothing', () => {
    const withOption = (name: string, value: string): string[] =>
      base.map((arg, at) => (base[at - 1] === name ? value : arg));

    it.each([
      [
        'no libvirtd at the URI',
        () => withOption('--connect', 'qemu+unix:///session?socket=/nowhere/sock'),
        /\/nowhere\/sock/,
      ],
      ['a URI that does not parse', () => withOption('--connect', 'qemu'), /qemu/],
      ['an unknown domain', () => withOption('--domain', 'web9'), /web9/],
      ['a target folder that is a file', () => withOption('--to', '/proc/version'), /\/proc\/version/],
      [
        'a target folder that cannot be created',
        () => withOption('--to', '/nowhere/repository'),
        /\/nowhere/,
      ],
      [
        'a target folder that holds something else',
        () => withOption('--to', libvirtd.imagesDir),
        /neither empty nor a repository/,
      ],
      [
        'a scratch folder that is not there',
        () => withOption('--scratch', '/nowhere/scratch'),
        /\/nowhere\/scratch/,
      ],
      [
        'a socket path that is too long',
        () => withOption('--scratch', `/tmp/${'x'.repeat(90)}`),
        /at most 107/,
      ],
      ['an unknown mode', () => [...base, '--mode', 'differential'], /--mode is one of/],
      ['an unknown disk', () => [...base, '--disk', 'vdz'], /no disk vdz/],
      ['an unknown option', () => [...base, '--frobnicate'], /frobnicate/],
    ])('backup-domain: %s', async (_title, args, says) => {
      const before = await checkpoints();
      expectClearError(await example('backup-domain', args()), says);
      expect(await checkpoints()).toEqual(before);
      await expectNothingLeft();
    });

    it('backup-domain: an unknown checkpoint', async () => {
      const other = join(libvirtd.workDir, 'other');
      const args = withOption('--to', other);
      await exampleJson('backup-domain', [...args, '--json']);
      const [newest] = (await checkpoints()).filter((name) => name.includes(repositoryId(other)));
      await virsh(libvirtd.uri, 'checkpoint-delete', 'web1', newest ?? '');
      const before = await checkpoints();
      expectClearError(
        await example('backup-domain', [...args, '--mode', 'incremental']),
        /does not know checkpoint/,
      );
      expect(await checkpoints()).toEqual(before);
      await expectNothingLeft();
    });

    it('backup-domain: a domain that is shut off', async () => {
      const off = await defineDomain(libvirt, libvirtd, { name: 'off', disks: [{ size: 8 * MIB }] });
      await off.handle.destroy();
      expectClearError(
        await example('backup-domain', withOption('--domain', 'off')),
        /domain off is shut off/,
      );
      await off.remove();
    });

    it('backup-domain: a disk without bitmap support is read in full, and that is said', async () => {
      await using raw = await defineDomain(libvirt, libvirtd, {
        name: 'raw',
        disks: [{ size: 8 * MIB, format: 'raw' }],
      });
      const point = await exampleJson('backup-domain', [...withOption('--domain', raw.name), '--json']);
      expect(point).toMatchObject({ disks: [{ name: 'vda', mode: 'full', reason: 'no-bitmap' }] });
    });

    it('restore-disk: an existing output file stays as it is', async () => {
      const output = join(libvirtd.workDir, 'precious');
      writeFileSync(output, 'precious');
      const args = ['--from', repository, '--domain', 'web1', '--disk', 'vda', '--output', output];
      expectClearError(await example('restore-disk', args), /precious exists already/);
      expect(readFileSync(output, 'utf8')).toBe('precious');
    });

    it.each([
      ['restore-disk', ['--domain', 'web1', '--disk', 'vdz', '--output', 'x'], /no disk vdz, only vda/],
      ['restore-disk', ['--domain', 'web1', '--disk', 'vda', '--output', '/nowhere/x'], /\/nowhere/],
      ['restore-disk', ['--domain', 'web1', '--disk', 'vda', '--output', 'x', '--point', 'y'], /no point y/],
      ['restore-disk', ['--domain', 'web9', '--disk', 'vda', '--output', 'x'], /web9/],
      ['list-points', ['--domain', 'web9'], /web9/],
    ])('%s %j', async (name, args, says) => {
      expectClearError(await example(name, ['--from', repository, ...args], libvirtd.workDir), says);
    });

    it('list-points: no repository', async () => {
      expectClearError(await example('list-points', ['--from', '/nowhere']), /\/nowhere/);
    });
  });

  it('every command explains itself', async () => {
    for (const name of [
      'backup-domain',
      'copy-disk',
      'list-domains',
      'list-extents',
      'list-points',
      'restore-disk',
    ]) {
      const { code, stdout, stderr } = await example(name, ['--help']);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(new RegExp(`^Usage: ${name} `));
    }
    const { code, stderr } = await example('frobnicate', []);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/There is no example "frobnicate"[\s\S]*copy-disk/),
    ]);
  });
});

function repositoryId(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'repository.json'), 'utf8')) as { id: string }).id;
}

const nbdServers = requireServers('qemu-nbd', 'qemu-img', 'qemu-io');

describe.skipIf(nbdServers.skip)(nbdServers.title('copy-disk and list-extents'), () => {
  it('need an NBD URI that parses, a server and a new file', async () => {
    expectClearError(await example('copy-disk', ['nbd:///vda', '--context']), /context/);
    expectClearError(await example('copy-disk', ['http://x/', 'null:']), /"http:\/\/x\/"/);
    expectClearError(await example('copy-disk', ['nbd+unix:///?socket=/nowhere/s', 'null:']), /\/nowhere\/s/);
    expectClearError(await example('list-extents', ['nbd+unix:///']), /needs \?socket=PATH/);
    expectClearError(await example('copy-disk', ['nbd://x/']), /expected <nbd-uri> and <file\|null:>/);
  });
});
