import type { ByteRange } from '../../transfer/layout.ts';
import { BLOCK_SIZE, blocksOf } from '../format.ts';
import type { PackWriter } from '../packs/pack-writer.ts';
import { type BaseTree, TreeBuilder } from './builder.ts';
import { FANOUT, levelsOf } from './page.ts';
import type { TreeStore } from './tree-store.ts';

/**
 * Makes of a tree one in which ranges are zero: whoever shares with it shares nothing of what was there. Pages that
 * lie in one of the ranges as a whole are not read.
 *
 * @param ranges - of whole blocks, in order
 * @returns what can be read when the packs are sealed
 */
export async function cutTree(
  store: TreeStore,
  base: BaseTree,
  ranges: readonly ByteRange[],
  options: { readonly packs: PackWriter; readonly signal?: AbortSignal | undefined },
): Promise<BaseTree> {
  const { packs, signal } = options;
  const { size } = base;
  const builder = await TreeBuilder.create(
    { size, base, hashKey: store.keys?.hashKey },
    {
      load: (reference, level) => store.load(reference, level, signal),
      store: (page, hash) => store.store(page, hash, packs),
    },
  );
  for (const { offset, length } of ranges) {
    const end = offset + length;
    // The last page reaches past the end of the disk.
    await builder.zero(offset / BLOCK_SIZE, end >= size ? FANOUT ** levelsOf(size) : blocksOf(end));
  }
  return { root: await builder.finish(), size };
}
