import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { DamagedError, messageOf } from '../words/errors.ts';

/** A stored range of a disk. A list of runs is in order of offset, without overlap. */
export type Run =
  | { readonly type: 'zero'; readonly offset: number; readonly length: number }
  | {
      readonly type: 'data';
      readonly offset: number;
      readonly length: number;
      /** Where the bytes are in the data file. */
      readonly at: number;
      readonly sha256: string;
    };

const FLUSH_CHARACTERS = 256 * 1024;

/** Writes a list of runs, one line of JSON each. */
export class RunsWriter {
  readonly #file: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #pending = '';

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async add(run: Run): Promise<void> {
    this.#pending += `${JSON.stringify(run)}\n`;
    if (this.#pending.length >= FLUSH_CHARACTERS) await this.#flush();
  }

  /** @returns the SHA-256 of the list */
  async finish(): Promise<string> {
    await this.#flush();
    await this.#file.sync();
    return this.#hash.digest('hex');
  }

  async #flush(): Promise<void> {
    const text = this.#pending;
    this.#pending = '';
    this.#hash.update(text);
    await this.#file.appendFile(text);
  }
}

/** @throws DamagedError unless the list is the one that was stored */
export async function checkRuns(path: string, expectedSha256: string): Promise<void> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (error) {
    throw new DamagedError('hash', `cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  if (hash.digest('hex') !== expectedSha256)
    throw new DamagedError('hash', `${path} is damaged: its SHA-256 is wrong`);
}

/** The runs of a list that was checked. */
export async function* readRuns(path: string): AsyncGenerator<Run, void, undefined> {
  const input = createReadStream(path);
  try {
    for await (const line of createInterface({ input })) {
      yield JSON.parse(line) as Run;
    }
  } finally {
    input.destroy();
  }
}
