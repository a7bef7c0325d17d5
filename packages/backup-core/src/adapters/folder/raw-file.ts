import { type FileHandle, link, lstat, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { messageOf, SinkError } from '../../words/errors.ts';
import { syncFolder } from './durable.ts';
import { ulid } from '../../words/ulid.ts';
import type { Sink } from '../../ports/sink.ts';

/**
 * A sparse raw image. It is written under another name in the same folder and gets its own when it is whole,
 * so a file with that name is always a whole disk. An existing file is never touched.
 *
 * @param size - bytes of the disk
 * @throws SinkError if the file exists or its folder cannot be written
 */
export async function createRawFile(path: string, size: number): Promise<Sink> {
  const target = resolve(path);
  if (await exists(target)) throw new SinkError('exists', `${target} exists already`);
  const partial = join(dirname(target), `.${basename(target).slice(0, 200)}.${ulid()}.partial`);
  let file: FileHandle;
  try {
    file = await open(partial, 'wx');
  } catch (error) {
    throw new SinkError('failed', `cannot create ${target}: ${messageOf(error)}`, { cause: error });
  }
  const sink = new RawFile(file, target, partial);
  try {
    await file.truncate(size);
  } catch (error) {
    await sink.discard();
    throw new SinkError('failed', `cannot make ${target} ${size} bytes long: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return sink;
}

class RawFile implements Sink {
  readonly takesSharedMemory = true;
  readonly #file: FileHandle;
  readonly #target: string;
  readonly #partial: string;

  constructor(file: FileHandle, target: string, partial: string) {
    this.#file = file;
    this.#target = target;
    this.#partial = partial;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, offset + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw this.#failed('write', error);
    }
  }

  /** A range that was never written is a hole and reads as zeroes. */
  zero(): Promise<void> {
    return Promise.resolve();
  }

  async finish(): Promise<void> {
    try {
      await this.#file.sync();
      await this.#file.close();
      await publish(this.#partial, this.#target);
      await syncFolder(dirname(this.#target));
    } catch (error) {
      await this.discard();
      throw error instanceof SinkError ? error : this.#failed('finish', error);
    }
  }

  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#partial, { force: true });
  }

  #failed(what: string, error: unknown): SinkError {
    return new SinkError('failed', `cannot ${what} ${this.#target}: ${messageOf(error)}`, { cause: error });
  }
}

/** Gives a file its name unless that is taken: by a hard link where the file system has them. */
async function publish(partial: string, target: string): Promise<void> {
  try {
    await link(partial, target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || (await exists(target)))
      throw new SinkError('exists', `${target} was created by somebody else meanwhile`, { cause: error });
    await rename(partial, target);
    return;
  }
  await rm(partial);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
