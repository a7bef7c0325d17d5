import { chownSync } from 'node:fs';

/** Whom servers run as. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

const NOBODY = 65534;

/** Root hands servers to `nobody`; anybody else runs them as oneself. */
export function unprivilegedUser(): User {
  const uid = process.getuid?.() ?? NOBODY;
  const gid = process.getgid?.() ?? NOBODY;
  return uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid, gid };
}

/** Gives a file or folder to `user`; nothing to do unless we are root. */
export function giveTo(user: User, path: string): void {
  if (process.getuid?.() === 0) chownSync(path, user.uid, user.gid);
}
