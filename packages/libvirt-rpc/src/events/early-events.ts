/** At most so many events, and bytes of their payloads, are kept. */
const MAX_EVENTS = 1024;
const MAX_BYTES = 8 * 1024 * 1024;

/** Of so many registrations it is remembered that events were lost. */
const MAX_LOST = 1024;

interface Line<Event> {
  readonly events: { readonly event: Event; readonly bytes: number }[];
  bytes: number;
}

/**
 * Events that came before the reply which tells the callback id of their registration. Where there are too many
 * the longest line goes, so that a flood of one kind costs no other kind anything.
 */
export class EarlyEvents<Event> {
  readonly #lines = new Map<string, Line<Event>>();
  readonly #lost = new Set<string>();
  #everythingLost = false;
  #count = 0;
  #bytes = 0;

  /** @param id - of the registration that the event names */
  keep(id: string, event: Event, bytes: number): void {
    if (this.#lost.has(id) || this.#everythingLost) return;
    const line = this.#lines.get(id) ?? { events: [], bytes: 0 };
    this.#lines.set(id, line);
    line.events.push({ event, bytes });
    line.bytes += bytes;
    this.#count++;
    this.#bytes += bytes;
    if (this.#bytes > MAX_BYTES) this.#drop((candidate) => candidate.bytes);
    else if (this.#count > MAX_EVENTS) this.#drop((candidate) => candidate.events.length);
  }

  /** Takes the events of a registration, in order; undefined if some of them are lost. */
  take(id: string): { readonly event: Event; readonly bytes: number }[] | undefined {
    if (this.#lost.has(id) || this.#everythingLost) return undefined;
    return this.#remove(id)?.events ?? [];
  }

  clear(): void {
    this.#lines.clear();
    this.#lost.clear();
    this.#everythingLost = false;
    this.#count = 0;
    this.#bytes = 0;
  }

  #drop(size: (line: Line<Event>) => number): void {
    let longest: { readonly id: string; readonly size: number } | undefined;
    for (const [id, line] of this.#lines)
      if (longest === undefined || size(line) > longest.size) longest = { id, size: size(line) };
    if (longest === undefined) return;
    this.#remove(longest.id);
    // Ids that nobody will ever register for must not take memory either.
    if (this.#lost.size < MAX_LOST) this.#lost.add(longest.id);
    else this.#everythingLost = true;
  }

  #remove(id: string): Line<Event> | undefined {
    const line = this.#lines.get(id);
    if (line === undefined) return undefined;
    this.#lines.delete(id);
    this.#count -= line.events.length;
    this.#bytes -= line.bytes;
    return line;
  }
}
