import { DamagedError } from '../words/errors.ts';
import type { PackTable } from './packs/pack-format.ts';
import type { PieceSet } from './packs/piece-set.ts';
import { packUse, type StoredPack } from './packs/stored-packs.ts';
import type { TreeStore } from './tree/tree-store.ts';

/** The least of a pack that has to be in use. */
const SPARSE_SHARE = 0.5;

/** A pack of which little is in use. */
export interface SparsePack {
  readonly newest: StoredPack;
  readonly table: PackTable;
}

/** What a sweep has to do. */
export interface SweepPlan {
  /** Packs, with all their generations, of which nothing is in use. */
  readonly dead: readonly (readonly StoredPack[])[];
  /** Generations of packs that have a newer one. */
  readonly superseded: readonly StoredPack[];
  readonly sparse: readonly SparsePack[];
  /** About so many. */
  readonly freedBytes: number;
}

/** Finds out what of packs nothing that is in use needs. A pack that is damaged stays as it is. */
export async function planSweep(
  store: TreeStore,
  packs: ReadonlyMap<string, readonly StoredPack[]>,
  pieces: PieceSet,
  options: { readonly sparseShare?: number | undefined; readonly signal?: AbortSignal | undefined },
): Promise<SweepPlan> {
  const { sparseShare = SPARSE_SHARE, signal } = options;
  const plan = {
    dead: [] as (readonly StoredPack[])[],
    superseded: [] as StoredPack[],
    sparse: [] as SparsePack[],
    freedBytes: 0,
  };
  for (const [pack, generations] of packs) {
    const [newest, ...older] = generations as readonly [StoredPack, ...StoredPack[]];
    if (!pieces.hasPack(pack)) {
      plan.dead.push(generations);
      plan.freedBytes += bytesOf(generations);
      continue;
    }
    const table = await tableOf(store, newest, signal);
    const use = table && packUse(pack, table, pieces);
    if (table === undefined || use?.used !== pieces.count(pack)) continue;
    plan.superseded.push(...older);
    plan.freedBytes += bytesOf(older);
    if (use.usedBytes >= use.bytes * sparseShare) continue;
    plan.sparse.push({ newest, table });
    plan.freedBytes += use.bytes - use.usedBytes;
  }
  return plan;
}

/** undefined: it is damaged, or gone. */
async function tableOf(
  store: TreeStore,
  newest: StoredPack,
  signal: AbortSignal | undefined,
): Promise<PackTable | undefined> {
  try {
    return await store.packs.readTable(newest, signal);
  } catch (error) {
    if (error instanceof DamagedError) return undefined;
    throw error;
  }
}

function bytesOf(packs: readonly StoredPack[]): number {
  return packs.reduce((sum, { size }) => sum + size, 0);
}
