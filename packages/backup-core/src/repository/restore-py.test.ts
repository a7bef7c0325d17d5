import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { storeDisk } from './disk-copies.fixture.ts';
import { BLOCK_SIZE } from './format.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { diskOf, pointOf } from './point.fixture.ts';
import { putPoint } from './points.ts';
import { createRepositoryFile } from './repository-file.ts';
import { TreeStore } from './tree/tree-store.ts';

const run = promisify(execFile);

describe.each(['none', 'deflate'] as const)('restore.py (%s)', (compression) => {
  let folder = '';
  let script = '';
  const disks = new Map<string, Buffer>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'py-'));
    const storage = new TestStorage();
    const store = new TreeStore(storage, await createRepositoryFile(storage, { compression }), {
      workers: 0,
    });
    // Two levels of pages, then one, then a disk of nothing.
    const grown = Buffer.alloc(1100 * BLOCK_SIZE + 512);
    randomBytes(10 * BLOCK_SIZE).copy(grown, 1020 * BLOCK_SIZE);
    grown.fill('text', 1099 * BLOCK_SIZE);
    const series = [
      randomBytes(3 * BLOCK_SIZE + 1000),
      grown,
      grown.subarray(0, 5 * BLOCK_SIZE),
      Buffer.alloc(99),
    ];
    let base;
    for (const disk of series) {
      const ranges = [{ type: 'data', offset: 0, length: disk.length }] as const;
      const { root } = await storeDisk(store, disk, ranges, { base, maxPackBytes: 1 << 20 });
      base = { root, size: disk.length };
      const { point } = await putPoint(
        storage,
        pointOf({ disks: [diskOf({ root: root ?? null, size: disk.length })] }),
      );
      disks.set(point.id, disk);
    }
    await store.close();
    // What creation put there is what is run.
    script = join(folder, 'r', 'restore.py');
    for (const [name, bytes] of storage.objects) {
      await mkdir(dirname(join(folder, 'r', name)), { recursive: true });
      await writeFile(join(folder, 'r', name), bytes);
    }
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('restores every point exactly', async () => {
    const { stdout } = await run('python3', [script, join(folder, 'r')]);
    const listed = stdout.trim().split('\n');
    expect(listed.map((line) => line.slice(0, 26))).toEqual([...disks.keys()].sort());
    for (const [id, disk] of disks) {
      await run('python3', [script, join(folder, 'r'), id, 'vda', join(folder, id)]);
      expect((await readFile(join(folder, id))).equals(disk), id).toBe(true);
    }
  });

  it('gives no file for a point whose block is damaged', async () => {
    const [id = ''] = disks.keys();
    for (const pack of await readdir(join(folder, 'r', 'packs'))) {
      const path = join(folder, 'r', 'packs', pack);
      const bytes = await readFile(path);
      bytes[10] = (bytes[10] as number) ^ 1;
      await writeFile(path, bytes);
    }
    const output = join(folder, 'damaged');
    const restored = run('python3', [script, join(folder, 'r'), id, 'vda', output]);
    await expect(restored).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/damaged/) as string,
    });
    expect((await readdir(folder)).filter((name) => name.startsWith('damaged'))).toEqual([]);
  });
});
