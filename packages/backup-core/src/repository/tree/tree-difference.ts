import type { SinkRange } from '../../ports/sink.ts';
import { BLOCK_SIZE } from '../format.ts';
import type { BaseTree } from './builder.ts';
import { tailToRead } from './disk-writer.ts';
import { FANOUT, levelsOf, type Reference } from './page.ts';
import type { BlockRun } from './tree-reader.ts';
import type { TreeStore } from './tree-store.ts';

/** A tree, or what is under one of its pages: level -1 is a block. */
export interface Subtree {
  readonly store: TreeStore;
  readonly reference: Reference | undefined;
  readonly level: number;
}

/** A disk in a store. */
export interface StoredTree {
  readonly store: TreeStore;
  readonly tree: BaseTree;
}

/**
 * What of a disk differs from another one, by their hashes: pages of one hash are not looked into. Both must have
 * their hashes by one key.
 *
 * @returns in order; with what must be read because the disk is the smaller one, see `tailToRead`
 */
export async function* differingRanges(
  disk: StoredTree,
  other: StoredTree,
  signal?: AbortSignal,
): AsyncGenerator<SinkRange, void, undefined> {
  const { size } = disk.tree;
  const tail = tailToRead(other.tree.size, size);
  const ends = { at: 0 };
  let pending: { type: BlockRun['type']; offset: number; length: number } | undefined;
  for await (const { type, first, count } of differences(rootOf(disk), rootOf(other), 0, size, signal)) {
    const offset = first * BLOCK_SIZE;
    const length = Math.min(size - offset, count * BLOCK_SIZE);
    ends.at = offset + length;
    if (pending?.type === type && pending.offset + pending.length === offset) {
      pending.length += length;
      continue;
    }
    if (pending !== undefined) yield pending;
    pending = { type, offset, length };
  }
  if (pending !== undefined) yield pending;
  if (tail !== undefined && ends.at < size) yield tail;
}

async function* differences(
  one: Subtree,
  other: Subtree,
  first: number,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<BlockRun, void, undefined> {
  const level = Math.max(one.level, other.level);
  if (first * BLOCK_SIZE >= size || isSame(one, other)) return;
  if (one.reference === undefined) {
    yield { type: 'zero', first, count: FANOUT ** (level + 1) };
    return;
  }
  if (level < 0) {
    yield { type: 'data', first, count: 1 };
    return;
  }
  const [childOfOne, childOfOther] = [
    await childrenOf(one, level, signal),
    await childrenOf(other, level, signal),
  ];
  for (let slot = 0; slot < FANOUT; slot++)
    yield* differences(childOfOne(slot), childOfOther(slot), first + slot * FANOUT ** level, size, signal);
}

function isSame(one: Subtree, other: Subtree): boolean {
  if (one.reference === undefined || other.reference === undefined) return one.reference === other.reference;
  return one.level === other.level && Buffer.compare(one.reference.hash, other.reference.hash) === 0;
}

/** The children as seen from a level: the tree of a smaller disk is the first child of pages that it does not have. */
export async function childrenOf(
  { store, reference, level: own }: Subtree,
  level: number,
  signal: AbortSignal | undefined,
): Promise<(slot: number) => Subtree> {
  const child = { store, level: level - 1 };
  if (reference === undefined) return () => ({ ...child, reference: undefined });
  if (own < level)
    return (slot) => (slot === 0 ? { store, reference, level: own } : { ...child, reference: undefined });
  const page = await store.load(reference, level, signal);
  return (slot) => ({ ...child, reference: page.get(slot) });
}

function rootOf({ store, tree: { root, size } }: StoredTree): Subtree {
  return { store, reference: root, level: levelsOf(size) - 1 };
}
