import { type FileHandle, open } from 'node:fs/promises';
import { messageOf, RepositoryError } from '../words/errors.ts';
import type { PullBackupDisk } from '../job/pull/pull-backup-disk.ts';
import type { Chunk } from '../transfer/chunks.ts';
import type { PartialPoint } from './domain-store.ts';
import { sha256 } from '../adapters/folder/durable.ts';
import type { StoredDisk } from './manifest.ts';
import { RunsWriter } from './runs.ts';

/** How far one disk of a backup is. */
export interface BackupProgress {
  readonly disk: string;
  /** Bytes of the disk that are dealt with, out of `size`. */
  readonly offset: number;
  readonly size: number;
  /** Bytes stored so far. */
  readonly dataBytes: number;
}

/** Stores one disk of a running job, durably. */
export async function storeDisk(
  disk: PullBackupDisk,
  partial: PartialPoint,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: BackupProgress) => void },
): Promise<StoredDisk> {
  const { signal, onProgress } = options;
  await using data = await create(partial.dataFile(disk.name));
  await using list = await create(partial.runsFile(disk.name));
  const runs = new RunsWriter(list.file);
  let dataBytes = 0;
  let zeroBytes = 0;
  for await (const chunk of disk.chunks(signal === undefined ? {} : { signal })) {
    const { offset } = chunk;
    if (chunk.type === 'zero') {
      await runs.add(chunk);
      zeroBytes += chunk.length;
    } else {
      const { bytes } = chunk;
      await data.append(bytes);
      await runs.add({ type: 'data', offset, length: bytes.length, at: dataBytes, sha256: sha256(bytes) });
      dataBytes += bytes.length;
    }
    onProgress?.({ disk: disk.name, offset: offset + lengthOf(chunk), size: disk.size, dataBytes });
  }
  const runsSha256 = await runs.finish();
  await data.file.sync();
  const { name, mode, message: demoted, size, image } = disk;
  return {
    name,
    mode,
    ...(demoted && { demoted }),
    size,
    image: { path: image.path, format: image.format },
    dataBytes,
    zeroBytes,
    runsSha256,
  };
}

function lengthOf(chunk: Chunk): number {
  return chunk.type === 'zero' ? chunk.length : chunk.bytes.length;
}

interface NewFile extends AsyncDisposable {
  readonly file: FileHandle;
  append(bytes: Uint8Array): Promise<void>;
}

async function create(path: string): Promise<NewFile> {
  const file = await open(path, 'wx');
  return {
    file,
    async append(bytes) {
      try {
        for (let done = 0; done < bytes.length;)
          done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
      } catch (error) {
        throw new RepositoryError('storage', `cannot write ${path}: ${messageOf(error)}`, { cause: error });
      }
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}
