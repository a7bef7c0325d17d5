import { BLOCK_SIZE } from '../format.ts';
import type { BaseTree } from './builder.ts';
import { FANOUT, levelsOf, type Page, type Reference } from './page.ts';
import type { TreeStore } from './tree-store.ts';

/** Blocks one behind the other that are all zero or all data. */
export interface BlockRun {
  readonly type: 'data' | 'zero';
  readonly first: number;
  readonly count: number;
}

/** Takes blocks whose page cannot be read, and why; may throw. */
export type OnLost = (first: number, count: number, error: unknown) => void;

/** Finds the pages of one disk at one point. */
export class TreeReader {
  readonly #store: TreeStore;
  readonly #tree: BaseTree;

  constructor(store: TreeStore, tree: BaseTree) {
    this.#store = store;
    this.#tree = tree;
  }

  /** The page that refers to blocks from `index` times 1,024 on; undefined: they are zero. */
  async leaf(index: number, signal?: AbortSignal): Promise<Page | undefined> {
    const top = levelsOf(this.#tree.size) - 1;
    // Beyond the end there is nothing, whatever the page says.
    if (index * FANOUT * BLOCK_SIZE >= this.#tree.size) return undefined;
    let reference = this.#tree.root;
    for (let level = top; level > 0 && reference !== undefined; level--) {
      const page = await this.#store.load(reference, level, signal);
      reference = page.get(Math.floor(index / FANOUT ** (level - 1)) % FANOUT);
    }
    return reference === undefined ? undefined : this.#store.load(reference, 0, signal);
  }

  /**
   * Which blocks are stored, in order, without reading any.
   *
   * @param lost - called for blocks of which it cannot be known, which count as zero then; absent: that is thrown
   */
  async *runs(signal?: AbortSignal, lost?: OnLost): AsyncGenerator<BlockRun, void, undefined> {
    const blocks = Math.ceil(this.#tree.size / BLOCK_SIZE);
    const top = levelsOf(this.#tree.size) - 1;
    let pending: BlockRun | undefined;
    for await (const run of this.#walk(this.#tree.root, top, 0, { signal, lost })) {
      const count = Math.min(run.count, blocks - run.first);
      if (count <= 0) break;
      if (pending?.type === run.type) {
        pending = { ...pending, count: pending.count + count };
        continue;
      }
      if (pending !== undefined) yield pending;
      pending = { ...run, count };
    }
    if (pending !== undefined) yield pending;
  }

  /**
   * Shows every page and block that is stored, pages before what is under them.
   *
   * @param visit - `level` is -1 for a block. false: what is under that page is left out, as it was seen already
   */
  async references(
    visit: (reference: Reference, level: number) => boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    const descend = async (reference: Reference, level: number): Promise<void> => {
      if (!visit(reference, level) || level < 0) return;
      const page = await this.#store.load(reference, level, signal);
      for (let slot = 0; slot < FANOUT; slot++) {
        const child = page.get(slot);
        if (child === undefined) continue;
        if (level === 0) visit(child, -1);
        else await descend(child, level - 1);
      }
    };
    if (this.#tree.root !== undefined) await descend(this.#tree.root, levelsOf(this.#tree.size) - 1);
  }

  /** The blocks under a page, or under one that is not there. */
  async *#walk(
    reference: BaseTree['root'],
    level: number,
    first: number,
    options: { readonly signal: AbortSignal | undefined; readonly lost: OnLost | undefined },
  ): AsyncGenerator<BlockRun, void, undefined> {
    const span = FANOUT ** level;
    const count = span * FANOUT;
    const page = reference && (await this.#loadOr(reference, level, { first, count }, options));
    if (page === undefined) {
      yield { type: 'zero', first, count };
      return;
    }
    for (let slot = 0; slot < FANOUT; slot++) {
      const start = first + slot * span;
      if (start * BLOCK_SIZE >= this.#tree.size) return;
      if (!page.has(slot)) yield { type: 'zero', first: start, count: span };
      else if (level === 0) yield { type: 'data', first: start, count: 1 };
      else yield* this.#walk(page.get(slot), level - 1, start, options);
    }
  }

  async #loadOr(
    reference: Reference,
    level: number,
    blocks: { readonly first: number; readonly count: number },
    { signal, lost }: { readonly signal: AbortSignal | undefined; readonly lost: OnLost | undefined },
  ): Promise<Page | undefined> {
    try {
      return await this.#store.load(reference, level, signal);
    } catch (error) {
      if (lost === undefined || signal?.aborted === true) throw error;
      lost(blocks.first, blocks.count, error);
      return undefined;
    }
  }
}
