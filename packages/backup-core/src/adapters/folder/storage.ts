import { type FileHandle, lstat, rename, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  type ObjectInfo,
  type ObjectWriter,
  type Storage,
  StorageError,
  type StorageOptions,
} from '../../ports/storage.ts';
import { processIdentity } from '../process-identity.ts';
import { Descriptors, type OpenFile } from './descriptors.ts';
import { errnoOf, storageError } from './failures.ts';
import { fill, writeAll } from './file-bytes.ts';
import { withGuard } from './guard.ts';
import { listObjects, reapPartials } from './list-objects.ts';
import { partialName, type Place, placeOf } from './object-names.ts';
import { FileWriter, publish } from './object-writer.ts';
import { createFile, makeFolder, makeRoot, openFile, openFolder, openRoot, within } from './open-folder.ts';

/** How a folder is used. */
export interface FolderOptions {
  /** false: its file system has no hard links; found out without being told, a little later. */
  readonly hardLinks?: boolean | undefined;
  /** Whether folders that the path leads through are made too. Default true. */
  readonly parents?: boolean | undefined;
}

/**
 * A storage whose objects are files. Nothing is opened before it is used; the folder is made, with those it is in,
 * when the first object is put.
 *
 * Folders it makes are open to their owner only (0700), files too (0600), whatever the umask. No symbolic link
 * below `path` is followed. Files of others that no object could be called are not touched and not listed.
 * Needs Linux with `/proc`. A name cannot be an object and the beginning of another's (`a` and `a/b`).
 */
export function folderStorage(
  path: string,
  options: FolderOptions = {},
): Storage & Required<Pick<Storage, 'readInto'>> {
  const { hardLinks = true, parents = true } = options;
  return new Folder(resolve(path), { hardLinks, parents });
}

class Folder implements Storage {
  readonly description: string;
  readonly #path: string;
  readonly #hardLinks: boolean;
  readonly #parents: boolean;
  readonly #descriptors: Descriptors;
  /** Folders that were made durable and cleared of what the dead left. */
  readonly #prepared = new Set<string>();
  #root: Promise<FileHandle> | undefined;

  constructor(
    path: string,
    { hardLinks, parents }: { readonly hardLinks: boolean; readonly parents: boolean },
  ) {
    this.description = path;
    this.#path = path;
    this.#hardLinks = hardLinks;
    this.#parents = parents;
    this.#descriptors = new Descriptors((name) => this.#open(name));
  }

