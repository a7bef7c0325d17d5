import { constants } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './failures.ts';

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/**
 * The path of something in an open folder. Whatever is renamed or linked meanwhile, it is in that very folder:
 * the kernel has no other way for those who cannot call openat(2).
 */
export function within(folder: FileHandle, base: string): string {
  return `/proc/self/fd/${folder.fd}/${base}`;
}

/** Opens the folder that everything is in. It may be reached through a symbolic link; nothing below may. */
export function openRoot(path: string): Promise<FileHandle> {
  return open(path, O_RDONLY | O_DIRECTORY);
}

/** Opens a folder below. @throws ENOENT; ENOTDIR if it is no folder, or a symbolic link */
export async function openFolder(root: FileHandle, segments: readonly string[]): Promise<FileHandle> {
  return await descend(root, segments, openChild);
}

/** As `openFolder`, and makes what is missing. All of it is durable, whoever made it. */
export async function makeFolder(root: FileHandle, segments: readonly string[]): Promise<FileHandle> {
  return await descend(root, segments, async (parent, segment) => {
    const made = await makeChild(within(parent, segment));
    const child = await openChild(parent, segment);
    try {
      if (made) await child.chmod(FOLDER_MODE);
      await parent.sync();
    } catch (error) {
      await child.close();
      throw error;
    }
    return child;
  });
}

/** Makes a folder durably, and if that is wanted those it is in. */
export async function makeRoot(path: string, parents: boolean): Promise<void> {
  const made = await makeChild(path, parents ? () => makeRoot(dirname(path), parents) : undefined);
  if (made) await withRoot(path, (root) => root.chmod(FOLDER_MODE));
  try {
    await withRoot(dirname(path), (parent) => parent.sync());
  } catch (error) {
    // A folder that was given to us, in one that we may not read.
    if (made || errnoOf(error) !== 'EACCES') throw error;
  }
}

async function withRoot(path: string, work: (folder: FileHandle) => Promise<void>): Promise<void> {
  const folder = await openRoot(path);
  try {
    await work(folder);
  } finally {
    await folder.close();
  }
}

/** Opens a file in a folder for reading. @throws ENOENT; ELOOP if it is a symbolic link */
export function openFile(folder: FileHandle, base: string): Promise<FileHandle> {
  // Without O_NONBLOCK the open of a pipe that somebody put there would wait for a writer.
  return open(within(folder, base), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

/** Creates a file in a folder, for its owner only. @throws EEXIST */
export async function createFile(folder: FileHandle, base: string): Promise<FileHandle> {
  const file = await open(within(folder, base), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
  try {
    // What the umask took away, and what a default ACL of the folder added.
    await file.chmod(FILE_MODE);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function openChild(parent: FileHandle, segment: string): Promise<FileHandle> {
  return open(within(parent, segment), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

async function descend(
  root: FileHandle,
  segments: readonly string[],
  step: (parent: FileHandle, segment: string) => Promise<FileHandle>,
): Promise<FileHandle> {
  let folder = await open(`/proc/self/fd/${root.fd}`, O_RDONLY | O_DIRECTORY);
  for (const segment of segments) {
    const parent = folder;
    try {
      folder = await step(parent, segment);
    } finally {
      await parent.close();
    }
  }
  return folder;
}

/** @returns whether it was not there */
async function makeChild(path: string, makeParent?: () => Promise<void>): Promise<boolean> {
  try {
    await mkdir(path, FOLDER_MODE);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    if (errnoOf(error) !== 'ENOENT' || makeParent === undefined) throw error;
  }
  await makeParent();
  return makeChild(path);
}
