import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRawFile } from '../adapters/folder/raw-file.ts';
import { storeDisk } from '../repository/disk-copies.fixture.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import { TestStorage } from '../repository/memory-storage.fixture.ts';
import type { BaseTree } from '../repository/tree/builder.ts';
import { DiskReader } from '../repository/tree/disk-reader.ts';
import { TreeReader } from '../repository/tree/tree-reader.ts';
import { TreeStore } from '../repository/tree/tree-store.ts';
import { salvageDisk, type SalvageReport } from './salvage-disk.ts';

let folder: string;
let target: string;
let storage: TestStorage;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'slv-'));
  target = join(folder, 'd.salvaged');
  storage = new TestStorage();
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function open(): TreeStore {
  const file = { format: 2, id: '0', blockSize: BLOCK_SIZE, compression: 'none', keys: undefined } as const;
  return new TreeStore(storage, file, { workers: 0 });
}

/** Two leaves, in packs that hold sixteen blocks each. */
async function stored(): Promise<{ readonly disk: Buffer; readonly tree: BaseTree }> {
  const disk = randomBytes(1060 * BLOCK_SIZE - 100);
  disk.fill(0, 40 * BLOCK_SIZE, 1020 * BLOCK_SIZE);
  const { root } = await storeDisk(open(), disk, [{ type: 'data', offset: 0, length: disk.length }], {
    maxPackBytes: 16 * BLOCK_SIZE,
  });
  return { disk, tree: { root, size: disk.length } };
}

async function salvage(tree: BaseTree, disk: Buffer): Promise<SalvageReport> {
  const report = await salvageDisk(new DiskReader(open(), tree), await createRawFile(target, tree.size));
  const expected = Buffer.from(disk);
  for (const { offset, length } of report.badRanges) expected.fill(0, offset, offset + length);
  expect(readFileSync(target).equals(expected)).toBe(true);
  expect(report.goodBytes + report.badBytes).toBe(disk.length);
  return report;
}

/** Where the bytes of a block are. */
function placeOf(block: Buffer): { readonly bytes: Buffer; readonly at: number; readonly name: string } {
  for (const [name, bytes] of storage.objects) {
    const at = bytes.indexOf(block);
    if (at >= 0) return { bytes, at, name };
  }
  return expect.fail('the block is not stored');
}

const blockOf = (disk: Buffer, index: number): Buffer =>
  disk.subarray(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE);

describe('salvageDisk', () => {
  it('loses nothing of what is whole', async () => {
    const { disk, tree } = await stored();
    expect(await salvage(tree, disk)).toEqual({ goodBytes: disk.length, badBytes: 0, badRanges: [] });
  });

  it('loses the blocks that are damaged, the short last one too, and no other', async () => {
    const { disk, tree } = await stored();
    for (const block of [3, 4, 30, 1059]) {
      const { bytes, at } = placeOf(blockOf(disk, block));
      bytes.writeUInt8(bytes.readUInt8(at + 77) ^ 1, at + 77);
    }
    const { badRanges, badBytes } = await salvage(tree, disk);
    expect(badRanges.map(({ offset, length, reason }) => [offset / BLOCK_SIZE, length, reason])).toEqual([
      [3, 2 * BLOCK_SIZE, 'hash'],
      [30, BLOCK_SIZE, 'hash'],
      [1059, BLOCK_SIZE - 100, 'hash'],
    ]);
    expect(badBytes).toBe(4 * BLOCK_SIZE - 100);
    expect(badRanges[0]?.message).toMatch(/damaged: number \d+ of pack /);
  });

  it('loses what was in a pack that is missing', async () => {
    const { disk, tree } = await stored();
    storage.objects.delete(placeOf(blockOf(disk, 20)).name);
    const { badRanges } = await salvage(tree, disk);
    expect(new Set(badRanges.map(({ reason }) => reason))).toEqual(new Set(['missing']));
    expect(
      badRanges.some(({ offset, length }) => offset <= 20 * BLOCK_SIZE && offset + length > 20 * BLOCK_SIZE),
    ).toBe(true);
  });

  it('loses what a damaged page refers to', async () => {
    const { disk, tree } = await stored();
    const store = open();
    const leaves: { readonly pack: string; readonly number: number }[] = [];
    await new TreeReader(store, tree).references((reference, level) => {
      if (level === 0) leaves.push(reference);
      return level > 0;
    });
    const [, second] = leaves;
    const { object, offset } = await store.packs.locate(second?.pack ?? '', second?.number ?? 0);
    const bytes = storage.objects.get(object);
    bytes?.writeUInt8(bytes.readUInt8(offset + 200) ^ 1, offset + 200);
    const { badRanges } = await salvage(tree, disk);
    expect(badRanges).toMatchObject([
      { offset: 1024 * BLOCK_SIZE, length: 36 * BLOCK_SIZE - 100, reason: 'hash' },
    ]);
  });

  it('loses everything with the root, and says so', async () => {
    const { disk, tree } = await stored();
    storage.objects.clear();
    const { badRanges, goodBytes } = await salvage(tree, disk);
    expect(badRanges).toMatchObject([{ offset: 0, length: disk.length, reason: 'missing' }]);
    expect(goodBytes).toBe(0);
  });

  it('loses what the storage cannot read', async () => {
    const { disk, tree } = await stored();
    const { at, name } = placeOf(blockOf(disk, 20));
    const read = storage.read.bind(storage);
    storage.read = (object, offset, length) =>
      object === name && offset <= at && offset + length > at
        ? Promise.reject(new Error('EIO'))
        : read(object, offset, length);
    const { badRanges } = await salvage(tree, disk);
    expect(badRanges).toMatchObject([{ offset: 20 * BLOCK_SIZE, length: BLOCK_SIZE, reason: 'unreadable' }]);
  });

  it('ends with the signal and leaves nothing', async () => {
    const { disk, tree } = await stored();
    const stop = new AbortController();
    const reason = new Error('enough');
    const work = salvageDisk(new DiskReader(open(), tree), await createRawFile(target, disk.length), {
      signal: stop.signal,
      onProgress: () => {
        stop.abort(reason);
      },
    });
    await expect(work).rejects.toBe(reason);
    expect(readdirSync(folder)).toEqual([]);
  });
});
