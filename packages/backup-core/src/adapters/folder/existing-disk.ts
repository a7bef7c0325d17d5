import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ExistingBytes, Sink } from '../../ports/sink.ts';
import { SinkError } from '../../words/errors.ts';
import { errnoOf, sinkError } from './failures.ts';
import { fill, writeAll } from './file-bytes.ts';

const { O_EXCL, O_NONBLOCK, O_RDWR } = constants;
/** The most that is looked at, and written as zeroes, at once. */
const PIECE_BYTES = 1024 * 1024;
/** What differs in no byte of so many is not written. */
const GRAIN_BYTES = 64 * 1024;

/**
 * A file or block device that is there already and whose bytes are replaced in place; those behind the disk's end
 * stay. Nothing brings back what was written over, and until it is finished it is neither the old disk nor the new.
 * Links are followed: devices go by many names.
 *
 * @param size - bytes of the disk
 * @throws SinkError `size` if it is smaller; `denied` if it is in use, as far as that can be told: a device that is
 * mounted or part of another, a file or device that a process has locked as QEMU does; or `failed`
 */
export async function openExistingDisk(
  path: string,
  size: number,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Sink> {
  const target = resolve(path);
  try {
    signal?.throwIfAborted();
    const found = await stat(target);
    if (!found.isFile() && !found.isBlockDevice())
      throw new SinkError('failed', `${target} is neither a file nor a block device`);
    // Of a device this asks the kernel to refuse what is in use; of a file it would be undefined.
    const file = await open(target, O_RDWR | O_NONBLOCK | (found.isBlockDevice() ? O_EXCL : 0));
    try {
      const opened = await file.stat();
      if (opened.ino !== found.ino || opened.dev !== found.dev)
        throw new SinkError('failed', `${target} was exchanged meanwhile`);
      await refuseLocked(opened, target);
      await refuseSmaller(file, opened, size, target);
      return new ExistingDisk(file, target);
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (error) {
    if (errnoOf(error) === 'EBUSY')
      throw new SinkError('denied', `${target} is in use: mounted, or part of another device`, {
        cause: error,
      });
    throw sinkError(`open ${target}`, error, signal);
  }
}

class ExistingDisk implements Sink {
  readonly takesSharedMemory = true;
  readonly existing: ExistingBytes;
  readonly #file: FileHandle;
  readonly #target: string;
  #isOpen = true;

  constructor(file: FileHandle, target: string) {
    this.#file = file;
    this.#target = target;
    this.existing = {
      readInto: (buffer, offset) => this.#do('read', () => fill(file, buffer, offset, target, undefined)),
    };
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#do('write', () => writeAll(this.#file, bytes, offset, undefined));
  }

  /** Writes only where anything else is. */
  zero(offset: number, length: number): Promise<void> {
    return this.#do('write', async () => {
      const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, length));
      for (let at = 0; at < length; at += buffer.length) {
        const piece = buffer.subarray(0, Math.min(buffer.length, length - at));
        await fill(this.#file, piece, offset + at, this.#target, undefined);
        for (const [from, bytes] of notZero(piece))
          await writeAll(this.#file, ZEROES.subarray(0, bytes), offset + at + from, undefined);
      }
    });
  }

  async finish(): Promise<void> {
    try {
      await this.#do('finish', () => this.#file.sync());
    } finally {
      await this.discard();
    }
  }

  /** What was written stays. */
  async discard(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#do('close', () => this.#file.close());
  }

  async #do(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw sinkError(`${what} ${this.#target}`, error);
    }
  }
}

const ZEROES: Buffer = Buffer.alloc(GRAIN_BYTES);

/** Places and lengths of what is not zero. */
function* notZero(piece: Buffer): Generator<readonly [number, number]> {
  for (let at = 0; at < piece.length; at += GRAIN_BYTES) {
    const grain = piece.subarray(at, at + GRAIN_BYTES);
    if (!grain.equals(ZEROES.subarray(0, grain.length))) yield [at, grain.length];
  }
}

/** Devices have no size that Node would tell: their last byte is there, or it is not. */
async function refuseSmaller(file: FileHandle, found: Stats, size: number, target: string): Promise<void> {
  if (found.isFile() && found.size < size)
    throw new SinkError('size', `${target} has ${found.size} bytes, and the disk ${size}`);
  if (found.isFile() || size === 0) return;
  const { bytesRead } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  if (bytesRead === 0)
    throw new SinkError('size', `${target} is smaller than the disk, which has ${size} bytes`);
}

/** QEMU locks its images; the kernel shows whose locks there are. */
async function refuseLocked({ dev, ino }: Stats, target: string): Promise<void> {
  let locks: string;
  try {
    locks = await readFile('/proc/locks', 'utf8');
  } catch (error) {
    // A kernel, or a container, that does not show them.
    if (['ENOENT', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) return;
    throw error;
  }
  const place = `${hex(majorOf(dev))}:${hex(minorOf(dev))}:${ino}`;
  const lock = locks.split('\n').find((line) => line.split(/\s+/).includes(place));
  if (lock !== undefined) throw new SinkError('denied', `${target} is in use: it is locked (${lock.trim()})`);
}

// As the C library packs device numbers; they may be longer than what bit operations take.
function majorOf(dev: number): number {
  return Number(((BigInt(dev) >> 8n) & 0xfffn) | ((BigInt(dev) >> 32n) & 0xfffff000n));
}

function minorOf(dev: number): number {
  return Number((BigInt(dev) & 0xffn) | ((BigInt(dev) >> 12n) & 0xffffff00n));
}

function hex(number: number): string {
  return number.toString(16).padStart(2, '0');
}