  async get(name: string, { signal }: StorageOptions = {}): Promise<Uint8Array> {
    return this.#doing('read', name, signal, async () => {
      const { handle, size } = await this.#open(name);
      try {
        const bytes = Buffer.allocUnsafeSlow(size);
        await fill(handle, bytes, 0, name, signal);
        return bytes;
      } finally {
        await handle.close();
      }
    });
  }

  async read(
    name: string,
    offset: number,
    length: number,
    { signal }: StorageOptions = {},
  ): Promise<Uint8Array> {
    return this.#doing('read', name, signal, () =>
      this.#descriptors.use(name, async ({ handle, size }) => {
        checkRange(name, offset, length, size);
        const bytes = Buffer.allocUnsafeSlow(length);
        await fill(handle, bytes, offset, name, signal);
        return bytes;
      }),
    );
  }

  async readInto(
    name: string,
    offset: number,
    into: Uint8Array,
    { signal }: StorageOptions = {},
  ): Promise<void> {
    return this.#doing('read', name, signal, () =>
      this.#descriptors.use(name, async ({ handle, size }) => {
        checkRange(name, offset, into.length, size);
        await fill(handle, into, offset, name, signal);
      }),
    );
  }

  async size(name: string, { signal }: StorageOptions = {}): Promise<number | undefined> {
    return this.#doing('look at', name, signal, async () => {
      try {
        const { folder, base } = placeOf(name);
        const stats = await this.#inFolder(folder, (handle) => lstat(within(handle, base)));
        return stats.isFile() ? stats.size : undefined;
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  async put(name: string, bytes: Uint8Array, { signal }: StorageOptions = {}): Promise<void> {
    const writer = await this.create(name, { signal });
    try {
      await writer.write(bytes, { signal });
      await writer.commit({ signal });
    } catch (error) {
      // The first failure is the one to tell; what cannot be removed now is when this process is gone.
      await writer.discard().catch(() => undefined);
      throw error;
    }
  }

  async replace(
    name: string,
    bytes: Uint8Array,
    expected: Uint8Array,
    { signal }: StorageOptions = {},
  ): Promise<void> {
    await this.#doing('replace', name, signal, async () => {
      const { folder, base } = placeOf(name);
      await this.#inFolder(folder, (handle) =>
        withGuard(handle, base, signal, async () => {
          // What is only ever replaced has nobody else to clear up after the dead.
          if (!this.#prepared.has(folder.join('/'))) await reapPartials(handle);
          await checkUnchanged(handle, base, expected, name, signal);
          const partial = partialName(await processIdentity());
          const file = await createFile(handle, partial);
          try {
            try {
              await writeAll(file, bytes, 0, signal);
              await file.sync();
            } finally {
              await file.close();
            }
            await rename(within(handle, partial), within(handle, base));
          } catch (error) {
            await unlink(within(handle, partial));
            throw error;
          }
          await handle.sync();
        }),
      );
      await this.#descriptors.forget(name);
    });
  }

  async create(name: string, { signal }: StorageOptions = {}): Promise<ObjectWriter> {
    return this.#doing('create', name, signal, async () => {
      const place = placeOf(name);
      const folder = await this.#folderFor(place);
      try {
        const partial = partialName(await processIdentity());
        const file = await createFile(folder, partial);
        return new FileWriter(name, { folder, file, partial }, () =>
          publish(folder, partial, place.base, this.#hardLinks),
        );
      } catch (error) {
        await folder.close();
        throw error;
      }
    });
  }

  async *list(prefix: string, { signal }: StorageOptions = {}): AsyncGenerator<ObjectInfo, void, undefined> {
    try {
      signal?.throwIfAborted();
      const root = await this.#openRoot();
      yield* listObjects(root, prefix, signal);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw storageError(`list ${this.#path}`, error, undefined, signal);
    }
  }

  async remove(name: string, { signal }: StorageOptions = {}): Promise<void> {
    await this.#doing('remove', name, signal, async () => {
      const { folder, base } = placeOf(name);
      await this.#descriptors.forget(name);
      try {
        await this.#inFolder(folder, async (handle) => {
          await unlink(within(handle, base));
          await handle.sync();
        });
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error;
      }
    });
  }

  async close(): Promise<void> {
    await this.#descriptors.close();
    const root = this.#root;
    this.#root = undefined;
    // One that could not be opened is not open: whoever asked for it was told.
    await (await root?.catch(() => undefined))?.close();
  }

  async #doing<T>(
    what: string,
    name: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      signal?.throwIfAborted();
      return await work();
    } catch (error) {
      throw storageError(`${what} ${this.#path}/${name}`, error, name, signal);
    }
  }

  #openRoot(): Promise<FileHandle> {
    const root = (this.#root ??= openRoot(this.#path));
    // It may come into being, or become readable, later.
    root.catch(() => {
      if (this.#root === root) this.#root = undefined;
    });
    return root;
  }

  async #inFolder<T>(segments: readonly string[], work: (folder: FileHandle) => Promise<T>): Promise<T> {
    const folder = await openFolder(await this.#openRoot(), segments);
    try {
      return await work(folder);
    } finally {
      await folder.close();
    }
  }

  /** The folder for a new object: there, durable, and without what the dead left in the making. */
  async #folderFor({ folder: segments }: Place): Promise<FileHandle> {
    const key = segments.join('/');
    try {
      if (this.#prepared.has(key)) return await openFolder(await this.#openRoot(), segments);
    } catch (error) {
      // Somebody tidied up an empty folder.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    if (this.#prepared.size === 0) await makeRoot(this.#path, this.#parents);
    const folder = await makeFolder(await this.#openRoot(), segments);
    try {
      await reapPartials(folder);
    } catch (error) {
      await folder.close();
      throw error;
    }
    this.#prepared.add(key);
    return folder;
  }

  async #open(name: string): Promise<OpenFile> {
    const { folder, base } = placeOf(name);
    return this.#inFolder(folder, async (parent) => {
      const handle = await openFile(parent, base);
      try {
        const stats = await handle.stat();
        if (!stats.isFile())
          throw new StorageError('failed', `${this.#path}/${name} is no regular file`, { object: name });
        return { handle, size: stats.size };
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }
}

function checkRange(name: string, offset: number, length: number, size: number): void {
  if (offset + length <= size) return;
  const message = `${name} has ${size} bytes, not the ${length} from ${offset} on`;
  throw new StorageError('short', message, { object: name });
}

async function checkUnchanged(
  folder: FileHandle,
  base: string,
  expected: Uint8Array,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = await openFile(folder, base);
  try {
    const { size } = await file.stat();
    const bytes = Buffer.allocUnsafeSlow(size === expected.length ? size : 0);
    await fill(file, bytes, 0, name, signal);
    if (!bytes.equals(expected) || size !== expected.length)
      throw new StorageError('changed', `${name} is not what it was`, { object: name });
  } finally {
    await file.close();
  }
}
