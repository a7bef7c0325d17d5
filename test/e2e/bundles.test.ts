import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder, type TemporaryFolder } from '../harness/index.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Entry points as a package's user names them. */
const ENTRIES = [
  ['nbd-ts-client', 'NbdConnection'],
  ['libvirt-ts-rpc', 'Connection'],
  ['libvirt-ts-backup', 'BackupRepository'],
  ['libvirt-ts-backup/transfer', 'copyRanges'],
  ['libvirt-ts-backup/testing', 'memoryStorage'],
] as const;

/**
 * What an import must not have done. Printed by a process that imported the bundle, once it would end by itself:
 * a timer or a socket of the import's would keep it from that.
 */
const PROBE = `
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'exit', 'beforeExit', 'uncaughtException', 'warning'];
const before = { emit: process.emit, on: process.on, listeners: signals.map((name) => process.listenerCount(name)) };
const report = (exports) => {
  const changed = [];
  if (process.emit !== before.emit) changed.push('process.emit');
  if (process.on !== before.on) changed.push('process.on');
  for (const [at, name] of signals.entries())
    if (process.listenerCount(name) !== before.listeners[at]) changed.push('listeners of ' + name);
  const handles = process.getActiveResourcesInfo().filter((name) => !/^(Pipe|TTY|FS|CloseReq|Immediate)/.test(name));
  process.stdout.write(JSON.stringify({ exports, changed, handles }));
};
`;

interface Report {
  readonly exports: readonly string[];
  readonly changed: readonly string[];
  readonly handles: readonly string[];
}

function runProbe(file: string, code: string): Report {
  writeFileSync(file, PROBE + code);
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as Report;
}

describe('the packages in a bundle', () => {
  let folder: TemporaryFolder;
  beforeAll(() => {
    folder = makeTemporaryFolder('bundle');
  });
  afterAll(() => {
    folder.remove();
  });

  async function bundle(
    code: string,
    format: 'esm' | 'cjs',
    options: Pick<BuildOptions, 'minify' | 'keepNames'> = {},
  ): Promise<string> {
    const outfile = join(folder.path, `bundle.${format === 'esm' ? 'mjs' : 'cjs'}`);
    await build({
      ...options,
      stdin: { contents: code, resolveDir: join(root, 'test') },
      bundle: true,
      platform: 'node',
      target: 'node20',
      format,
      outfile,
      logLevel: 'silent',
    });
    return outfile;
  }

  const runs = async (entry: string, name: string): Promise<void> => {
    const code = `export * from '${entry}';`;
    const esm = await bundle(code, 'esm');
    const asModule = `report(Object.keys(await import(${JSON.stringify(esm)})));`;
    const cjs = await bundle(code, 'cjs');
    const asScript = `report(Object.keys(require(${JSON.stringify(cjs)})));`;
    for (const report of [
      runProbe(join(folder.path, 'probe.mjs'), asModule),
      runProbe(join(folder.path, 'probe.cjs'), asScript),
    ]) {
      expect(report.exports).toContain(name);
      expect(report.changed).toEqual([]);
      expect(report.handles).toEqual([]);
    }
  };
  it.each(ENTRIES)('%s as ESM and as CommonJS runs, and its import does nothing', runs);

  /** All that a worker does: it hashes, packs and encrypts, and the way back. */
  const BACKUP = `
import { BackupRepository } from 'libvirt-ts-backup';
import { memoryStorage } from 'libvirt-ts-backup/testing';
import { FakeHypervisor } from ${JSON.stringify(join(root, 'packages/backup-core/src/fake-hypervisor.fixture.ts'))};
const content = Buffer.alloc(3 * 2 ** 20);
for (let at = 0; at < content.length; at += 4) content.writeUInt32BE(at >> 3, at);
const domain = new FakeHypervisor();
domain.addDisk('vda', content);
let workers = 0;
process.on('worker', () => workers++);
const work = async () => {
  const repository = await BackupRepository.open(memoryStorage(), {
    openExport: domain.openExport,
    compression: 'deflate',
    encryption: { key: new Uint8Array(32) },
  });
  const { point, storedBytes } = await repository.backup(domain);
  const disk = repository.openDisk(point, 'vda');
  const bytes = Buffer.from(await disk.read(0, disk.size));
  await repository.close();
  process.stdout.write(JSON.stringify({ workers, isPacked: storedBytes < content.length, isSame: bytes.equals(content) }));
};
void work();
`;

  it.each([
    ['esm', {}],
    ['cjs', {}],
    ['cjs', { minify: true, keepNames: true }],
  ] as const)('the workers work from within a bundle: %s, %o', async (format, options) => {
    const file = await bundle(BACKUP, format, options);
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect([status, stderr]).toEqual([0, '']);
    const report = JSON.parse(stdout) as { workers: number };
    expect(report).toMatchObject({ isPacked: true, isSame: true });
    expect(report.workers).toBeGreaterThan(0);
  });

  it.each(ENTRIES)('%s: what is imported and not used leaves nothing in the bundle', async (entry, name) => {
    for (const code of [`import '${entry}';`, `import { ${name} } from '${entry}';`]) {
      const text = readFileSync(await bundle(code, 'esm'), 'utf8');
      expect(text.replaceAll(/^\s*\/\/.*$/gm, '').trim()).toBe('');
    }
  });
});

