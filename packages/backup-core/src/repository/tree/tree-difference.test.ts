import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SinkRange } from '../../ports/sink.ts';
import { storeDisk } from '../disk-copies.fixture.ts';
import { BLOCK_SIZE } from '../format.ts';
import { openStore } from '../kept-series.fixture.ts';
import { TestStorage } from '../memory-storage.fixture.ts';
import type { BaseTree } from './builder.ts';
import { differingRanges } from './tree-difference.ts';

const sizes = fc.oneof(
  fc.integer({ min: 0, max: 20 * BLOCK_SIZE }),
  fc.constantFrom(1020, 1024, 1030).map((blocks) => blocks * BLOCK_SIZE),
  fc.integer({ min: 1023 * BLOCK_SIZE, max: 1030 * BLOCK_SIZE }),
);
const writes = fc.array(fc.record({ block: fc.oneof(fc.nat(20), fc.nat(1030)), fill: fc.nat(2) }), {
  maxLength: 12,
});

function diskOf(size: number, blocks: readonly { readonly block: number; readonly fill: number }[]): Buffer {
  const disk = Buffer.alloc(size);
  for (const { block, fill } of blocks)
    disk.fill(fill, Math.min(size, block * BLOCK_SIZE), Math.min(size, (block + 1) * BLOCK_SIZE));
  return disk;
}

describe('the ranges in which two disks differ', () => {
  it('are all that makes the one of the other, whatever their sizes', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(sizes, sizes, writes, writes, async (size, otherSize, common, own) => {
        const store = openStore(new TestStorage());
        const disk = diskOf(size, [...common, ...own]);
        const other = diskOf(otherSize, common);
        const stored = async (bytes: Buffer): Promise<BaseTree> => {
          const whole = [{ type: 'data', offset: 0, length: bytes.length }] as const;
          const { root } = await storeDisk(store, bytes, bytes.length === 0 ? [] : whole);
          return { root, size: bytes.length };
        };
        const tree = await stored(disk);
        const base = await stored(other);
        const ranges: SinkRange[] = [];
        for await (const range of differingRanges({ store, tree }, { store, tree: base })) ranges.push(range);
        const { root } = await storeDisk(store, disk, ranges, { base });
        expect(root?.hash).toEqual(tree.root?.hash);
        // And no more: at most what was written, and the tail of a disk that became smaller.
        const read = ranges
          .filter(({ type }) => type === 'data')
          .reduce((sum, { length }) => sum + length, 0);
        const most = own.length * BLOCK_SIZE + Math.max(0, size - otherSize) + 2 * BLOCK_SIZE;
        expect(read).toBeLessThanOrEqual(most);
      }),
      { numRuns: 30 },
    );
  });
});
