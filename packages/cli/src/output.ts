import type { Writable } from 'node:stream';
import { visible } from './visible.ts';

const ITEMS_AT_ONCE = 1024;

/**
 * Where results go. A reader that leaves (`| head`) is no failure: nothing is printed from then on, and
 * whatever else the command does goes on.
 */
export class Output {
  /** Of the terminal; undefined where it is none. */
  readonly columns: number | undefined;
  readonly #stream: Writable;
  #hasReader = true;
  #failure: Error | undefined;

  constructor(stream: Writable & { readonly isTTY?: boolean; readonly columns?: number }) {
    this.#stream = stream;
    this.columns = stream.isTTY === true ? stream.columns : undefined;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#hasReader = false;
      if (error.code !== 'EPIPE') this.#failure ??= error;
    });
  }

  /** False once nobody reads any more: what only prints can stop. */
  get hasReader(): boolean {
    return this.#hasReader;
  }

  /** Writes a line, or several, and waits while nobody takes it. Names of elsewhere do no harm in it. */
  line(text: string, signal?: AbortSignal): Promise<void> {
    return this.#write(`${visible(text)}\n`, signal);
  }

  /** Many items as text, a bounded number of them in one write. */
  async each<Item>(
    items: readonly Item[],
    format: (item: Item) => string,
    signal?: AbortSignal,
  ): Promise<void> {
    for (let at = 0; at < items.length && this.#hasReader; at += ITEMS_AT_ONCE) {
      let text = '';
      for (const item of items.slice(at, at + ITEMS_AT_ONCE)) text += format(item);
      await this.#write(text, signal);
    }
  }

  /** An array, one element a line, without ever holding all of it. */
  async jsonArray<Item>(
    batches: AsyncIterable<readonly Item[]>,
    format: (item: Item) => string,
    signal: AbortSignal,
  ): Promise<void> {
    let before = '[\n  ';
    const element = (item: Item): string => {
      const text = before + format(item);
      before = ',\n  ';
      return text;
    };
    for await (const batch of batches) {
      if (!this.#hasReader) return;
      await this.each(batch, element, signal);
    }
    await this.#write(before.startsWith('[') ? '[\n]\n' : '\n]\n', signal);
  }

  async #write(text: string, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#hasReader) await this.#taken(text, signal);
    if (this.#failure !== undefined)
      throw new Error(`the output cannot be written: ${this.#failure.message}`, { cause: this.#failure });
  }

  /** Resolves when the text is taken, or never will be. */
  #taken(text: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#stream.write(text, (error) => {
        signal?.removeEventListener('abort', abort);
        if (error) this.#hasReader = false;
        // The error itself comes by the event, which may be later than this.
        if (error) setImmediate(resolve);
        else resolve();
      });
    });
  }
}

/** Says something besides the result, on a line of stderr. */
export function remark(text: string): void {
  process.stderr.write(`${visible(text)}\n`);
}
