import type { ListedPoint } from './points.ts';
import type { StoredDisk } from './point.ts';
import { FANOUT, levelsOf } from './tree/page.ts';
import { childrenOf, type Subtree } from './tree/tree-difference.ts';
import type { TreeStore } from './tree/tree-store.ts';

/**
 * About how many blocks only points have that are to go. Disks share with earlier ones what is at the same place, so
 * each is compared with its neighbours alone, and pages of the same place in a pack are not looked into: the work is
 * in proportion to what differs.
 *
 * @throws DamagedError where a page cannot be read
 */
export async function countDroppedBlocks(
  store: TreeStore,
  points: readonly ListedPoint[],
  doomed: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<number> {
  const trees = new Map<string, { readonly disk: StoredDisk; readonly isDoomed: boolean }[]>();
  for (const { point } of points)
    for (const disk of point.disks) {
      const key = `${disk.treeSince} ${disk.name}`;
      const series = trees.get(key) ?? [];
      if (series.length === 0) trees.set(key, series);
      series.push({ disk, isDoomed: doomed.has(point.id) });
    }
  let blocks = 0;
  for (const series of trees.values()) {
    let kept: StoredDisk | undefined;
    for (const [index, { disk, isDoomed }] of series.entries()) {
      // What the next one has too is counted there, if that one is to go as well.
      const neighbours = [kept, series[index + 1]?.disk].filter((each) => each !== undefined);
      if (isDoomed)
        blocks += await countOwn(
          subtreeOf(store, disk),
          neighbours.map((each) => subtreeOf(store, each)),
          signal,
        );
      else kept = disk;
    }
  }
  return blocks;
}

/** Blocks of a tree that none of the others has at that place. */
async function countOwn(
  tree: Subtree,
  others: readonly Subtree[],
  signal: AbortSignal | undefined,
): Promise<number> {
  if (tree.reference === undefined || others.some((other) => isShared(tree, other))) return 0;
  const level = Math.max(tree.level, ...others.map((other) => other.level));
  if (level < 0) return 1;
  const children = await childrenOf(tree, level, signal);
  const otherChildren = await Promise.all(others.map((other) => childrenOf(other, level, signal)));
  let blocks = 0;
  for (let slot = 0; slot < FANOUT; slot++)
    blocks += await countOwn(
      children(slot),
      otherChildren.map((childOf) => childOf(slot)),
      signal,
    );
  return blocks;
}

function isShared({ reference: one }: Subtree, { reference: other }: Subtree): boolean {
  return one?.pack === other?.pack && one?.number === other?.number;
}

function subtreeOf(store: TreeStore, { root, size }: StoredDisk): Subtree {
  return { store, reference: root ?? undefined, level: levelsOf(size) - 1 };
}
