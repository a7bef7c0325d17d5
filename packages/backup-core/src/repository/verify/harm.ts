import type { Reference } from '../tree/page.ts';

/** What was found to be damaged, and why: memory for what is damaged, not for what is there. */
export class Harm {
  readonly #packs = new Map<string, string>();
  readonly #pieces = new Map<string, { readonly reference: Reference; readonly reason: string }>();

  get isEmpty(): boolean {
    return this.#packs.size + this.#pieces.size === 0;
  }

  /** Packs of which nothing can be read, by their ids. */
  get packs(): ReadonlyMap<string, string> {
    return this.#packs;
  }

  /** Pieces of other packs. */
  get pieces(): Iterable<{ readonly reference: Reference; readonly reason: string }> {
    return this.#pieces.values();
  }

  addPack(pack: string, reason: string): void {
    this.#packs.set(pack, reason);
  }

  add(reference: Reference, reason: string): void {
    const { pack, number } = reference;
    const hash = Buffer.from(reference.hash);
    this.#pieces.set(keyOf(reference), { reference: { hash, pack, number }, reason });
  }

  /** What another one says, too. */
  addAll(other: Harm): void {
    for (const [pack, reason] of other.packs) this.addPack(pack, reason);
    for (const { reference, reason } of other.pieces) this.add(reference, reason);
  }

  /** Why what is referred to is damaged; undefined: nothing is known against it. */
  reasonOf(reference: Reference): string | undefined {
    return (
      this.#packs.get(reference.pack) ??
      (this.#pieces.size === 0 ? undefined : this.#pieces.get(keyOf(reference))?.reason)
    );
  }
}

/** With the hash: who refers to a piece in vain does not harm who does so rightly. */
function keyOf({ hash, pack, number }: Reference): string {
  return `${pack}.${number}.${Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString('base64')}`;
}
