import type { FileHandle } from 'node:fs/promises';
import { StorageError } from '../../ports/storage.ts';

/** An abort is obeyed between two pieces of this size. */
const PIECE_BYTES = 8 * 1024 * 1024;

/** Reads from `offset` on until `into` is full. @throws StorageError `short` */
export async function fill(
  file: FileHandle,
  into: Uint8Array,
  offset: number,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let done = 0; done < into.length;) {
    signal?.throwIfAborted();
    const length = Math.min(PIECE_BYTES, into.length - done);
    const { bytesRead } = await file.read(into, done, length, offset + done);
    if (bytesRead === 0)
      throw new StorageError('short', `${name} ends at ${offset + done}`, { object: name });
    done += bytesRead;
  }
}

/** Writes all the bytes at `offset`. */
export async function writeAll(
  file: FileHandle,
  bytes: Uint8Array,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    signal?.throwIfAborted();
    const length = Math.min(PIECE_BYTES, bytes.length - done);
    const { bytesWritten } = await file.write(bytes, done, length, offset + done);
    done += bytesWritten;
  }
}
