/**
 * Where a copy goes. Writes come in any order, several at once, never overlapping. The sink never calls back.
 */
export interface Sink {
  /** Whether bytes may come in shared memory, which some of Node's functions do not take. */
  readonly takesSharedMemory?: boolean | undefined;
  /** What it holds already, so that only what differs need be written; absent: nothing. */
  readonly existing?: ExistingBytes | undefined;
  /** The bytes are borrowed until the promise is settled. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** The range reads as zeroes afterwards. */
  zero(offset: number, length: number): Promise<void>;
  /** Everything was written: makes it durable and visible. */
  finish(): Promise<void>;
  /** Something failed, `finish` included: removes what was written, where that is something of its own. */
  discard(): Promise<void>;
  /** As `discard`, but keeps what was written for whoever goes on later. Absent: nobody can. */
  suspend?(): Promise<void>;
}

/** The bytes that a sink held when it was opened, or holds by now. */
export interface ExistingBytes {
  /** Fills the buffer with what is there from `offset` on. */
  readInto(buffer: Uint8Array, offset: number): Promise<void>;
}

/** A range of a disk: read, known to be zeroes, or read only to be compared with what is stored. */
export interface SinkRange {
  /** `zero` has no bytes; `data` and `audit` were read. */
  readonly type: 'data' | 'zero' | 'audit';
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** Ranges, in order, and the bytes of those that were read, one behind the other. */
export interface SinkBatch {
  /** Counts from 0 in the order of the ranges. Batches come in about that order, each exactly once. */
  readonly sequence: number;
  /** In order of offset, without overlap. */
  readonly ranges: readonly SinkRange[];
  /** In shared memory, so that a worker can have it. Borrowed until the promise is settled, then used again. */
  readonly buffer: Buffer;
}

/** A sink that takes whole buffers. */
export interface BatchSink {
  /** @param options - `signal` is aborted when the copy fails elsewhere: no batch that is missing will come */
  takeBatch(batch: SinkBatch, options: { readonly signal: AbortSignal }): Promise<void>;
}
