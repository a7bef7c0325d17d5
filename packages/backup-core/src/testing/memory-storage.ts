import {
  type ObjectInfo,
  type ObjectWriter,
  type Storage,
  StorageError,
  type StorageOptions,
} from '../ports/storage.ts';

const NAME = /^(?!.*(^|\/)\.{1,2}(\/|$))[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;
const MAX_NAME_CHARACTERS = 255;

/** A storage in memory, which keeps every promise of a storage but durability. */
export function memoryStorage(): Storage {
  return new Memory();
}

class Memory implements Storage {
  readonly description = 'memory';
  readonly #objects = new Map<string, Uint8Array>();

  get(name: string, options?: StorageOptions): Promise<Uint8Array> {
    return attempt(name, options, () => new Uint8Array(this.#find(name)));
  }

  read(name: string, offset: number, length: number, options?: StorageOptions): Promise<Uint8Array> {
    return attempt(name, options, () => {
      const bytes = this.#find(name);
      if (offset + length > bytes.length)
        throw new StorageError('short', `${name} has ${bytes.length} bytes`, { object: name });
      return bytes.slice(offset, offset + length);
    });
  }

  size(name: string, options?: StorageOptions): Promise<number | undefined> {
    return attempt(name, options, () => this.#objects.get(name)?.length);
  }

  put(name: string, bytes: Uint8Array, options?: StorageOptions): Promise<void> {
    return attempt(name, options, () => {
      this.#add(name, new Uint8Array(bytes));
    });
  }

  replace(name: string, bytes: Uint8Array, expected: Uint8Array, options?: StorageOptions): Promise<void> {
    return attempt(name, options, () => {
      if (Buffer.compare(this.#find(name), expected) !== 0)
        throw new StorageError('changed', `${name} is not what it was`, { object: name });
      this.#objects.set(name, new Uint8Array(bytes));
    });
  }

  create(name: string, options?: StorageOptions): Promise<ObjectWriter> {
    return attempt(
      name,
      options,
      () =>
        new MemoryWriter(name, (bytes) => {
          this.#add(name, bytes);
        }),
    );
  }

  async *list(prefix: string, options?: StorageOptions): AsyncGenerator<ObjectInfo, void, undefined> {
    for (const name of [...this.#objects.keys()].sort()) {
      options?.signal?.throwIfAborted();
      const size = this.#objects.get(name)?.length;
      if (name.startsWith(prefix) && size !== undefined) yield await Promise.resolve({ name, size });
    }
  }

  remove(name: string, options?: StorageOptions): Promise<void> {
    return attempt(name, options, () => {
      this.#objects.delete(name);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #find(name: string): Uint8Array {
    const bytes = this.#objects.get(name);
    if (bytes === undefined) throw new StorageError('not-found', `there is no ${name}`, { object: name });
    return bytes;
  }

  #add(name: string, bytes: Uint8Array): void {
    if (this.#objects.has(name)) throw new StorageError('exists', `${name} exists already`, { object: name });
    this.#objects.set(name, bytes);
  }
}

class MemoryWriter implements ObjectWriter {
  readonly #name: string;
  readonly #add: (bytes: Uint8Array) => void;
  #pieces: Uint8Array[] | undefined = [];

  constructor(name: string, add: (bytes: Uint8Array) => void) {
    this.#name = name;
    this.#add = add;
  }

  write(bytes: Uint8Array, options?: StorageOptions): Promise<void> {
    return attempt(this.#name, options, () => {
      this.#open().push(new Uint8Array(bytes));
    });
  }

  commit(options?: StorageOptions): Promise<void> {
    return attempt(this.#name, options, () => {
      const pieces = this.#open();
      this.#pieces = undefined;
      this.#add(Buffer.concat(pieces));
    });
  }

  discard(): Promise<void> {
    this.#pieces = undefined;
    return Promise.resolve();
  }

  #open(): Uint8Array[] {
    if (this.#pieces !== undefined) return this.#pieces;
    throw new StorageError('failed', `${this.#name} is not being written any more`, { object: this.#name });
  }
}

async function attempt<T>(name: string, options: StorageOptions | undefined, work: () => T): Promise<T> {
  options?.signal?.throwIfAborted();
  if (!NAME.test(name) || name.length > MAX_NAME_CHARACTERS)
    throw new StorageError('failed', `not a name of an object: ${JSON.stringify(name.slice(0, 300))}`);
  return await Promise.resolve(work());
}
