import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openExistingDisk } from '../adapters/folder/existing-disk.ts';
import { createRawFile } from '../adapters/folder/raw-file.ts';
import type { Sink } from '../ports/sink.ts';
import { storeDisk } from '../repository/disk-copies.fixture.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { BaseTree } from '../repository/tree/builder.ts';
import { DiskReader } from '../repository/tree/disk-reader.ts';
import { TreeStore } from '../repository/tree/tree-store.ts';
import type { Progress } from '../words/progress.ts';
import { restoreDisk } from './restore-disk.ts';

let folder: string;
let target: string;
let storage: TestStorage;
const stores: TreeStore[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rst-'));
  target = join(folder, 'd.raw');
  storage = new TestStorage();
});

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
  rmSync(folder, { recursive: true });
});

function open(workers = 0): TreeStore {
  const file = { format: 2, id: '0', blockSize: BLOCK_SIZE, compression: 'none', keys: undefined } as const;
  const store = new TreeStore(storage, file, { workers });
  stores.push(store);
  return store;
}

/** A disk with a hole and an end within a block. */
function someDisk(): Buffer {
  const disk = randomBytes(80 * BLOCK_SIZE + 1000);
  disk.fill(0, 10 * BLOCK_SIZE, 30 * BLOCK_SIZE);
  return disk;
}

async function stored(disk: Buffer, store: TreeStore = open()): Promise<BaseTree> {
  const { root } = await storeDisk(store, disk, [{ type: 'data', offset: 0, length: disk.length }]);
  return { root, size: disk.length };
}

/** Calls `each` before every read of stored bytes of packs. */
function onEachRead(each: (count: number) => void): void {
  const read = storage.read.bind(storage);
  let count = 0;
  storage.read = (name, offset, length) => {
    each(++count);
    return read(name, offset, length);
  };
}

