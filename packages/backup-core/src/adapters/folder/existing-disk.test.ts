import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openExistingDisk } from './existing-disk.ts';

const MIB = 1024 * 1024;
const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();

/** Why there can be no loop device here; undefined: there can. */
function noLoopDevices(): string | undefined {
  if (process.geteuid?.() !== 0) return 'only root can set up loop devices';
  try {
    run('losetup', '--find');
    return undefined;
  } catch {
    return 'this machine has no loop devices';
  }
}

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xd-'));
  path = join(folder, 'disk');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe('an existing file', () => {
  it('is changed where it is asked to be, and nowhere else', async () => {
    const content = randomBytes(4 * MIB + 100);
    writeFileSync(path, content, { mode: 0o640 });
    const sink = await openExistingDisk(path, 4 * MIB);
    const there = Buffer.alloc(1000);
    await sink.existing?.readInto(there, 500);
    expect(there.equals(content.subarray(500, 1500))).toBe(true);
    await sink.write(MIB, Buffer.from('new'));
    await sink.zero(2 * MIB + 1000, MIB + 77);
    await sink.finish();
    content.write('new', MIB);
    content.fill(0, 2 * MIB + 1000, 3 * MIB + 1077);
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });

  it('stays sparse where it is zero already', async () => {
    run('truncate', '-s', '64M', path);
    const sink = await openExistingDisk(path, 64 * MIB);
    await sink.zero(0, 64 * MIB);
    await sink.finish();
    expect(statSync(path).blocks).toBe(0);
  });

  it('is refused when it is smaller, missing, no file or no disk', async () => {
    writeFileSync(path, 'short');
    await expect(openExistingDisk(path, MIB)).rejects.toMatchObject({
      code: 'ERR_BACKUP_SINK',
      reason: 'size',
      message: expect.stringContaining('has 5 bytes') as string,
    });
    await expect(openExistingDisk(join(folder, 'none'), 1)).rejects.toMatchObject({ reason: 'failed' });
    await expect(openExistingDisk(folder, 1)).rejects.toMatchObject({ reason: 'failed' });
    await expect(openExistingDisk('/dev/null', 1)).rejects.toMatchObject({ reason: 'failed' });
    expect(readFileSync(path, 'utf8')).toBe('short');
  });

  it('gives back its descriptor whatever happens', async () => {
    writeFileSync(path, Buffer.alloc(MIB));
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const before = descriptors();
    const sink = await openExistingDisk(path, MIB);
    await sink.discard();
    await sink.discard();
    await expect(openExistingDisk(path, 2 * MIB)).rejects.toMatchObject({ reason: 'size' });
    expect(descriptors()).toBe(before);
  });
});

const reason = noLoopDevices();
describe.skipIf(reason !== undefined)(
  `a block device${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    let device: string;

    beforeEach(() => {
      run('truncate', '-s', '8M', path);
      device = run('losetup', '--find', '--show', path);
    });

    afterEach(() => {
      run('losetup', '--detach', device);
    });

    it('is read, written and zeroed', async () => {
      const sink = await openExistingDisk(device, 8 * MIB);
      await sink.write(MIB, Buffer.alloc(MIB, 'x'));
      await sink.zero(MIB, 4096);
      const there = Buffer.alloc(8192);
      await sink.existing?.readInto(there, MIB);
      await sink.finish();
      expect(there.equals(Buffer.concat([Buffer.alloc(4096), Buffer.alloc(4096, 'x')]))).toBe(true);
      run('blockdev', '--flushbufs', device);
      expect(
        readFileSync(path)
          .subarray(MIB, MIB + 8192)
          .equals(there),
      ).toBe(true);
    });

    it('is refused when it is smaller', async () => {
      await expect(openExistingDisk(device, 8 * MIB + 1)).rejects.toMatchObject({ reason: 'size' });
    });

    it('is refused while it is mounted', async () => {
      const mounted = join(folder, 'm');
      mkdirSync(mounted);
      run('mkfs.ext4', '-q', device);
      run('mount', device, mounted);
      try {
        await expect(openExistingDisk(device, MIB)).rejects.toMatchObject({
          reason: 'denied',
          message: expect.stringContaining('in use') as string,
        });
      } finally {
        run('umount', mounted);
      }
    });
  },
);
