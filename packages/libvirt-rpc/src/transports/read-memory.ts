/** The fewest bytes that are offered to a read: as many as Node itself would. One that brings as many is bulk data. */
const SMALL = 64 * 1024;

/** A block for bulk data: several reads of all that a socket's buffer holds. */
const LARGE = 1024 * 1024;

/**
 * Memory for what a socket reads, in blocks: large ones once bulk data comes, so that it needs few reads and few
 * objects, while a connection with small replies takes little. What was read is never written to again.
 */
export class ReadMemory {
  #block: Buffer = Buffer.alloc(0);
  #used = 0;
  #size = 2 * SMALL;

  /** Memory for the next read. */
  next(): Buffer {
    if (this.#block.length - this.#used < SMALL) {
      // Not zeroed, which matters to nobody: only what was read is handed out.
      this.#block = Buffer.allocUnsafeSlow(this.#size);
      this.#used = 0;
    }
    return this.#block.subarray(this.#used);
  }

  /** The first `count` bytes of what `next` has returned; they are the caller's. */
  take(count: number): Buffer {
    const start = this.#used;
    this.#used += count;
    if (count >= SMALL) this.#size = LARGE;
    return this.#block.subarray(start, this.#used);
  }
}
