import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Storage } from '../../ports/storage.ts';
import { storageCompliance } from '../../testing/storage-compliance.ts';
import { processIdentity } from '../process-identity.ts';
import { partialName } from './object-names.ts';
import { folderStorage } from './storage.ts';

const BYTES = Buffer.from('0123456789');

let base: string;
let root: string;
let storage: ReturnType<typeof folderStorage>;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'fst-'));
  root = join(base, 'r');
  storage = folderStorage(root);
});

afterEach(async () => {
  await storage.close();
  rmSync(base, { recursive: true });
});

async function names(of: Storage, prefix = ''): Promise<string[]> {
  const all: string[] = [];
  for await (const { name } of of.list(prefix)) all.push(name);
  return all.sort();
}

const TESTS = storageCompliance().map(({ name, run }) => [name, run] as const);

/** Files of any kind below a folder. */
const files = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name);

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

describe('folder storage', () => {
  it.each(TESTS)('%s', async (_, run) => {
    await run(storage);
    expect(existsSync(root) ? files(root).filter((name) => name.includes('~')) : []).toEqual([]);
  });

  it.each(TESTS)('without hard links: %s', async (_, run) => {
    const other = folderStorage(root, { hardLinks: false });
    await run(other);
    await other.close();
    expect(existsSync(root) ? files(root).filter((name) => name.includes('~')) : []).toEqual([]);
  });

  it('a folder that is not there is an empty storage, and is not made by looking', async () => {
    expect(await names(storage)).toEqual([]);
    expect(await storage.size('a')).toBeUndefined();
    await expect(storage.get('a')).rejects.toMatchObject({ reason: 'not-found', object: 'a' });
    await storage.remove('a');
    expect(existsSync(root)).toBe(false);
  });

  it.each([0o000, 0o022, 0o077, 0o777])('with umask %o folders are 0700 and files 0600', async (umask) => {
    const before = process.umask(umask);
    try {
      storage = folderStorage(join(root, 'deep', 'er'));
      await storage.put('points/x/y', BYTES);
      const writer = await storage.create('packs/p');
      await writer.write(BYTES);
      await writer.commit();
      await storage.replace('points/x/y', BYTES, BYTES);
    } finally {
      process.umask(before);
    }
    const mode = (path: string): string => (statSync(join(root, path)).mode & 0o7777).toString(8);
    for (const folder of ['', 'deep', 'deep/er', 'deep/er/points', 'deep/er/points/x', 'deep/er/packs'])
      expect([folder, mode(folder)]).toEqual([folder, '700']);
    for (const file of ['deep/er/points/x/y', 'deep/er/packs/p'])
      expect([file, mode(file)]).toEqual([file, '600']);
  });

  it('the mode of a folder that was there is left alone', async () => {
    mkdirSync(root);
    chmodSync(root, 0o755);
    await storage.put('a', BYTES);
    expect(statSync(root).mode & 0o777).toBe(0o755);
  });

  it('follows no symbolic link, neither of a file nor of a folder', async () => {
    const victim = join(base, 'victim');
    mkdirSync(victim);
    writeFileSync(join(victim, 'file'), 'precious');
    mkdirSync(root);
    symlinkSync(victim, join(root, 'packs'));
    symlinkSync(join(victim, 'file'), join(root, 'head'));
    symlinkSync(join(base, 'nothing'), join(root, 'dangling'));
    const attempts = [
      storage.put('packs/a', BYTES),
      storage.get('packs/file'),
      storage.read('packs/file', 0, 1),
      storage.remove('packs/file'),
      storage.replace('packs/file', BYTES, Buffer.from('precious')),
      names(storage, 'packs/'),
      storage.get('head'),
      storage.read('head', 0, 1),
      storage.replace('head', BYTES, Buffer.from('precious')),
      storage.get('dangling'),
    ];
    for (const result of await Promise.allSettled(attempts))
      expect(result).toMatchObject({
        status: 'rejected',
        reason: { code: 'ERR_BACKUP_STORAGE', reason: 'failed' },
      });
    for (const taken of ['head', 'dangling'])
      await expect(storage.put(taken, BYTES)).rejects.toMatchObject({ reason: 'exists' });
    expect(await storage.size('head')).toBeUndefined();
    expect(await names(storage)).toEqual([]);
    expect(readdirSync(victim)).toEqual(['file']);
    expect(readFileSync(join(victim, 'file'), 'utf8')).toBe('precious');
  });

  it('the folder itself may be reached through a symbolic link', async () => {
    mkdirSync(join(base, 'real'));
    symlinkSync(join(base, 'real'), root);
    await storage.put('a', BYTES);
    expect(readdirSync(join(base, 'real'))).toEqual(['a']);
  });

  it('what is not ours neither disturbs a listing nor is touched', async () => {
    mkdirSync(join(root, 'lost+found'), { recursive: true });
    mkdirSync(join(root, 'points', 'folder'), { recursive: true });
    for (const path of ['lost+found/#12', 'points/my notes.txt', 'points/a~', 'points/.partial~mine'])
      writeFileSync(join(root, path), 'theirs');
    await storage.put('points/a', BYTES);
    expect(await names(storage)).toEqual(['points/a']);
    expect(files(root).sort()).toEqual(['#12', '.partial~mine', 'a', 'a~', 'my notes.txt']);
  });

  it('a pipe is no object, and nobody waits for its writer', async () => {
    mkdirSync(root);
    await once(spawn('mkfifo', [join(root, 'pipe')]), 'exit');
    await expect(storage.get('pipe')).rejects.toMatchObject({ reason: 'failed' });
    await expect(storage.read('pipe', 0, 1)).rejects.toMatchObject({ reason: 'failed' });
    expect(await names(storage)).toEqual([]);
  });

  it('what a dead writer left is removed by the next, what a living one writes is not', async () => {
    const self = await processIdentity();
    const living = await storage.create('packs/living');
    await living.write(BYTES);
    const dead = { ...self, startTime: '1' };
    const owners = [
      dead,
      { ...self, boot: '00000000-0000-4000-8000-000000000000' },
      { ...self, boot: 'a', host: 'b' },
    ];
    for (const owner of owners) writeFileSync(join(root, 'packs', partialName(owner)), 'half');
    writeFileSync(join(root, 'packs', '.guard~p'), partialName(dead));
    const next = folderStorage(root, { hardLinks: false });
    await next.put('packs/p', BYTES);
    await living.commit();
    expect(await names(next)).toEqual(['packs/living', 'packs/p']);
    // Nobody here knows whether the writer on another machine lives.
    const left = files(root).filter((name) => name.includes('~'));
    expect(left).toHaveLength(self.machine === '' ? 2 : 1);
    await next.close();
  });

  it('says that a place is forbidden', async () => {
    const forbidden = folderStorage('/sys/kernel/none');
    await expect(forbidden.put('a', BYTES)).rejects.toMatchObject({ reason: 'denied' });
  });

  it('keeps few descriptors open, however many objects are read', async () => {
    await Promise.all(Array.from({ length: 200 }, (_, index) => storage.put(`many/${index}`, BYTES)));
    const before = openDescriptors();
    for (let index = 0; index < 200; index++) await storage.read(`many/${index}`, 2, 3);
    expect(openDescriptors() - before).toBeLessThanOrEqual(64);
    await storage.close();
    expect(openDescriptors()).toBeLessThan(before);
  });

  it('notices that another process removed an object it has open', async () => {
    const other = folderStorage(root);
    await storage.put('a', BYTES);
    await storage.read('a', 0, 1);
    await other.remove('a');
    await other.close();
    await new Promise((done) => setTimeout(done, 1_100));
    await expect(storage.read('a', 0, 1)).rejects.toMatchObject({ reason: 'not-found' });
  });
});
