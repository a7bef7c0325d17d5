import { rm, stat } from 'node:fs/promises';
import type { JobFiles } from '../../ports/job-files.ts';
import { messageOf } from '../../words/errors.ts';

/** The files of this host. */
export const localJobFiles: JobFiles = {
  async describe(path) {
    try {
      const { uid, gid, mode } = await stat(path);
      return `${path} (owner ${uid}:${gid}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')})`;
    } catch (error) {
      return `${path} (${messageOf(error)})`;
    }
  },
  remove: (path) => rm(path, { force: true }),
};
