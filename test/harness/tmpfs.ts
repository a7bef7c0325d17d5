import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.ts';
import type { ServerRequirement } from './requirements.ts';
import { makeTemporaryFolder } from './temporary-folder.ts';

/** A file system that can be full. */
export interface Tmpfs extends AsyncDisposable {
  readonly path: string;
  /** Changes its size; bytes. */
  resize(bytes: number): Promise<void>;
}

/** Mounts a tmpfs of `bytes`. Needs root, and the right to mount. */
export async function mountTmpfs(bytes: number): Promise<Tmpfs> {
  const folder = makeTemporaryFolder('tmpfs');
  const path = join(folder.path, 'mounted');
  mkdirSync(path);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
  } catch (error) {
    folder.remove();
    throw error;
  }
  return {
    path,
    async resize(size) {
      await run('mount', ['-o', `remount,size=${size}`, path]);
    },
    async [Symbol.asyncDispose]() {
      await run('umount', [path]);
      folder.remove();
    },
  };
}

/** For tests that mount something: skipped with the reason where that is not allowed, as `requireServers` does. */
export function requireMount(): ServerRequirement {
  // A mount namespace of its own: nothing is changed by trying.
  const allowed = spawnSync('unshare', ['-m', 'true'], { stdio: 'ignore' }).status === 0;
  const missing = allowed ? [] : ['right to mount'];
  if (!allowed && process.env['REQUIRE_SERVERS'] === '1')
    throw new Error('REQUIRE_SERVERS=1, but mounting a file system is not allowed here');
  return {
    missing,
    skip: !allowed,
    title: (name) => (allowed ? name : `${name} (skipped: no right to mount)`),
  };
}
