interface Place<T> {
  readonly item: T;
  ahead: Place<T> | undefined;
  behind: Place<T> | undefined;
}

/** Items in the order they came, any of which may step out: each step takes the same time, however many wait. */
export class Line<T> {
  readonly #places = new Map<T, Place<T>>();
  #head: Place<T> | undefined;
  #tail: Place<T> | undefined;

  get size(): number {
    return this.#places.size;
  }

  /** The one whose turn it is. */
  get first(): T | undefined {
    return this.#head?.item;
  }

  /** Lets an item that does not wait yet wait behind all others. */
  append(item: T): void {
    const place: Place<T> = { item, ahead: this.#tail, behind: undefined };
    this.#places.set(item, place);
    if (this.#tail === undefined) this.#head = place;
    else this.#tail.behind = place;
    this.#tail = place;
  }

  /** Takes an item out, wherever it stands. @returns whether it was there */
  remove(item: T): boolean {
    const place = this.#places.get(item);
    if (place === undefined) return false;
    const { ahead, behind } = place;
    if (ahead === undefined) this.#head = behind;
    else ahead.behind = behind;
    if (behind === undefined) this.#tail = ahead;
    else behind.ahead = ahead;
    return this.#places.delete(item);
  }

  /** Takes all out, in their order. */
  takeAll(): readonly T[] {
    const items: T[] = [];
    for (let place = this.#head; place !== undefined; place = place.behind) items.push(place.item);
    this.#places.clear();
    this.#head = this.#tail = undefined;
    return items;
  }
}
