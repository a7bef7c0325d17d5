import { NbdProtocolError } from '../errors.ts';

/** No server has a reason to cut a payload finer than a sector; beyond this a reply is a flood. */
const SMALLEST_CHUNK = 512;
const SPARE_CHUNKS = 2;

/**
 * The proof that the content chunks of one READ cover its range exactly once.
 *
 * Chunks may come in any order. Neighbours that arrive in sequence are one entry, so the usual reply costs
 * one object; the rest is sorted once, at the end.
 */
export class Coverage {
  readonly #offset: number;
  readonly #length: number;
  readonly #runs: { start: number; end: number }[] = [];
  #covered = 0;
  #chunks = 0;

  constructor(offset: number, length: number) {
    this.#offset = offset;
    this.#length = length;
  }

  /** Content chunks seen so far. */
  get chunks(): number {
    return this.#chunks;
  }

  /** Notes a chunk. @throws NbdProtocolError if it lies outside, or more arrived than was asked for. */
  add(offset: number, length: number): void {
    if (length === 0 || offset < this.#offset || length > this.#offset + this.#length - offset)
      throw violation(
        `content chunk of ${length} bytes at ${offset} for a READ of ${this.#length} bytes at ${this.#offset}`,
      );
    this.#covered += length;
    this.#chunks++;
    if (this.#covered > this.#length)
      throw violation(`content sent twice for a READ of ${this.#length} bytes at ${this.#offset}`);
    if (this.#chunks > this.#length / SMALLEST_CHUNK + SPARE_CHUNKS)
      throw violation(`${this.#chunks} content chunks for a READ of ${this.#length} bytes`);
    const last = this.#runs.at(-1);
    if (last?.end === offset) last.end += length;
    else this.#runs.push({ start: offset, end: offset + length });
  }

  /** @throws NbdProtocolError unless every byte of the range was covered exactly once. */
  prove(): void {
    if (this.#covered !== this.#length)
      throw violation(`${this.#covered} of ${this.#length} bytes sent for a READ at ${this.#offset}`);
    this.#runs.sort((a, b) => a.start - b.start);
    let next = this.#offset;
    for (const run of this.#runs) {
      if (run.start !== next) throw violation(`overlapping content chunks at ${run.start}`);
      next = run.end;
    }
  }
}

function violation(message: string): NbdProtocolError {
  return new NbdProtocolError(message, 'Structured reply types');
}
