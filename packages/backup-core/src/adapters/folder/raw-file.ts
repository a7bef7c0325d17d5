import { resolve } from 'node:path';
import type { ExistingBytes, Sink } from '../../ports/sink.ts';
import { sinkError } from './failures.ts';
import { fill, writeAll } from './file-bytes.ts';
import { PartialFile } from './partial-file.ts';

/** For `createRawFile`. */
export interface RawFileOptions {
  /**
   * Names what is going to be written, in one line. What an interrupted call with the same path and name has
   * written is gone on with; without a name nothing is.
   */
  readonly content?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A sparse raw image that only its owner can read. It is written as `.NAME.partial` and gets its own name when it
 * is whole, so a file with that name is always a whole disk. An existing file is never touched, no link followed.
 *
 * @param size - bytes of the disk
 * @throws SinkError `exists` if the file does, or somebody is writing it; `denied`, `full`, `size` (more than the
 * file system can have in a file) or `failed` if it cannot be created, or the signal's reason
 */
export async function createRawFile(
  path: string,
  size: number,
  { content, signal }: RawFileOptions = {},
): Promise<Sink> {
  const target = resolve(path);
  try {
    signal?.throwIfAborted();
    return new RawFile(target, await PartialFile.open(target, { size, content, signal }));
  } catch (error) {
    throw sinkError(`create ${target}`, error, signal);
  }
}

class RawFile implements Sink {
  readonly takesSharedMemory = true;
  readonly existing: ExistingBytes | undefined;
  readonly #target: string;
  readonly #partial: PartialFile;

  constructor(target: string, partial: PartialFile) {
    this.#target = target;
    this.#partial = partial;
    if (partial.isResumed) this.existing = { readInto: (buffer, offset) => this.#readInto(buffer, offset) };
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#do('write', () => writeAll(this.#partial.file, bytes, offset, undefined));
  }

  /** A range that was never written, now or when the same was begun, is a hole and reads as zeroes. */
  zero(): Promise<void> {
    return Promise.resolve();
  }

  async finish(): Promise<void> {
    try {
      await this.#do('finish', () => this.#partial.publish());
    } catch (error) {
      // The first failure is the one to tell.
      await this.discard().catch(() => undefined);
      throw error;
    }
  }

  discard(): Promise<void> {
    return this.#do('remove what was written of', () => this.#partial.drop());
  }

  suspend(): Promise<void> {
    return this.#do('put aside', () => this.#partial.leave());
  }

  #readInto(buffer: Uint8Array, offset: number): Promise<void> {
    const { file } = this.#partial;
    return this.#do('read', () => fill(file, buffer, offset, this.#target, undefined));
  }

  async #do(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw sinkError(`${what} ${this.#target}`, error);
    }
  }
}