describe('restoreDisk', () => {
  it.each([0, 2])('writes a new file and tells how far it is (%i workers)', async (workers) => {
    const disk = someDisk();
    const store = open(workers);
    const reader = new DiskReader(store, await stored(disk, store));
    const told: Progress[] = [];
    const result = await restoreDisk(reader, await createRawFile(target, disk.length), {
      disk: 'vda',
      onProgress: (progress) => told.push(progress),
    });
    expect(readFileSync(target).equals(disk)).toBe(true);
    const dataBytes = disk.length - 20 * BLOCK_SIZE;
    expect(result).toEqual({
      dataBytes,
      zeroBytes: 20 * BLOCK_SIZE,
      writtenBytes: dataBytes,
      equalBytes: 0,
    });
    expect(told.at(-1)).toEqual({ phase: 'restore', disk: 'vda', done: disk.length, total: disk.length });
  });

  it('opens no more files for it than one and its folder', async () => {
    const disk = someDisk();
    const reader = new DiskReader(open(), await stored(disk));
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const before = descriptors();
    let most = 0;
    await restoreDisk(reader, await createRawFile(target, disk.length), {
      onProgress: () => (most = Math.max(most, descriptors())),
    });
    expect(most - before).toBe(2);
    expect(descriptors()).toBe(before);
  });

  it('writes only what differs into a disk that is there', async () => {
    const disk = someDisk();
    const reader = new DiskReader(open(2), await stored(disk));
    const there = Buffer.concat([disk, Buffer.from('behind the end')]);
    there.fill(1, 3 * BLOCK_SIZE + 5, 3 * BLOCK_SIZE + 6);
    there.fill(2, 15 * BLOCK_SIZE, 16 * BLOCK_SIZE);
    there.fill(0, 40 * BLOCK_SIZE, 42 * BLOCK_SIZE);
    there.fill(3, disk.length - 1, disk.length);
    writeFileSync(target, there);
    const result = await restoreDisk(reader, await openExistingDisk(target, disk.length));
    expect(result.writtenBytes).toBe(3 * BLOCK_SIZE + 1000);
    expect(result.equalBytes).toBe(disk.length - 20 * BLOCK_SIZE - result.writtenBytes);
    expect(readFileSync(target).equals(Buffer.concat([disk, Buffer.from('behind the end')]))).toBe(true);
  });

  it('makes any disk that is there the one that is wanted', async () => {
    const block = fc.constantFrom(0, 1, 2);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(block, block), { minLength: 1, maxLength: 80 }),
        fc.nat(BLOCK_SIZE - 1),
        async (blocks, short) => {
          const fill = (which: 0 | 1): Buffer =>
            Buffer.concat(blocks.map((pair) => Buffer.alloc(BLOCK_SIZE, pair[which]))).subarray(
              0,
              blocks.length * BLOCK_SIZE - short,
            );
          const [disk, there] = [fill(0), fill(1)];
          writeFileSync(target, there);
          const reader = new DiskReader(open(), await stored(disk));
          const { writtenBytes } = await restoreDisk(reader, await openExistingDisk(target, disk.length));
          const last = blocks.length - 1;
          const expected = blocks.reduce(
            (sum, [wanted, found], index) =>
              sum + (wanted === 0 || wanted === found ? 0 : BLOCK_SIZE - (index === last ? short : 0)),
            0,
          );
          expect(readFileSync(target).equals(disk)).toBe(true);
          expect(writtenBytes).toBe(expected);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('goes on where an aborted one was, and reads no stored block twice', async () => {
    const disk = someDisk();
    const tree = await stored(disk);
    const stop = new AbortController();
    const sink = await createRawFile(target, disk.length, { content: 'point 1' });
    let written = 0;
    const stopping: Sink = {
      takesSharedMemory: true,
      write: async (offset, bytes) => {
        await sink.write(offset, bytes);
        written += bytes.length;
        if (written >= 32 * BLOCK_SIZE) stop.abort(new Error('enough'));
      },
      zero: () => Promise.resolve(),
      finish: () => sink.finish(),
      discard: () => sink.discard(),
      suspend: () => sink.suspend?.() ?? Promise.reject(new Error('it cannot')),
    };
    const first = restoreDisk(new DiskReader(open(), tree), stopping, { signal: stop.signal });
    await expect(first).rejects.toThrow('enough');
    expect(readdirSync(folder).sort()).toEqual(['.d.raw.partial', '.d.raw.partial.owner']);

    const again = await createRawFile(target, disk.length, { content: 'point 1' });
    const result = await restoreDisk(new DiskReader(open(), tree), again);
    expect(result.equalBytes).toBeGreaterThanOrEqual(32 * BLOCK_SIZE);
    expect(result.equalBytes).toBeGreaterThanOrEqual(written);
    expect(result.writtenBytes).toBe(disk.length - 20 * BLOCK_SIZE - result.equalBytes);
    expect(readFileSync(target).equals(disk)).toBe(true);
    expect(readdirSync(folder)).toEqual(['d.raw']);
  });

  it('keeps what was written when the repository cannot be read, unless it is not to', async () => {
    const disk = someDisk();
    const tree = await stored(disk);
    onEachRead((count) => {
      if (count > 3) throw new Error('no route');
    });
    for (const [onInterruption, left] of [
      ['discard', 0],
      ['keep', 2],
    ] as const) {
      const sink = await createRawFile(target, disk.length, { content: 'x' });
      const restore = restoreDisk(new DiskReader(open(), tree), sink, { onInterruption });
      await expect(restore).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY' });
      expect(readdirSync(folder)).toHaveLength(left);
    }
  });

  it('leaves no file when anything is damaged', async () => {
    const disk = someDisk();
    const tree = await stored(disk);
    for (const bytes of storage.objects.values()) bytes.writeUInt8(bytes.readUInt8(100_000) ^ 1, 100_000);
    const restore = restoreDisk(new DiskReader(open(), tree), await createRawFile(target, disk.length));
    await expect(restore).rejects.toMatchObject({ code: 'ERR_BACKUP_DAMAGED' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves no file when the sink fails', async () => {
    const disk = someDisk();
    const sink = await createRawFile(target, disk.length, { content: 'x' });
    sink.write = () => Promise.reject(new Error('my sink'));
    const reader = new DiskReader(open(), await stored(disk));
    await expect(restoreDisk(reader, sink, { onInterruption: 'discard' })).rejects.toThrow('my sink');
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each(['write', 'zero', 'finish'] as const)(
    'what a sink of the caller fails with in %s is a SinkError, and it is discarded',
    async (call) => {
      const disk = someDisk();
      const cause = new TypeError('mine');
      let discarded = 0;
      const sink: Sink = {
        write: () => Promise.resolve(),
        zero: () => Promise.resolve(),
        finish: () => Promise.resolve(),
        discard: () => {
          discarded++;
          return Promise.resolve();
        },
        suspend: () => Promise.reject(new Error('not interrupted')),
      };
      sink[call] = () => Promise.reject(cause);
      const reader = new DiskReader(open(), await stored(disk));
      await expect(restoreDisk(reader, sink)).rejects.toMatchObject({
        code: 'ERR_BACKUP_SINK',
        reason: 'failed',
        cause,
      });
      expect(discarded).toBe(1);
    },
  );

  it('takes a sink of the caller that knows nothing of shared memory', async () => {
    const disk = someDisk();
    const copy = Buffer.alloc(disk.length, 9);
    const calls: string[] = [];
    const sink: Sink = {
      write: (offset, bytes) => {
        expect(bytes.buffer).toBeInstanceOf(ArrayBuffer);
        copy.set(bytes, offset);
        return Promise.resolve();
      },
      zero: (offset, length) => {
        copy.fill(0, offset, offset + length);
        return Promise.resolve();
      },
      finish: () => Promise.resolve(void calls.push('finish')),
      discard: () => Promise.resolve(void calls.push('discard')),
    };
    await restoreDisk(new DiskReader(open(), await stored(disk)), sink);
    expect(copy.equals(disk)).toBe(true);
    expect(calls).toEqual(['finish']);
  });
});
