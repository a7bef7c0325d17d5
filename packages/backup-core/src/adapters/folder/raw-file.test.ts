import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Owner } from '../../words/owner.ts';
import { processIdentity } from '../process-identity.ts';
import { partialName } from './object-names.ts';
import { createRawFile } from './raw-file.ts';

const MIB = 1024 * 1024;
const isRoot = process.geteuid?.() === 0;

let folder: string;
let target: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'raw-'));
  target = join(folder, 'd.raw');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

const partial = (): string => join(folder, '.d.raw.partial');
const record = (): string => join(folder, '.d.raw.partial.owner');
const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** As a process leaves it that is killed after it wrote `bytes`. */
async function killedWhile(
  content: string,
  bytes: Buffer,
  size: number,
  owner?: Partial<Owner>,
): Promise<void> {
  const dead = { ...(await processIdentity()), startTime: '1', ...owner };
  writeFileSync(record(), `${partialName(dead)}\n${content}`, { mode: 0o600 });
  writeFileSync(partial(), bytes, { mode: 0o600 });
  execFileSync('truncate', ['-s', String(size), partial()]);
}

describe('a new raw file', () => {
  it.each([0, 0o022, 0o777])('is for its owner alone and sparse, whatever the umask (%o)', async (mask) => {
    const before = process.umask(mask);
    try {
      const sink = await createRawFile(target, 64 * MIB);
      await sink.write(MIB, Buffer.from('here'));
      await sink.zero(2 * MIB, MIB);
      expect(existsSync(target)).toBe(false);
      expect(statSync(partial()).mode & 0o777).toBe(0o600);
      await sink.finish();
    } finally {
      process.umask(before);
    }
    const { mode, size, blocks } = statSync(target);
    expect([mode & 0o777, size]).toEqual([0o600, 64 * MIB]);
    expect(blocks * 512).toBeLessThan(MIB);
    expect(readFileSync(target).subarray(MIB, MIB + 5)).toEqual(Buffer.from('here\0'));
    expect(readdirSync(folder)).toEqual(['d.raw']);
  });

  it.each(['discard', 'suspend'] as const)('leaves no descriptor open where it cannot %s', async (end) => {
    const before = descriptors();
    const sink = await createRawFile(target, MIB);
    rmSync(record());
    mkdirSync(record());
    await expect(sink[end]?.()).rejects.toMatchObject({ code: 'ERR_BACKUP_SINK' });
    expect(descriptors()).toBe(before);
    expect(existsSync(partial())).toBe(false);
  });

  it('leaves nothing behind, no descriptor either, when it is discarded or refused', async () => {
    const before = descriptors();
    const sink = await createRawFile(target, MIB);
    await sink.discard();
    await sink.discard();
    await expect(createRawFile('/proc/d.raw', MIB)).rejects.toMatchObject({ code: 'ERR_BACKUP_SINK' });
    await expect(createRawFile(target, MIB, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow(
      'no',
    );
    expect(readdirSync(folder)).toEqual([]);
    expect(descriptors()).toBe(before);
  });

  it('touches no file that is there, not even one that came meanwhile', async () => {
    const sink = await createRawFile(target, MIB);
    writeFileSync(target, 'theirs');
    await expect(sink.finish()).rejects.toMatchObject({ code: 'ERR_BACKUP_SINK', reason: 'exists' });
    await expect(createRawFile(target, MIB)).rejects.toMatchObject({ reason: 'exists' });
    symlinkSync('nowhere', join(folder, 'link'));
    await expect(createRawFile(join(folder, 'link'), MIB)).rejects.toMatchObject({ reason: 'exists' });
    expect(readFileSync(target, 'utf8')).toBe('theirs');
    expect(readdirSync(folder).sort()).toEqual(['d.raw', 'link']);
  });

  it('writes through no link at the place of its partial file', async () => {
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'precious', { mode: 0o600 });
    for (const place of [symlinkSync, linkSync]) {
      await killedWhile('x', Buffer.alloc(0), 0);
      rmSync(partial());
      place(victim, partial());
      const sink = await createRawFile(target, MIB, { content: 'x' });
      await sink.write(0, Buffer.from('disk'));
      await sink.finish();
      expect(statSync(target).size).toBe(MIB);
      rmSync(target);
    }
    expect(readFileSync(victim, 'utf8')).toBe('precious');
  });

  it('takes names as long as the file system does', async () => {
    for (const name of ['n'.repeat(255), 'ü'.repeat(127)]) {
      const sink = await createRawFile(join(folder, name), MIB);
      await sink.finish();
    }
    expect(readdirSync(folder)).toHaveLength(2);
  });

  it('says what kept it from being created', async () => {
    await expect(createRawFile(join(folder, 'none', 'd'), MIB)).rejects.toMatchObject({ reason: 'failed' });
    await expect(createRawFile(target, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({
      code: 'ERR_BACKUP_SINK',
    });
    await expect(createRawFile('/sys/kernel/d.raw', MIB)).rejects.toMatchObject({ reason: 'denied' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it.skipIf(!isRoot)('says that no space is left (skipped: only root can mount)', async () => {
    const small = join(folder, 'small');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small]);
    try {
      const sink = await createRawFile(join(small, 'd'), 8 * MIB);
      await expect(sink.write(0, Buffer.alloc(4 * MIB, 1))).rejects.toMatchObject({ reason: 'full' });
      await sink.discard();
      expect(readdirSync(small)).toEqual([]);
    } finally {
      execFileSync('umount', [small]);
    }
  });
});

describe('what was begun before', () => {
  it('is gone on with when the same is asked for and its owner is dead', async () => {
    await killedWhile('point 1', Buffer.from('begun'), MIB);
    const sink = await createRawFile(target, MIB, { content: 'point 1' });
    const there = Buffer.alloc(5);
    await sink.existing?.readInto(there, 0);
    expect(there.toString()).toBe('begun');
    await sink.finish();
    expect(readFileSync(target).subarray(0, 6).toString()).toBe('begun\0');
    expect(readdirSync(folder)).toEqual(['d.raw']);
  });

  it.each([
    ['something else', 'point 2'],
    ['nothing that has a name', undefined],
  ])('is begun again when %s is asked for', async (_, content) => {
    await killedWhile('point 1', Buffer.from('begun'), 2 * MIB);
    const sink = await createRawFile(target, MIB, { content });
    expect(sink.existing).toBeUndefined();
    await sink.finish();
    expect(readFileSync(target).equals(Buffer.alloc(MIB))).toBe(true);
    expect(readdirSync(folder)).toEqual(['d.raw']);
  });

  it('is begun again when others could have written it', async () => {
    await killedWhile('point 1', Buffer.from('begun'), MIB);
    execFileSync('chmod', ['666', partial()]);
    const sink = await createRawFile(target, MIB, { content: 'point 1' });
    expect(sink.existing).toBeUndefined();
    await sink.discard();
  });

  it('is put aside for the same process, too', async () => {
    const first = await createRawFile(target, MIB, { content: 'point 1' });
    await first.write(0, Buffer.from('begun'));
    await first.suspend?.();
    const second = await createRawFile(target, MIB, { content: 'point 1' });
    expect(second.existing).toBeDefined();
    await second.finish();
    expect(readFileSync(target).subarray(0, 5).toString()).toBe('begun');
  });

  it('is left alone while its owner lives, and other targets are not held up', async () => {
    const sink = await createRawFile(target, MIB, { content: 'x' });
    await expect(createRawFile(target, MIB, { content: 'x' })).rejects.toMatchObject({
      reason: 'exists',
      message: expect.stringContaining(`is being written by process ${process.pid}`) as string,
    });
    const other = await createRawFile(join(folder, 'e.raw'), MIB, { content: 'x' });
    await Promise.all([sink.finish(), other.finish()]);
    expect(readdirSync(folder).sort()).toEqual(['d.raw', 'e.raw']);
  });

  it('has one owner, however many ask for it at once', async () => {
    await killedWhile('x', Buffer.from('begun'), MIB);
    const asked = Array.from({ length: 8 }, () => createRawFile(target, MIB, { content: 'x' }));
    const outcomes = await Promise.allSettled(asked);
    const sinks = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    expect(sinks).toHaveLength(1);
    await sinks[0]?.finish();
    expect(readdirSync(folder)).toEqual(['d.raw']);
  });

  it('of another machine is left alone until it has been silent for long', async () => {
    const elsewhere = { boot: 'ffff', machine: 'ffff', host: 'elsewhere' };
    await killedWhile('x', Buffer.from('begun'), MIB, elsewhere);
    await expect(createRawFile(target, MIB, { content: 'x' })).rejects.toMatchObject({
      reason: 'exists',
      message: expect.stringMatching(/elsewhere.*remove \.d\.raw\.partial\.owner/) as string,
    });
    const longAgo = Date.now() / 1000 - 3600;
    for (const path of [record(), partial()]) utimesSync(path, longAgo, longAgo);
    const sink = await createRawFile(target, MIB, { content: 'x' });
    expect(sink.existing).toBeDefined();
    await sink.discard();
  });

  it('goes when a file of the name is there by now', async () => {
    await killedWhile('x', Buffer.from('begun'), MIB);
    writeFileSync(target, 'theirs');
    await expect(createRawFile(target, MIB, { content: 'x' })).rejects.toMatchObject({ reason: 'exists' });
    expect(readdirSync(folder)).toEqual(['d.raw']);
  });

  it('is not given a name that somebody else wrote for it', async () => {
    const sink = await createRawFile(target, MIB);
    rmSync(partial());
    writeFileSync(partial(), 'not a disk');
    await expect(sink.finish()).rejects.toMatchObject({ reason: 'failed' });
    expect(existsSync(target)).toBe(false);
  });
});
