import { appendRange } from '../../transfer/joined-ranges.ts';
import { DamagedError, messageOf } from '../../words/errors.ts';
import { BLOCK_SIZE } from '../format.ts';
import { KIND, MAX_STORED_BLOCK_BYTES } from '../packs/pack-format.ts';
import type { LoadedPack, PlacedEntry } from '../packs/pack-reader.ts';
import { PieceSet } from '../packs/piece-set.ts';
import type { Harm } from './harm.ts';
import { FANOUT, levelsOf, type Reference } from '../tree/page.ts';
import type { TreeStore } from '../tree/tree-store.ts';

/** A disk of a stored point. */
export interface CheckedDisk {
  /** Bytes. */
  readonly size: number;
  readonly root: Reference | null;
}

/** Bytes of a disk that cannot be read, and why. */
export interface DamagedRange {
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  readonly reason: string;
}

/** Checks pages, and that what they refer to is where they say. Pages that disks share are checked once. */
export class TreeCheck {
  /** All that the disks consist of. */
  readonly pieces: PieceSet = new PieceSet();
  readonly counts: { pages: number; blocks: number } = { pages: 0, blocks: 0 };
  readonly #store: TreeStore;
  readonly #harm: Harm;
  readonly #signal: AbortSignal | undefined;
  readonly #knownPacks = new Set<string>();
  #last: { readonly pack: string; readonly loaded: LoadedPack | undefined } | undefined;

  constructor(store: TreeStore, harm: Harm, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#harm = harm;
    this.#signal = signal;
  }

  async check({ root, size }: CheckedDisk): Promise<void> {
    if (root !== null) await this.#checkPage(root, levelsOf(size) - 1);
  }

  async #checkPage(reference: Reference, level: number): Promise<void> {
    await this.#attempt(reference, async () => {
      if (!this.pieces.add(reference) || !(await this.#isPackThere(reference.pack))) return;
      const page = await this.#store.load(reference, level, this.#signal);
      this.counts.pages++;
      for (let slot = 0; slot < FANOUT; slot++) {
        const child = page.get(slot);
        if (child === undefined) continue;
        if (level > 0) await this.#checkPage(child, level - 1);
        else await this.#checkBlock(child);
      }
    });
  }

  async #checkBlock(reference: Reference): Promise<void> {
    const { pack } = reference;
    // Neighbours are mostly in one pack: nothing is to be waited for then.
    if (this.#last?.pack !== pack)
      this.#last = { pack, loaded: (await this.#isPackThere(pack)) ? await this.#load(pack) : undefined };
    const { loaded } = this.#last;
    try {
      if (this.pieces.add(reference)) this.counts.blocks++;
      if (loaded !== undefined) checkEntry(loaded.locate(reference.number), reference);
    } catch (error) {
      this.#note(reference, error);
    }
  }

  /** Whether the table of a pack can be read; looked at once. */
  async #isPackThere(pack: string): Promise<boolean> {
    if (this.#harm.packs.has(pack)) return false;
    if (this.#knownPacks.has(pack)) return true;
    const loaded = await this.#load(pack);
    if (loaded !== undefined) this.#knownPacks.add(pack);
    return loaded !== undefined;
  }

  /** undefined: it is damaged, which is noted. */
  async #load(pack: string): Promise<LoadedPack | undefined> {
    try {
      return await this.#store.packs.load(pack, this.#signal);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      this.#harm.addPack(pack, messageOf(error));
      return undefined;
    }
  }

  async #attempt(reference: Reference, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#note(reference, error);
    }
  }

  #note(reference: Reference, error: unknown): void {
    if (!(error instanceof DamagedError)) throw error;
    const { pack, number } = reference;
    this.#harm.add(reference, `number ${number} of pack ${pack}: ${messageOf(error)}`);
  }
}

/** @throws DamagedError where the entry is not the block that is referred to */
function checkEntry({ kind, hash, length }: PlacedEntry, reference: Reference): void {
  if (kind !== KIND.block || Buffer.compare(hash, reference.hash) !== 0)
    throw new DamagedError('hash', 'another one is in its place');
  if (length === 0 || length > MAX_STORED_BLOCK_BYTES)
    throw new DamagedError('format', `a block cannot have ${length} bytes`);
}

/** Finds what of disks is harmed by what is damaged. Pages above nothing of it are looked at once for all disks. */
export class HarmedDisks {
  readonly #store: TreeStore;
  readonly #harm: Harm;
  readonly #signal: AbortSignal | undefined;
  readonly #clean = new PieceSet();

  constructor(store: TreeStore, harm: Harm, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#harm = harm;
    this.#signal = signal;
  }

  /** Ranges of a disk, in order; empty: it is whole as far as is known. */
  async rangesOf({ root, size }: CheckedDisk): Promise<DamagedRange[]> {
    const ranges: DamagedRange[] = [];
    if (root === null || this.#harm.isEmpty) return ranges;
    await this.#visit(root, levelsOf(size) - 1, 0, (first, count, reason) => {
      const offset = first * BLOCK_SIZE;
      const length = Math.min(size - offset, count * BLOCK_SIZE);
      if (length > 0) appendRange(ranges, { offset, length, reason });
    });
    return ranges;
  }

  /** @returns whether something under the page, or itself, is damaged */
  async #visit(
    reference: Reference,
    level: number,
    first: number,
    harmed: (first: number, count: number, reason: string) => void,
  ): Promise<boolean> {
    const reason = this.#harm.reasonOf(reference);
    const span = FANOUT ** level;
    if (reason !== undefined) harmed(first, span * FANOUT, reason);
    if (reason !== undefined) return true;
    if (this.#clean.has(reference)) return false;
    const page = await this.#store.load(reference, level, this.#signal);
    let isHarmed = false;
    for (let slot = 0; slot < FANOUT; slot++) {
      const child = page.get(slot);
      if (child === undefined) continue;
      const start = first + slot * span;
      if (level > 0) {
        if (await this.#visit(child, level - 1, start, harmed)) isHarmed = true;
        continue;
      }
      const why = this.#harm.reasonOf(child);
      if (why === undefined) continue;
      harmed(start, 1, why);
      isHarmed = true;
    }
    if (!isHarmed) this.#clean.add(reference);
    return isHarmed;
  }
}
