import { type FileHandle, unlink } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { ownerState, processIdentity } from '../process-identity.ts';
import { errnoOf } from './failures.ts';
import { partialName, partialOwner } from './object-names.ts';
import { createFile, openFile, within } from './open-folder.ts';

const WAIT_MS = 10;
/** Nobody has a guard for longer than a few system calls take: this long is a crash on another machine. */
const PATIENCE_MS = 30_000;

/**
 * Does what is more than one system call while nobody else does it with this object: compare and replace, or,
 * where there are no hard links, look and rename. The guard is a file beside the object that names its owner.
 */
export async function withGuard<T>(
  folder: FileHandle,
  base: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const guard = `.guard~${base}`;
  await takeGuard(folder, guard, signal);
  try {
    return await work();
  } finally {
    await unlink(within(folder, guard));
  }
}

async function takeGuard(folder: FileHandle, guard: string, signal: AbortSignal | undefined): Promise<void> {
  const identity = partialName(await processIdentity());
  const start = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    try {
      const file = await createFile(folder, guard);
      try {
        await file.writeFile(identity);
      } finally {
        await file.close();
      }
      return;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
    const waited = performance.now() - start;
    if ((await isAbandoned(folder, guard)) || waited > PATIENCE_MS) await breakGuard(folder, guard);
    await setTimeout(WAIT_MS, undefined, { signal });
  }
}

/** Whether it is known that nobody will remove the guard. */
async function isAbandoned(folder: FileHandle, guard: string): Promise<boolean> {
  try {
    const file = await openFile(folder, guard);
    try {
      const owner = partialOwner(await file.readFile('utf8'));
      // Empty: its owner is about to write it.
      return owner !== undefined && (await ownerState(owner)) === 'dead';
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function breakGuard(folder: FileHandle, guard: string): Promise<void> {
  try {
    await unlink(within(folder, guard));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
