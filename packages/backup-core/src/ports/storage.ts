/**
 * Where a repository keeps its objects: a flat space of names, each with bytes. A folder, an object store or memory
 * can be one. `libvirt-ts-backup/testing` has the tests that every storage must pass.
 *
 * Names are ASCII: segments of `[A-Za-z0-9._-]` joined by `/`, none of them `.`, `..` or empty, at most 255
 * characters in all. An object is whole or not there: nobody ever sees half of one.
 *
 * Durable means: after a power cut, the bytes and the name are there. `put`, `replace`, `remove` and
 * `ObjectWriter.commit` are durable when their promise is fulfilled.
 *
 * What fails is a `StorageError`, or the signal's reason.
 */
export interface Storage {
  /** What a message calls it, such as the folder's path. Holds no secret. */
  readonly description: string;

  /** The whole of an object, for objects that are small. @throws StorageError `not-found` */
  get(name: string, options?: StorageOptions): Promise<Uint8Array>;

  /**
   * Exactly `length` bytes from `offset` on. @throws StorageError `not-found`; `short` where the object ends
   * before
   */
  read(name: string, offset: number, length: number, options?: StorageOptions): Promise<Uint8Array>;

  /**
   * As `read`, into the caller's memory, which may be shared memory: it is written until the promise is settled.
   * Saves a buffer for each read where a storage can do it.
   */
  readInto?(name: string, offset: number, into: Uint8Array, options?: StorageOptions): Promise<void>;

  /** The object's size in bytes; undefined: there is none. */
  size(name: string, options?: StorageOptions): Promise<number | undefined>;

  /**
   * Stores an object as a whole. The bytes are borrowed until the promise is settled.
   *
   * @throws StorageError `exists` if there is one of that name, which stays untouched. Of several who put one name
   * at once exactly one succeeds. A failure of any other kind may have stored the object.
   */
  put(name: string, bytes: Uint8Array, options?: StorageOptions): Promise<void>;

  /**
   * Replaces an object as a whole, if its bytes are those of `expected`; readers see the old bytes or the new ones.
   *
   * @throws StorageError `not-found`; `changed` if it is not, or no longer, what was expected
   */
  replace(name: string, bytes: Uint8Array, expected: Uint8Array, options?: StorageOptions): Promise<void>;

  /** Begins an object that is written front to back. Nothing is seen of it before `commit`. */
  create(name: string, options?: StorageOptions): Promise<ObjectWriter>;

  /** Every object whose name starts with `prefix`, in any order; complete or an error, never a part. */
  list(prefix: string, options?: StorageOptions): AsyncIterable<ObjectInfo>;

  /** Removes an object; that there is none is fine. */
  remove(name: string, options?: StorageOptions): Promise<void>;

  /** Lets go of what it holds open. */
  close(): Promise<void>;
}

/** For every call of a storage. */
export interface StorageOptions {
  readonly signal?: AbortSignal | undefined;
}

/** An object as a listing shows it. */
export interface ObjectInfo {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/** An object that is being written. One `write` at a time. */
export interface ObjectWriter {
  /** Appends; the bytes are borrowed until the promise is settled. */
  write(bytes: Uint8Array, options?: StorageOptions): Promise<void>;
  /** Gives the object its name. @throws StorageError `exists` as `put` does */
  commit(options?: StorageOptions): Promise<void>;
  /** Gives it up and removes what was written; after a `commit` it does nothing. */
  discard(): Promise<void>;
}

/** What a storage says when it fails. */
export type StorageReason = 'not-found' | 'exists' | 'changed' | 'short' | 'denied' | 'full' | 'failed';

/** A storage could not do what was asked. The repository says what that means. */
export class StorageError extends Error {
  static {
    this.prototype.name = 'StorageError';
  }
  readonly code = 'ERR_BACKUP_STORAGE';
  readonly reason: StorageReason;
  /** Of the object, where it is about one. */
  readonly object: string | undefined;

  constructor(
    reason: StorageReason,
    message: string,
    fields: { readonly object?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: fields.cause });
    this.reason = reason;
    this.object = fields.object;
  }
}
