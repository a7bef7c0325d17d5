/** Keeps what was used last, up to a sum of weights. What is being loaded is loaded once. */
export class BoundedCache<Value> {
  readonly #entries = new Map<string, { readonly value: Promise<Value>; weight: number }>();
  readonly #limit: number;
  #weight = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The value of a key: the one that is kept, or what `load` gives. A failure is not kept. */
  get(key: string, load: () => Promise<{ readonly value: Value; readonly weight: number }>): Promise<Value> {
    const kept = this.#entries.get(key);
    if (kept !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, kept);
      return kept.value;
    }
    const loading = load();
    const entry = { value: loading.then(({ value }) => value), weight: 0 };
    this.#entries.set(key, entry);
    loading.then(
      ({ weight }) => {
        if (this.#entries.get(key) === entry) this.#weigh(entry, weight);
      },
      () => {
        this.delete(key);
      },
    );
    return entry.value;
  }

  /** Forgets a key. */
  delete(key: string): void {
    this.#weight -= this.#entries.get(key)?.weight ?? 0;
    this.#entries.delete(key);
  }

  #weigh(entry: { weight: number }, weight: number): void {
    entry.weight = weight;
    this.#weight += weight;
    for (const key of this.#entries.keys()) {
      if (this.#weight <= this.#limit || this.#entries.size === 1) return;
      this.delete(key);
    }
  }
}
