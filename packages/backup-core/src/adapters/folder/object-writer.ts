import { type FileHandle, link, lstat, rename, unlink } from 'node:fs/promises';
import { type ObjectWriter, StorageError, type StorageOptions } from '../../ports/storage.ts';
import { errnoOf, storageError } from './failures.ts';
import { writeAll } from './file-bytes.ts';
import { withGuard } from './guard.ts';
import { within } from './open-folder.ts';

/** A file in the making. */
interface Making {
  readonly folder: FileHandle;
  readonly file: FileHandle;
  /** What it is called until it is whole. */
  readonly partial: string;
}

/** Writes a file under another name and gives it its own when it is whole. */
export class FileWriter implements ObjectWriter {
  readonly #name: string;
  readonly #making: Making;
  readonly #publish: () => Promise<void>;
  #written = 0;
  #state: 'writing' | 'broken' | 'done' = 'writing';

  constructor(name: string, making: Making, publish: () => Promise<void>) {
    this.#name = name;
    this.#making = making;
    this.#publish = publish;
  }

  async write(bytes: Uint8Array, { signal }: StorageOptions = {}): Promise<void> {
    await this.#doing('write', signal, async () => {
      await writeAll(this.#making.file, bytes, this.#written, signal);
      this.#written += bytes.length;
    });
  }

  async commit({ signal }: StorageOptions = {}): Promise<void> {
    await this.#doing('commit', signal, async () => {
      await this.#making.file.sync();
      signal?.throwIfAborted();
      await this.#publish();
      this.#state = 'done';
      await this.#close();
    });
  }

  async discard(): Promise<void> {
    if (this.#state === 'done') return;
    this.#state = 'done';
    const { folder, partial } = this.#making;
    try {
      await unlink(within(folder, partial));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw storageError(`discard ${this.#name}`, error, this.#name);
    } finally {
      await this.#close();
    }
  }

  async #doing(what: string, signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    const object = this.#name;
    try {
      if (this.#state !== 'writing')
        throw new StorageError('failed', `cannot ${what} ${object}: it is ${this.#state}`, { object });
      signal?.throwIfAborted();
      await work();
    } catch (error) {
      // What is in the file after a failed write or sync is not known.
      if (this.#state === 'writing') this.#state = 'broken';
      throw storageError(`${what} ${object}`, error, object, signal);
    }
  }

  async #close(): Promise<void> {
    await this.#making.file.close();
    await this.#making.folder.close();
  }
}

const WITHOUT_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** Gives a file its name, durably. @throws EEXIST if that is taken */
export async function publish(
  folder: FileHandle,
  partial: string,
  base: string,
  hardLinks: boolean,
): Promise<void> {
  const [from, to] = [within(folder, partial), within(folder, base)];
  if (!hardLinks || !(await linked(from, to)))
    await withGuard(folder, base, undefined, () => renameUnlessTaken(from, to, base));
  await folder.sync();
}

/** @returns false where the file system has no hard links */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
  } catch (error) {
    if (WITHOUT_LINKS.has(errnoOf(error) ?? '')) return false;
    throw error;
  }
  await unlink(from);
  return true;
}

async function renameUnlessTaken(from: string, to: string, object: string): Promise<void> {
  try {
    await lstat(to);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    await rename(from, to);
    return;
  }
  throw new StorageError('exists', `${object} exists already`, { object });
}
