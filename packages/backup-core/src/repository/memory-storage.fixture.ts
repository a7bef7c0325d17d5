import { type ObjectInfo, type ObjectWriter, type Storage, StorageError } from '../ports/storage.ts';

/** Objects in a map, to be looked at and damaged by tests. */
export class TestStorage implements Storage {
  readonly description = 'memory';
  readonly objects: Map<string, Buffer> = new Map<string, Buffer>();

  get(name: string): Promise<Uint8Array> {
    return Promise.resolve().then(() => Buffer.from(this.#object(name)));
  }

  read(name: string, offset: number, length: number): Promise<Uint8Array> {
    return Promise.resolve().then(() => {
      const bytes = this.#object(name).subarray(offset, offset + length);
      if (bytes.length < length) throw new StorageError('short', `${name} is short`, { object: name });
      return Buffer.from(bytes);
    });
  }

  size(name: string): Promise<number | undefined> {
    return Promise.resolve(this.objects.get(name)?.length);
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return Promise.resolve().then(() => {
      if (this.objects.has(name)) throw new StorageError('exists', `${name} exists`, { object: name });
      this.objects.set(name, Buffer.from(bytes));
    });
  }

  replace(name: string, bytes: Uint8Array, expected: Uint8Array): Promise<void> {
    return Promise.resolve().then(() => {
      if (Buffer.compare(this.#object(name), expected) !== 0)
        throw new StorageError('changed', `${name} changed`, { object: name });
      this.objects.set(name, Buffer.from(bytes));
    });
  }

  create(name: string): Promise<ObjectWriter> {
    let pieces: Buffer[] = [];
    return Promise.resolve({
      write: (bytes) => {
        pieces.push(Buffer.from(bytes));
        return Promise.resolve();
      },
      commit: () => this.put(name, Buffer.concat(pieces)),
      discard: () => {
        pieces = [];
        return Promise.resolve();
      },
    });
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo, void, undefined> {
    for (const [name, bytes] of [...this.objects])
      if (name.startsWith(prefix)) yield await Promise.resolve({ name, size: bytes.length });
  }

  remove(name: string): Promise<void> {
    this.objects.delete(name);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #object(name: string): Buffer {
    const bytes = this.objects.get(name);
    if (bytes === undefined) throw new StorageError('not-found', `there is no ${name}`, { object: name });
    return bytes;
  }
}
