import { setTimeout } from 'node:timers/promises';
import {
  type ObjectInfo,
  type ObjectWriter,
  type Storage,
  StorageError,
  type StorageOptions,
} from '../ports/storage.ts';

/** What a storage is asked to do. */
export type OperationKind =
  'get' | 'read' | 'size' | 'put' | 'replace' | 'create' | 'write' | 'commit' | 'discard' | 'list' | 'remove';

/** One thing that a storage is asked to do. */
export interface Operation {
  /** From 1 on, in the order in which they begin. */
  readonly number: number;
  /** Which method it is, of the storage or of a writer. */
  readonly kind: OperationKind;
  /** Of the object; of a listing, its prefix. */
  readonly name: string;
}

/** What happens to an operation. */
export type Fault =
  /** It is not done, and fails. */
  | { readonly type: 'fail'; readonly error?: StorageError | undefined }
  /** It is done, and fails all the same: the answer was lost. */
  | { readonly type: 'fail-after'; readonly error?: StorageError | undefined }
  /** A listing ends with an error half-way; of what is written only the first half arrives. Fails. */
  | { readonly type: 'tear' }
  /** It begins so much later. */
  | { readonly type: 'delay'; readonly delayMs: number }
  /** It is done twice, as by a network that lost the first answer. */
  | { readonly type: 'repeat' }
  /** From here on nothing is done any more, as if the process had been killed before the operation. */
  | { readonly type: 'kill' }
  /** The same just behind the operation. */
  | { readonly type: 'kill-after' };

/** Decides what happens to an operation; undefined: what should. */
export type Faults = (operation: Operation) => Fault | undefined;

/** A storage with faults. */
export interface FaultyStorage extends Storage {
  /** What it was asked to do so far. */
  readonly operations: readonly Operation[];
}

/** A fault at chosen numbers of operations. */
export function faultAt(numbers: number | readonly number[], fault: Fault): Faults {
  const chosen = typeof numbers === 'number' ? [numbers] : numbers;
  return ({ number }) => (chosen.includes(number) ? fault : undefined);
}

/**
 * A storage that does what another does, but for the faults that are chosen for it. A test runs a piece of work with
 * one fault at operation 1, 2, 3 … until it is through without one.
 */
export function faultyStorage(inner: Storage, faults: Faults): FaultyStorage {
  return new Faulty(inner, faults);
}

class Faulty implements FaultyStorage {
  readonly description: string;
  readonly operations: Operation[] = [];
  readonly #inner: Storage;
  readonly #faults: Faults;
  #isKilled = false;

  constructor(inner: Storage, faults: Faults) {
    this.description = `${inner.description} with faults`;
    this.#inner = inner;
    this.#faults = faults;
  }

  get(name: string, options?: StorageOptions): Promise<Uint8Array> {
    return this.#attempt('get', name, () => this.#inner.get(name, options));
  }

  read(name: string, offset: number, length: number, options?: StorageOptions): Promise<Uint8Array> {
    return this.#attempt('read', name, () => this.#inner.read(name, offset, length, options));
  }

  size(name: string, options?: StorageOptions): Promise<number | undefined> {
    return this.#attempt('size', name, () => this.#inner.size(name, options));
  }

  put(name: string, bytes: Uint8Array, options?: StorageOptions): Promise<void> {
    return this.#attempt('put', name, () => this.#inner.put(name, bytes, options));
  }

  replace(name: string, bytes: Uint8Array, expected: Uint8Array, options?: StorageOptions): Promise<void> {
    return this.#attempt('replace', name, () => this.#inner.replace(name, bytes, expected, options));
  }

  async create(name: string, options?: StorageOptions): Promise<ObjectWriter> {
    const writer = await this.#attempt('create', name, () => this.#inner.create(name, options));
    return {
      write: (bytes, writeOptions) =>
        this.#attempt(
          'write',
          name,
          () => writer.write(bytes, writeOptions),
          () => writer.write(bytes.subarray(0, bytes.length >> 1), writeOptions),
        ),
      commit: (commitOptions) => this.#attempt('commit', name, () => writer.commit(commitOptions)),
      discard: () => this.#attempt('discard', name, () => writer.discard()),
    };
  }

  async *list(prefix: string, options?: StorageOptions): AsyncGenerator<ObjectInfo, void, undefined> {
    const list = async (share: number): Promise<Listing> => {
      const all = await collect(this.#inner.list(prefix, options));
      return { infos: all.slice(0, Math.floor(all.length * share)), isWhole: share === 1 };
    };
    const { infos, isWhole } = await this.#attempt(
      'list',
      prefix,
      () => list(1),
      () => list(0.5),
    );
    yield* infos;
    if (!isWhole) throw injected('the listing broke off');
  }

  remove(name: string, options?: StorageOptions): Promise<void> {
    return this.#attempt('remove', name, () => this.#inner.remove(name, options));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #attempt<T>(
    kind: OperationKind,
    name: string,
    work: () => Promise<T>,
    half?: () => Promise<T>,
  ): Promise<T> {
    this.#throwIfKilled();
    const operation = { number: this.operations.length + 1, kind, name };
    this.operations.push(operation);
    const fault = this.#faults(operation);
    if (fault?.type === 'kill') this.#isKilled = true;
    this.#throwIfKilled();
    const result = await this.#withFault(fault, operation, work, half);
    if (fault?.type === 'kill-after') this.#isKilled = true;
    this.#throwIfKilled();
    return result;
  }

  async #withFault<T>(
    fault: Fault | undefined,
    { kind, name, number }: Operation,
    work: () => Promise<T>,
    half: (() => Promise<T>) | undefined,
  ): Promise<T> {
    const failure = injected(`${kind} of ${name} was made to fail, as operation ${number}`);
    switch (fault?.type) {
      case 'fail':
        throw fault.error ?? failure;
      case 'fail-after':
        await work();
        throw fault.error ?? failure;
      case 'tear': {
        const torn = await half?.();
        // A listing tells what it has first.
        if (kind === 'list' && torn !== undefined) return torn;
        throw failure;
      }
      case 'delay':
        await setTimeout(fault.delayMs);
        return work();
      case 'repeat':
        await work();
        return work();
      default:
        return work();
    }
  }

  #throwIfKilled(): void {
    if (this.#isKilled) throw injected('the process was killed');
  }
}

interface Listing {
  readonly infos: readonly ObjectInfo[];
  readonly isWhole: boolean;
}

function injected(message: string): StorageError {
  return new StorageError('failed', message);
}

async function collect(infos: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  const all: ObjectInfo[] = [];
  for await (const info of infos) all.push(info);
  return all;
}
