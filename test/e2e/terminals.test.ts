import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createImage,
  defineDomain,
  imageIo,
  makeTemporaryFolder,
  type PrivateLibvirtd,
  requireServers,
  type RunResult,
  runAny,
  startLibvirtd,
  startNbdkit,
  startQemuNbd,
  type TemporaryFolder,
  type TestDomain,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'qemu-io', 'qemu-nbd', 'nbdkit');
const program = fileURLToPath(new URL('../../packages/cli/bundle/main.js', import.meta.url));
const MIB = 1024 * 1024;
const ESCAPE = '\u001B';

const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');

/** What a terminal of that width gets to see, stdout and stderr alike. */
async function onTerminal(
  columns: number,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<RunResult> {
  const line = `stty cols ${columns} rows 24; exec ${quoted([process.execPath, program, ...args])}`;
  const result = await runAny('script', ['-qec', line, '/dev/null'], {
    env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh', ...env },
  });
  return { ...result, stdout: result.stdout.replaceAll('\r\n', '\n') };
}

/** A shell line in which `"$@"` is the program; the status is the program's, not that of who reads it. */
function inShell(line: string, args: readonly string[]): Promise<RunResult> {
  const words = ['-c', `set -o pipefail; ${line}`, 'bash', process.execPath, program, ...args];
  return runAny('bash', words, {});
}

describe.skipIf(servers.skip)(servers.title('what a terminal shows'), () => {
  let folder: TemporaryFolder;
  let image: string;

  beforeAll(async () => {
    folder = makeTemporaryFolder('terminal');
    image = join(folder.path, 'disk.qcow2');
    await createImage({ path: image, size: 64 * MIB });
    await imageIo(image, 'qcow2', ['write -P 0x11 0 32M']);
  });

  afterAll(() => {
    folder.remove();
  });

  /** The texts that stood on a line one after another. */
  const shownLines = (text: string): string[] =>
    text
      // eslint-disable-next-line no-control-regex -- escape codes are what this is about
      .replaceAll(/\u001B(\[[0-9;?]*[A-Za-z]|[78])/g, '\n')
      .split(/[\r\n]+/)
      .filter((line) => line.trim() !== '');

  it.each([40, 80])('at %i columns the percentage is seen and no line is too long', async (columns) => {
    await using server = await startQemuNbd({ image });
    const { code, stdout } = await onTerminal(columns, ['copy-disk', server.uri, 'null:']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/copy-disk .*100%/);
    for (const line of shownLines(stdout))
      if (!line.startsWith('{')) expect(line.length, line).toBeLessThan(columns);
  });

  it('a dumb terminal gets no escape code and no lonely carriage return, and still the percentage', async () => {
    await using server = await startQemuNbd({ image });
    const { code, stdout } = await onTerminal(40, ['copy-disk', server.uri, 'null:'], { TERM: 'dumb' });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^copy-disk 100%, \d+\/64 MiB$/m);
    expect(stdout).not.toContain(ESCAPE);
    expect(stdout).not.toContain('\r');
  });

  it('nothing is coloured, with NO_COLOR or without', async () => {
    await using server = await startQemuNbd({ image });
    for (const env of [{}, { NO_COLOR: '1' }, { FORCE_COLOR: '1' }]) {
      const { stdout } = await onTerminal(80, ['copy-disk', server.uri, 'null:'], env);
      // eslint-disable-next-line no-control-regex -- escape codes are what this is about
      expect(stdout).not.toMatch(/\u001B\[[0-9;]*m/);
    }
  });

  it.each([['--quiet'], ['--json']])('%s: no progress', async (option) => {
    await using server = await startQemuNbd({ image });
    const { stdout } = await onTerminal(80, ['copy-disk', server.uri, 'null:', option]);
    expect(stdout.trim()).toMatch(/^\{.*\}$/);
  });

  it('help is as narrow as the terminal', async () => {
    for (const args of [['--help'], ['list-domains', '--help']]) {
      const { stdout } = await onTerminal(40, args);
      expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(40);
    }
  });

  it.each(['head -1', 'true'])('list-extents | %s ends at once, and well', async (reader) => {
    // A million extents: whoever went on printing would take seconds.
    await using server = await startNbdkit({
      plugin: 'sparse-random',
      parameters: ['size=16G', 'percent=50', 'runlength=16384'],
    });
    const { code, stderr } = await inShell(`"$@" | ${reader} >/dev/null`, ['list-extents', server.uri]);
    expect([code, stderr]).toEqual([0, '']);
  });

  it.each(['', '--json'])('copy-disk %s | true: everything is copied, exit 0', async (option) => {
    await using server = await startQemuNbd({ image });
    const file = join(folder.path, `copy${option}.raw`);
    const args = ['copy-disk', server.uri, file, ...(option === '' ? [] : [option])];
    const { code, stderr } = await inShell('"$@" | true', args);
    expect([code, stderr]).toEqual([0, '']);
    expect(statSync(file).size).toBe(64 * MIB);
  });

  it('a full disk behind stdout is a failure with a sentence', async () => {
    await using server = await startQemuNbd({ image });
    const { code, stderr } = await inShell('"$@" > /dev/full', ['list-extents', server.uri]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^list-extents: the output cannot be written: .*ENOSPC/);
  });

  it('an error with --json is one object, on stderr', async () => {
    const args = ['copy-disk', 'nbd+unix:///?socket=/nowhere/s', 'null:', '--json'];
    const { code, stdout, stderr } = await inShell('"$@"', args);
    expect([code, stdout]).toEqual([1, '']);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_NBD_CONNECT' } });
  });
});

describe.skipIf(servers.skip)(servers.title('a backup that nobody watches'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
    domain = await defineDomain(libvirt, libvirtd, { name: 'web1', disks: [{ size: 64 * MIB }] });
    await domain.write(0, 'write -P 0x11 0 32M');
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
  });

  const args = (to: string, ...more: string[]): string[] => [
    'backup-domain',
    ...['--connect', libvirtd.uri, '--to', join(libvirtd.workDir, to), '--scratch', libvirtd.scratchDir],
    ...more,
  ];

  async function expectStored(to: string): Promise<void> {
    const listed = await inShell('"$@"', ['list-points', '--from', join(libvirtd.workDir, to), '--json']);
    expect((JSON.parse(listed.stdout) as unknown[]).length).toBe(1);
    expect(readdirSync(libvirtd.scratchDir)).toEqual([]);
  }

  it.each(['true', 'head -c 1 >/dev/null'])('| %s: exit 0, since everything is stored', async (reader) => {
    const to = `piped-${reader.slice(0, 4)}`;
    const { code, stderr } = await inShell(`"$@" | ${reader}`, args(to, '--domain', 'web1'));
    expect([code, stderr]).toEqual([0, '']);
    await expectStored(to);
  });

  it('with nobody at stderr either', async () => {
    const { code } = await inShell('"$@" 2>&1 | true', args('deaf', '--domain', 'web1'));
    expect(code).toBe(0);
    await expectStored('deaf');
  });

  it('takes a UUID as name and as --uuid, and says where it looked for a domain that is not there', async () => {
    const { uuid } = domain.handle;
    for (const [index, choice] of [
      ['--domain', uuid],
      ['--uuid', uuid.toUpperCase()],
    ].entries()) {
      const { code, stderr } = await inShell('"$@"', args(`uuid-${index}`, ...choice));
      expect([code, stderr]).toEqual([0, '']);
      await expectStored(`uuid-${index}`);
    }
    for (const choice of [
      ['--domain', 'web9'],
      ['--uuid', uuid.replace(/^./, (first) => (first === '0' ? '1' : '0'))],
    ]) {
      const { code, stderr } = await inShell('"$@"', args('none', ...choice, '--json'));
      expect(code).toBe(1);
      const { error } = JSON.parse(stderr) as { error: { message: string } };
      expect(error).toMatchObject({ code: 'ERR_BACKUP_NOT_FOUND', reason: 'domain' });
      expect(error.message).toContain(libvirtd.uri);
      expect(error.message).toContain('list-domains');
    }
    const both = await inShell('"$@"', args('none', '--uuid', uuid, '--domain', 'web1'));
    expect([both.code, both.stderr]).toEqual([2, expect.stringContaining('give one of them')]);
  });
});
