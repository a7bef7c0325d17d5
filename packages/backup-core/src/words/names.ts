import { ulid } from './ulid.ts';

/** Our checkpoints, scratch files and sockets are recognised by this. */
export const NAME_PREFIX = 'tsbackup';

/** `<prefix>-<owner>-<ulid>`, or `<prefix>-<ulid>` for a job that belongs to no repository. */
export function jobName(owner?: string, id: string = ulid()): string {
  return [NAME_PREFIX, ...(owner === undefined ? [] : [owner]), id].join('-');
}

/** Whether `name` was made by `jobName(owner)`. */
export function isJobName(name: string, owner: string): boolean {
  const start = `${NAME_PREFIX}-${owner}-`;
  return name.startsWith(start) && /^[0-9A-HJKMNP-TV-Z]{26}$/.test(name.slice(start.length));
}

/** Whether `name` was made by `jobName`, for whomever. */
export function isOurName(name: string): boolean {
  return /^tsbackup-(?:[0-9a-f]{8}-)?[0-9A-HJKMNP-TV-Z]{26}$/.test(name);
}
