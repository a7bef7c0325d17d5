import { BackupUsageError } from '../../words/errors.ts';
import { blocksOf } from '../format.ts';
import { FANOUT, levelsOf, Page, type Reference } from './page.ts';

/** A disk as an earlier point has it. */
export interface BaseTree {
  /** undefined: it is all zeroes. */
  readonly root: Reference | undefined;
  /** Bytes. */
  readonly size: number;
}

/** Where pages come from and go to. */
export interface PageStore {
  load(reference: Reference, level: number): Promise<Page>;
  /** Puts a page that has children. */
  store(page: Page, hash: Buffer): Promise<Reference>;
}

interface OpenPage {
  readonly page: Page;
  /** Among the pages of its level. */
  readonly index: number;
  /** Of the page it began as. */
  readonly baseHash: Uint8Array | undefined;
  changed: boolean;
}

/**
 * Makes the tree of a disk from that of a base and what differs, in order of blocks. Pages that nothing touches are
 * shared without being read; in memory is one page a level.
 */
export class TreeBuilder {
  readonly #pages: PageStore;
  readonly #hashKey: Uint8Array | undefined;
  readonly #size: number;
  readonly #base: BaseTree;
  readonly #top: number;
  /** The open page of each level, each a child of the one above. */
  readonly #path: (OpenPage | undefined)[];
  #root: Reference | undefined;
  #next = 0;

  private constructor(size: number, base: BaseTree, pages: PageStore, hashKey: Uint8Array | undefined) {
    this.#pages = pages;
    this.#hashKey = hashKey;
    this.#size = size;
    this.#base = base;
    this.#top = levelsOf(size) - 1;
    this.#path = Array.from({ length: this.#top + 1 }, () => undefined);
  }

  /** @param base - absent: a disk of zeroes */
  static async create(
    options: {
      readonly size: number;
      readonly base?: BaseTree | undefined;
      readonly hashKey?: Uint8Array | undefined;
    },
    pages: PageStore,
  ): Promise<TreeBuilder> {
    const { size, base = { root: undefined, size }, hashKey } = options;
    const builder = new TreeBuilder(size, base, pages, hashKey);
    await builder.#adopt();
    return builder;
  }

  /** Puts blocks one behind the other: a reference, `zero`, or `same` for what the base has. */
  async put(first: number, blocks: readonly (Reference | 'zero' | 'same')[]): Promise<void> {
    this.#advance(first, first + blocks.length);
    for (let at = 0; at < blocks.length;) {
      const index = Math.floor((first + at) / FANOUT);
      const end = Math.min(blocks.length, (index + 1) * FANOUT - first);
      const part = blocks.slice(at, end);
      if (part.some((block) => block !== 'same'))
        setBlocks(await this.#open(0, index), (first + at) % FANOUT, part);
      at = end;
    }
  }

  /** Makes blocks from `first` up to `end` zero. Costs nothing where they are. */
  async zero(first: number, end: number): Promise<void> {
    this.#advance(first, end);
    await this.#zero(this.#top, 0, first, end);
  }

  /** @returns undefined for a disk of zeroes */
  async finish(): Promise<Reference | undefined> {
    if (this.#base.size > this.#size) {
      // What is beyond the end would come back with the next growth.
      this.#next = Math.min(this.#next, blocksOf(this.#size));
      await this.zero(blocksOf(this.#size), FANOUT ** (this.#top + 1));
    }
    await this.#close(this.#top);
    return this.#root;
  }

  #advance(first: number, end: number): void {
    if (first < this.#next)
      throw new BackupUsageError('state', `block ${first} comes behind block ${this.#next - 1}`);
    this.#next = end;
  }

  /** Fits the base's tree to this depth. */
  async #adopt(): Promise<void> {
    let root = this.#base.root;
    let level = levelsOf(this.#base.size) - 1;
    for (; root !== undefined && level > this.#top; level--)
      root = (await this.#pages.load(root, level)).get(0);
    if (root === undefined || level >= this.#top) {
      this.#root = root;
      return;
    }
    // Grown: the old root becomes the first child of new pages above it.
    const { page } = await this.#open(level + 1, 0);
    page.set(0, root);
    for (let above = level + 1; above <= this.#top; above++) (this.#path[above] as OpenPage).changed = true;
  }

  async #open(level: number, index: number): Promise<OpenPage> {
    const present = this.#path[level];
    if (present?.index === index) return present;
    const parent = level === this.#top ? undefined : await this.#open(level + 1, Math.floor(index / FANOUT));
    await this.#close(level);
    const base = parent === undefined ? this.#root : parent.page.get(index % FANOUT);
    const page = base === undefined ? Page.empty(level) : (await this.#pages.load(base, level)).copy();
    const opened = { page, index, baseHash: base && Buffer.from(base.hash), changed: false };
    this.#path[level] = opened;
    return opened;
  }

  /** Closes the page of a level, those below it first. */
  async #close(level: number): Promise<void> {
    for (let below = 0; below <= level; below++) {
      const open = this.#path[below];
      this.#path[below] = undefined;
      if (open === undefined || !open.changed) continue;
      const reference = await this.#reference(open);
      if (reference === 'base') continue;
      const parent = this.#path[below + 1];
      if (parent === undefined) {
        this.#root = reference;
      } else {
        if (reference === undefined) parent.page.clear(open.index % FANOUT);
        else parent.page.set(open.index % FANOUT, reference);
        parent.changed = true;
      }
    }
  }

  async #reference({ page, baseHash }: OpenPage): Promise<Reference | undefined | 'base'> {
    if (page.isEmpty) return undefined;
    const hash = page.hash(this.#hashKey);
    if (baseHash !== undefined && hash.equals(baseHash)) return 'base';
    return this.#pages.store(page, hash);
  }

  async #zero(level: number, index: number, first: number, end: number): Promise<void> {
    const span = FANOUT ** level;
    const start = index * span * FANOUT;
    const open = await this.#open(level, index);
    const from = Math.max(0, Math.floor((first - start) / span));
    const to = Math.min(FANOUT, Math.ceil((end - start) / span));
    for (let slot = from; slot < to; slot++) {
      const child = index * FANOUT + slot;
      const isOpen = level > 0 && this.#path[level - 1]?.index === child;
      if (!open.page.has(slot) && !isOpen) continue;
      if (first <= child * span && end >= (child + 1) * span) {
        for (let below = 0; isOpen && below < level; below++) this.#path[below] = undefined;
        open.page.clear(slot);
        open.changed = true;
      } else {
        await this.#zero(level - 1, child, first, end);
      }
    }
  }
}

function setBlocks(open: OpenPage, slot: number, blocks: readonly (Reference | 'zero' | 'same')[]): void {
  for (const [index, block] of blocks.entries()) {
    if (block === 'same') continue;
    if (block === 'zero') open.page.clear(slot + index);
    else open.page.set(slot + index, block);
    open.changed = true;
  }
}
