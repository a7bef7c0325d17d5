import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changeKey, repositoryInfo, type RepositoryInfo } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  assertSameContent,
  defineDomain,
  type PrivateLibvirtd,
  requireServers,
  requireZstdNode,
  startLibvirtd,
  type TestDomain,
  virsh,
} from '../harness/index.ts';
import { example, exampleJson, exampleWith } from './commands.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img');
const zstdNode = await requireZstdNode();
const MIB = 1024 * 1024;

/** Kills the process before its n-th step that changes something in the folder of the repository. */
const KILLER = `
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
let left = Number(process.env.KILL_AT);
const dying = (object, name, counts = () => true) => {
  const original = object[name];
  object[name] = function (...args) {
    if (counts(...args) && --left === 0) process.kill(process.pid, 'SIGKILL');
    return original.apply(this, args);
  };
};
for (const name of ['rename', 'unlink', 'link']) dying(fs.promises, name);
const isMade = (path, flags) => typeof flags === 'number' && (flags & fs.constants.O_CREAT) !== 0;
dying(fs.promises, 'open', isMade);
const handle = await fs.promises.open('/dev/null');
for (const name of ['write', 'writeFile', 'sync']) dying(Object.getPrototypeOf(handle), name);
await handle.close();
syncBuiltinESMExports();
`;

