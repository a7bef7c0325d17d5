interface Place<T> {
  readonly value: T;
  before: Place<T> | undefined;
  behind: Place<T> | undefined;
}

/** A queue from which anybody may step out. However long it is, all of it takes the same time. */
export class Line<T> {
  readonly #places = new Map<T, Place<T>>();
  #first: Place<T> | undefined;
  #last: Place<T> | undefined;

  /** How many stand in it. */
  get size(): number {
    return this.#places.size;
  }

  /** The one that `shift` would take. */
  get first(): T | undefined {
    return this.#first?.value;
  }

  /** Puts something that is not in it at its end. */
  push(value: T): void {
    const place: Place<T> = { value, before: this.#last, behind: undefined };
    if (this.#last === undefined) this.#first = place;
    else this.#last.behind = place;
    this.#last = place;
    this.#places.set(value, place);
  }

  /** Takes the first out. */
  shift(): T | undefined {
    const first = this.#first;
    if (first !== undefined) this.delete(first.value);
    return first?.value;
  }

  /** Takes one out, wherever it stands; false if it is not in it. */
  delete(value: T): boolean {
    const place = this.#places.get(value);
    if (place === undefined) return false;
    if (place.before === undefined) this.#first = place.behind;
    else place.before.behind = place.behind;
    if (place.behind === undefined) this.#last = place.before;
    else place.behind.before = place.before;
    return this.#places.delete(value);
  }

  /** Takes all of them out, in their order. */
  clear(): T[] {
    const all: T[] = [];
    for (let place = this.#first; place !== undefined; place = place.behind) all.push(place.value);
    this.#places.clear();
    this.#first = this.#last = undefined;
    return all;
  }
}
