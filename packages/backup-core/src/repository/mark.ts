import { DamagedError, messageOf } from '../words/errors.ts';
import type { PieceSet } from './packs/piece-set.ts';
import type { Point } from './point.ts';
import { TreeReader } from './tree/tree-reader.ts';
import type { TreeStore } from './tree/tree-store.ts';

/** A point of which it cannot be said what it consists of. */
export interface UnknownPoint {
  readonly id: string;
  readonly reason: string;
}

/**
 * Adds all that points consist of to a set. What is under a page that is in it already is in it too, so what points
 * share is read once, and memory is a bit for each piece.
 *
 * @returns points with pages that cannot be read: what they consist of is not known
 */
export async function markPoints(
  store: TreeStore,
  points: readonly Point[],
  pieces: PieceSet,
  signal?: AbortSignal,
): Promise<UnknownPoint[]> {
  const unknown: UnknownPoint[] = [];
  for (const point of points)
    try {
      for (const { root, size } of point.disks)
        await new TreeReader(store, { root: root ?? undefined, size }).references(
          (reference) => pieces.add(reference),
          signal,
        );
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      unknown.push({ id: point.id, reason: messageOf(error) });
    }
  return unknown;
}