describe.skipIf(servers.skip)(servers.title('commands around keys'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let folder: string;
  /** Of the host, which may write and not read. */
  let hostKey: string;
  let privateKey: string;
  let recipient: string;
  const truths: string[] = [];
  const ids: string[] = [];

  const at = (name: string): string => join(libvirtd.workDir, name);

  function makeKey(name: string, content: string | Buffer = randomBytes(32)): string {
    writeFileSync(at(name), content, { mode: 0o600 });
    return at(name);
  }

  async function backUp(...more: readonly string[]): Promise<void> {
    await domain.write(0, `write -P ${ids.length + 1} ${ids.length}M 1M`);
    truths.push(await domain.truth(0));
    const { id } = (await exampleJson('backup-domain', [
      ...['--connect', libvirtd.uri, '--domain', 'keys', '--to', folder, '--scratch', libvirtd.scratchDir],
      ...['--json', ...more],
    ])) as { id: string };
    ids.push(id);
  }

  const restoreArgs = (from: string, index: number, ...more: readonly string[]): readonly string[] => [
    ...['--from', from, '--domain', 'keys', '--disk', 'vda', '--point', ids[index] ?? '', ...more],
  ];

  async function expectNewest(from: string, ...more: readonly string[]): Promise<void> {
    const output = at(`restored-${Math.random()}`);
    await exampleJson('restore-disk', restoreArgs(from, ids.length - 1, '--output', output, ...more));
    await assertSameContent(output, truths.at(-1) ?? '');
  }

  const info = async (...more: readonly string[]): Promise<RepositoryInfo> =>
    (await exampleJson('repository-info', ['--from', folder, '--json', ...more])) as RepositoryInfo;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
    domain = await defineDomain(libvirt, libvirtd, { name: 'keys', disks: [{ size: 16 * MIB }] });
    folder = at('repository');
    hostKey = makeKey('host.key');
    const pair = generateKeyPairSync('x25519');
    recipient = pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64');
    privateKey = makeKey('owner.pem', pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await backUp('--key-file', hostKey, '--recipient', recipient, '--compression', 'deflate');
  });

  afterAll(async () => {
    await domain.remove();
    await libvirt.close();
    await libvirtd.stop();
  });

  it('a host that seals to a recipient writes and does not read', async () => {
    const refused = await example(
      'restore-disk',
      restoreArgs(folder, 0, '--output', at('x'), '--key-file', hostKey),
    );
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toMatch(/private key of a recipient/);
    await expectNewest(folder, '--key-file', hostKey, '--private-key-file', privateKey);
  });

  it('repository-info tells what can be told without the key, and the rest with it', async () => {
    const blind = await info();
    const { mode } = statSync(folder);
    expect(mode & 0o77).toBe(0);
    expect(blind).toMatchObject({
      format: 2,
      blockSize: 65536,
      compression: 'deflate',
      encryption: { cipher: 'aes-256-gcm', keys: [{ type: 'key' }], recipients: [recipient] },
      domains: [{ names: null, points: 1, oldest: ids[0], newest: ids[0] }],
      packs: { count: 1 },
      ...{ leases: [], intents: [], jobs: [], damaged: null, quarantined: { count: 0, bytes: 0 } },
    });
    expect(blind.unknown).toHaveLength(1);
    const seeing = await info('--key-file', hostKey);
    expect(seeing).toMatchObject({ domains: [{ names: ['keys'] }], damaged: [], unknown: [] });
    const { stdout, code } = await example('repository-info', ['--from', folder, '--key-file', hostKey]);
    expect([code, stdout]).toEqual([0, expect.stringContaining(`recipient  ${recipient}`)]);
    const wrong = await example('repository-info', ['--from', folder, '--key-file', makeKey('wrong.key')]);
    expect([wrong.code, wrong.stdout]).toEqual([1, '']);
  });

  it('change-key shows the change, makes it, and the old key opens nothing any more', async () => {
    const before = filesIn(folder);
    const passphrase = makeKey('phrase', 'correct horse\n');
    const next = makeKey('new.key');
    const args = ['--repository', folder, '--key-file', hostKey, '--json'];
    const plan = await exampleJson('change-key', [...args, '--new-key-file', passphrase]);
    expect(plan).toMatchObject({ dryRun: true, keys: [{ type: 'passphrase' }], recipients: [recipient] });
    const wrong = ['--repository', folder, '--key-file', makeKey('wrong.key'), '--yes'];
    expect((await example('change-key', [...wrong, '--new-key-file', next])).code).toBe(1);
    expect((await example('change-key', [...args, '--yes'])).code).toBe(2);
    expect(filesIn(folder)).toEqual(before);

    const done = await exampleJson('change-key', [...args, '--new-key-file', next, '--yes']);
    expect(done).toMatchObject({ dryRun: false, keys: [{ type: 'key' }], recipients: [recipient] });
    const rest = (files: Record<string, string>): object => ({ ...files, 'repository.json': '' });
    expect(rest(filesIn(folder))).toEqual(rest(before));
    const old = await example('list-points', ['--from', folder, '--key-file', hostKey]);
    expect([old.code, old.stdout]).toEqual([1, '']);
    // What the host writes goes on, and is read by the same owner.
    hostKey = next;
    await backUp('--key-file', hostKey, '--mode', 'incremental');
    await expectNewest(folder, '--key-file', hostKey, '--private-key-file', privateKey);
  });

  it('change-key adds and removes keys and recipients by what repository-info shows', async () => {
    const other = generateKeyPairSync('x25519');
    const theirs = other.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64');
    const theirKey = makeKey('their.pem', other.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const second = makeKey('second.key');
    const args = ['--repository', folder, '--yes', '--json'];
    const added = (await exampleJson('change-key', [
      ...[...args, '--key-file', hostKey, '--private-key-file', privateKey],
      ...['--add-key-file', second, '--add-recipient', theirs],
    ])) as { keys: { id: string }[]; recipients: string[] };
    expect([added.keys.length, added.recipients]).toEqual([2, [recipient, theirs]]);
    await expectNewest(folder, '--key-file', second, '--private-key-file', theirKey);
    const [first] = (await info()).encryption?.keys ?? [];
    await exampleJson('change-key', [
      ...[...args, '--key-file', second, '--remove-key', first?.id ?? '', '--remove-recipient', recipient],
    ]);
    const opening = repositoryInfo(folder, { key: readFileSync(hostKey) });
    await expect(opening).rejects.toMatchObject({ reason: 'key' });
    await changeKey(folder, {
      key: readFileSync(second),
      newKey: { key: readFileSync(hostKey) },
      privateKey: Buffer.from(other.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url'),
      addRecipients: [Buffer.from(recipient, 'base64')],
    });
  });

  it('change-key, killed before any step on its files, leaves the old key or the new one', async () => {
    const next = makeKey('next.key');
    const keys = [hostKey, next].map((path) => readFileSync(path));
    const args = ['--key-file', hostKey, '--new-key-file', next, '--yes', '--repository'];
    const imports = [`--import=data:text/javascript,${encodeURIComponent(KILLER)}`];
    const seen: string[] = [];
    for (let step = 1; ; step++) {
      const copy = at('killed');
      cpSync(folder, copy, { recursive: true });
      process.env['KILL_AT'] = String(step);
      const { signal } = await exampleWith(process.execPath, imports, 'change-key', [...args, copy]);
      delete process.env['KILL_AT'];
      const opens = await Promise.all(
        keys.map((key) =>
          repositoryInfo(copy, { key }).then(
            () => true,
            () => false,
          ),
        ),
      );
      expect(opens.filter(Boolean), `at ${step}`).toHaveLength(1);
      seen.push(opens[0] === true ? 'old' : 'new');
      // One that was killed before it could say whose it is, is waited for.
      const guard = statSync(join(copy, '.guard~repository.json'), { throwIfNoEntry: false });
      if (guard?.size !== 0) {
        const [key, other] = opens[0] === true ? keys : [...keys].reverse();
        if (key === undefined || other === undefined) return expect.fail('no keys');
        await changeKey(copy, { key, newKey: { key: other } });
        expect(readdirSync(copy).sort()).toEqual(readdirSync(folder).sort());
      }
      rmSync(copy, { recursive: true });
      if (signal === null) break;
    }
    expect(seen.length).toBeGreaterThan(5);
    expect([...new Set(seen)]).toEqual(['old', 'new']);
  });

  describe.skipIf(zstdNode.skip)(zstdNode.title('zstd'), () => {
    it('packs, checks and restores where Node has it, and is refused before anything elsewhere', async () => {
      const to = at('zstd');
      const copy = [
        ...['--from', folder, '--key-file', hostKey, '--private-key-file', privateKey],
        ...['--to', to, '--compression', 'zstd', '--json'],
      ];
      if (!zstdNode.isOwn) {
        const refused = await example('copy-points', copy);
        expect([refused.code, refused.stdout]).toEqual([2, '']);
        expect(refused.stderr).toMatch(/zstd needs Node 22\.15 or later, not v20/);
        expect(statSync(to, { throwIfNoEntry: false })).toBeUndefined();
      }
      const newer = async (name: string, args: readonly string[]): Promise<unknown> => {
        const { code, stdout, stderr } = await exampleWith(zstdNode.path, [], name, args);
        expect([code, stderr]).toEqual([0, '']);
        return JSON.parse(stdout);
      };
      const { copied } = (await newer('copy-points', copy)) as { copied: { storedBytes: number }[] };
      expect(copied).toHaveLength(ids.length);
      // A MiB of one byte is next to nothing.
      expect(copied[0]?.storedBytes).toBeLessThan(MIB / 20);
      const verified = await newer('verify-points', ['--from', to, '--deep', '--json']);
      expect(verified).toMatchObject({ isWhole: true });
      const output = at('zstd.raw');
      await newer('restore-disk', restoreArgs(to, 0, '--output', output));
      await assertSameContent(output, truths[0] ?? '');
      if (zstdNode.isOwn) return;
      const before = filesIn(to);
      const refusals = {
        'list-points': ['--from', to],
        'copy-points': ['--from', to, '--to', at('nowhere')],
        'backup-domain': ['--to', to, ...backUpArgs()],
      };
      for (const [name, args] of Object.entries(refusals)) {
        const { code, stderr } = await example(name, args);
        expect([name, code]).toEqual([name, 1]);
        expect(stderr).toMatch(/is packed with zstd, which needs Node 22\.15 or later, not v20/);
      }
      expect(filesIn(to)).toEqual(before);
      // What it is can be told all the same.
      expect(await repositoryInfo(to)).toMatchObject({ compression: 'zstd', points: ids.length });
    });
  });

  const backUpArgs = (): readonly string[] => [
    ...['--connect', libvirtd.uri, '--domain', 'keys', '--scratch', libvirtd.scratchDir],
  ];

  it('forget-points shows the plan, and then takes the newest point; the next backup is a full', async () => {
    const args = ['--from', folder, '--key-file', hostKey, '--point', ids.at(-1) ?? '', '--json'];
    expect(await exampleJson('forget-points', args)).toMatchObject({ dryRun: true, remove: [ids.at(-1)] });
    expect((await info()).points).toBe(ids.length);
    const done = await exampleJson('forget-points', [...args, '--yes']);
    expect(done).toMatchObject({ dryRun: false, remove: [ids.at(-1)], keep: [], hindrances: [] });
    const unknown = await example('forget-points', args);
    expect([unknown.code, unknown.stdout]).toEqual([1, '']);
    expect((await example('forget-points', ['--from', folder, '--key-file', hostKey])).code).toBe(2);
    ids.pop();
    truths.pop();
    await backUp('--key-file', hostKey);
    await expectNewest(folder, '--key-file', hostKey, '--private-key-file', privateKey);
    const checkpoints = await virsh(libvirtd.uri, 'checkpoint-list', 'keys', '--name');
    expect(checkpoints.trim().split('\n')).toHaveLength(1);
  });
});

/** Each file of a repository, by the hash of its content. */
function filesIn(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(folder.length + 1), createHash('sha256').update(readFileSync(path)).digest('hex')];
    }),
  );
}
