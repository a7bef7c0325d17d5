import type { Dirent } from 'node:fs';
import { type FileHandle, lstat, opendir, unlink } from 'node:fs/promises';
import type { ObjectInfo } from '../../ports/storage.ts';
import { ownerState } from '../process-identity.ts';
import { errnoOf } from './failures.ts';
import { isSegment, partialOwner } from './object-names.ts';
import { openFolder, within } from './open-folder.ts';

/** Sizes that are asked for at once. */
const BATCH = 64;

/**
 * Every regular file below whose name starts with `prefix`. Links, pipes and what no object could be called are
 * passed over. @throws ENOENT if there is no such folder
 */
export async function* listObjects(
  root: FileHandle,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const segments = prefix.split('/');
  const start = segments.pop() ?? '';
  if (!segments.every(isSegment)) return;
  yield* listFolder(root, segments, start, signal);
}

async function* listFolder(
  root: FileHandle,
  segments: readonly string[],
  start: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const folder = await openFolder(root, segments);
  const folders: string[] = [];
  try {
    let batch: string[] = [];
    for await (const entry of entriesOf(folder)) {
      signal?.throwIfAborted();
      if (!entry.name.startsWith(start) || !isSegment(entry.name)) continue;
      if (entry.isDirectory()) folders.push(entry.name);
      if (entry.isFile()) batch.push(entry.name);
      if (batch.length < BATCH) continue;
      yield* infosOf(folder, segments, batch);
      batch = [];
    }
    yield* infosOf(folder, segments, batch);
  } finally {
    await folder.close();
  }
  for (const name of folders) yield* listBelow(root, [...segments, name], signal);
}

async function* listBelow(
  root: FileHandle,
  segments: readonly string[],
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo, void, undefined> {
  try {
    yield* listFolder(root, segments, '', signal);
  } catch (error) {
    // Removed meanwhile.
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

async function* infosOf(
  folder: FileHandle,
  segments: readonly string[],
  bases: readonly string[],
): AsyncGenerator<ObjectInfo, void, undefined> {
  const infos = await Promise.all(bases.map((base) => infoOf(folder, segments, base)));
  for (const info of infos) if (info !== undefined) yield info;
}

async function infoOf(
  folder: FileHandle,
  segments: readonly string[],
  base: string,
): Promise<ObjectInfo | undefined> {
  try {
    const stats = await lstat(within(folder, base));
    return stats.isFile() ? { name: [...segments, base].join('/'), size: stats.size } : undefined;
  } catch (error) {
    // Removed meanwhile.
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Removes the files in the making of those who will not go on. */
export async function reapPartials(folder: FileHandle): Promise<void> {
  for await (const { name } of entriesOf(folder)) {
    const owner = partialOwner(name);
    if (owner === undefined || (await ownerState(owner)) !== 'dead') continue;
    try {
      await unlink(within(folder, name));
    } catch (error) {
      // Somebody else reaped it.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}

/** What is in a folder, a part of it in memory at a time. */
async function* entriesOf(folder: FileHandle): AsyncGenerator<Dirent, void, undefined> {
  yield* await opendir(within(folder, '.'), { bufferSize: 256 });
}