describe('the tarballs', () => {
  /** What npm would put in, as paths. */
  function packed(name: string): string[] {
    const args = ['pack', '--dry-run', '--json', '--workspace', `packages/${name}`];
    const { stdout, stderr } = spawnSync('npm', args, { cwd: root, encoding: 'utf8', timeout: 60_000 });
    const [tarball] = JSON.parse(stdout) as { files: { path: string }[] }[];
    if (tarball === undefined) throw new Error(stderr);
    return tarball.files.map(({ path }) => path);
  }

  it.each(['nbd-client', 'libvirt-rpc', 'backup-core'])('%s: all that leads somewhere does', (name) => {
    const files = packed(name);
    const has = (path: string): boolean => files.includes(path);
    const read = (path: string): string => readFileSync(join(root, 'packages', name, path), 'utf8');
    expect(files.filter((path) => /\.(test|fixture)\./.test(path))).toEqual([]);
    const built = files.filter((path) => path.startsWith('dist/'));
    expect(built.length).toBeGreaterThan(20);
    const source = (path: string): string =>
      path.replace(/^dist/, 'src').replace(/\.(d\.ts|js)(\.map)?$/, '.ts');
    expect(
      built.filter((path) => !has(source(path))),
      'without a source: run "npm run build", which removes them',
    ).toEqual([]);
    for (const path of built.filter((each) => !each.endsWith('.map'))) {
      const map = /\/\/# sourceMappingURL=(\S+)/.exec(read(path))?.[1];
      if (map === undefined) continue;
      expect(has(join(dirname(path), map)), `${path} names ${map}`).toBe(true);
    }
    for (const path of built.filter((each) => each.endsWith('.map')))
      for (const each of (JSON.parse(read(path)) as { sources: string[] }).sources)
        expect(has(join(dirname(path), each)), `${path} names ${each}`).toBe(true);
    for (const path of ['README.md', 'LICENSE', 'package.json']) expect(files).toContain(path);
  });

  it('cli: has the command in a few files, and nothing that has to be built', () => {
    const files = packed('cli');
    expect(files).toContain('bundle/main.js');
    expect(files.filter((path) => !path.startsWith('bundle/')).sort()).toEqual([
      'LICENSE',
      'README.md',
      'package.json',
    ]);
    for (const path of files.filter((each) => each.endsWith('.js')))
      expect(readFileSync(join(root, 'packages/cli', path), 'utf8')).not.toMatch(
        /from ['"](libvirt-ts-|nbd-ts-)/,
      );
  });
});
