import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { forgetFolder, rememberFolder } from './registry.ts';
import { giveTo, unprivilegedUser, type User } from './user.ts';

/** A folder that is removed when disposed of, and at the latest when this process ends. */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
  /** Makes a folder in it that belongs to `user`, and returns its path. */
  subfolder(name: string, user?: User, mode?: number): string;
  remove(): void;
}

/** The servers' user must be able to walk down to `path`; says which folder is in the way. */
function checkSearchable(path: string): void {
  if (process.getuid?.() !== 0) return;
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) {
      throw new Error(
        `${folder} cannot be searched by other users; set TMPDIR to a folder that can, e.g. /tmp`,
      );
    }
    if (folder === dirname(folder)) return;
  }
}

/**
 * Makes a folder with a short name in os.tmpdir() that the unprivileged user can search.
 * The name stays short because a unix socket's path has at most 107 bytes.
 */
export function makeTemporaryFolder(prefix = 'lvt', parent: string = tmpdir()): TemporaryFolder {
  checkSearchable(parent);
  const path = mkdtempSync(join(parent, `${prefix}-`));
  rememberFolder(path);
  chmodSync(path, 0o755);
  const remove = (): void => {
    rmSync(path, { recursive: true, force: true });
    forgetFolder(path);
  };
  return {
    path,
    subfolder(name, user = unprivilegedUser(), mode = 0o755) {
      const folder = join(path, name);
      mkdirSync(folder);
      chmodSync(folder, mode);
      giveTo(user, folder);
      return folder;
    },
    remove,
    [Symbol.asyncDispose]: () => {
      remove();
      return Promise.resolve();
    },
  };
}
