import { lock } from 'proper-lockfile';
import { messageOf, RepositoryError } from '../words/errors.ts';

const STALE_MS = 30_000;
const UPDATE_MS = 5_000;

/** The right to change a domain's folder, which need not exist yet. The lock is a folder beside it. */
export interface FolderLock extends AsyncDisposable {
  /** Aborted if the lock was lost, because this process could not renew it for too long. */
  readonly lost: AbortSignal;
}

/** @throws RepositoryError if somebody else has it */
export async function lockFolder(path: string): Promise<FolderLock> {
  const lost = new AbortController();
  try {
    const release = await lock(path, {
      realpath: false,
      stale: STALE_MS,
      update: UPDATE_MS,
      onCompromised: (error) => {
        lost.abort(
          new RepositoryError('storage', `the lock of ${path} was lost: ${error.message}`, { cause: error }),
        );
      },
    });
    return {
      lost: lost.signal,
      [Symbol.asyncDispose]: async () => {
        // One that was lost is not ours to release.
        if (!lost.signal.aborted) await release();
      },
    };
  } catch (error) {
    const busy = (error as NodeJS.ErrnoException).code === 'ELOCKED';
    const why = busy
      ? `another backup works on it; after a crash it is free ${STALE_MS / 1000} s later`
      : messageOf(error);
    throw new RepositoryError('storage', `cannot lock ${path}: ${why}`, { cause: error });
  }
}
