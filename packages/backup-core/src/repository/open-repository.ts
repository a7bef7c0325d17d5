import type { Owners } from '../words/owner.ts';
import type { TreeStore } from './tree/tree-store.ts';

/** A repository that is open: what everything done in it needs. */
export interface OpenRepository {
  /** Part of the names of its jobs and checkpoints. */
  readonly id: string;
  readonly store: TreeStore;
  /** Tells whether those who left something are still at work. */
  readonly owners: Owners;
}
