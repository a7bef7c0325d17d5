import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import type { ByteRange } from '../../transfer/layout.ts';
import { readDisk, storeDisk } from '../disk-copies.fixture.ts';
import { BLOCK_SIZE } from '../format.ts';
import { openStore } from '../kept-series.fixture.ts';
import { TestStorage } from '../memory-storage.fixture.ts';
import { HarmedDisks } from '../verify/check-tree.ts';
import { Harm } from '../verify/harm.ts';
import type { BaseTree } from './builder.ts';
import { cutTree } from './cut-tree.ts';
import { FANOUT, type Reference } from './page.ts';
import { TreeReader } from './tree-reader.ts';
import type { TreeStore } from './tree-store.ts';

const STORED = [0, 1, 5, 1023, 1024, 1025, 1029];

/** A disk over two levels of pages that does not end with a block. */
async function stored(store: TreeStore): Promise<{ disk: Buffer; tree: BaseTree }> {
  const disk = Buffer.alloc(1029 * BLOCK_SIZE + 512);
  for (const block of STORED) randomBytes(512).copy(disk, block * BLOCK_SIZE);
  const { root } = await storeDisk(store, disk, [{ type: 'data', offset: 0, length: disk.length }]);
  return { disk, tree: { root, size: disk.length } };
}

async function referencesOf(
  store: TreeStore,
  tree: BaseTree,
): Promise<{ readonly level: number; readonly reference: Reference }[]> {
  const found: { level: number; reference: Reference }[] = [];
  await new TreeReader(store, tree).references((reference, level) => found.push({ level, reference }) > 0);
  return found;
}

function emptied(disk: Buffer, ranges: readonly ByteRange[]): Buffer {
  const rest = Buffer.from(disk);
  for (const { offset, length } of ranges) rest.fill(0, offset, offset + length);
  return rest;
}

it('a tree that is cut has nothing of what is harmed, and all the rest', async () => {
  const storage = new TestStorage();
  const { disk, tree } = await stored(openStore(storage));
  const all = await referencesOf(openStore(storage), tree);
  const leaves = all.filter(({ level }) => level === 0);
  const blocks = all.filter(({ level }) => level < 0);
  expect([leaves.length, blocks.length]).toEqual([2, STORED.length]);
  for (const { level, reference } of [...leaves, ...blocks.slice(2, 3), ...blocks.slice(-1)]) {
    const harm = new Harm();
    harm.add(reference, 'it is');
    // With nothing in memory, and what is harmed out of reach.
    const store = openStore(storage);
    store.load = async (page, ...rest) => {
      expect(harm.reasonOf(page), 'it is not read').toBeUndefined();
      return openStore(storage).load(page, ...rest);
    };
    const ranges = await new HarmedDisks(store, harm, undefined).rangesOf({
      root: tree.root ?? null,
      size: tree.size,
    });
    const packs = store.createPackWriter();
    const cut = await cutTree(store, tree, ranges, { packs });
    await packs.seal();
    const left = await referencesOf(store, cut);
    expect(left.filter((each) => harm.reasonOf(each.reference) !== undefined)).toEqual([]);
    expect((await readDisk(store, cut)).equals(emptied(disk, ranges)), `level ${level}`).toBe(true);
    const lost = ranges.reduce((sum, { length }) => sum + length, 0);
    expect(lost).toBeLessThanOrEqual(level < 0 ? BLOCK_SIZE : FANOUT * BLOCK_SIZE);

    // What is read of it becomes the same disk with other blocks.
    const whole = await storeDisk(
      store,
      disk,
      ranges.map((range) => ({ type: 'data', ...range })),
      { base: cut },
    );
    const healed = { root: whole.root, size: tree.size };
    expect(Buffer.compare(whole.root?.hash ?? Buffer.alloc(0), tree.root?.hash ?? Buffer.alloc(1))).toBe(0);
    for (const each of await referencesOf(store, healed))
      expect(harm.reasonOf(each.reference)).toBeUndefined();
  }
});
