import { StorageError } from '../../ports/storage.ts';
import { ulid } from '../../words/ulid.ts';
import type { Owner } from '../../words/owner.ts';

const SEGMENT = /^(?!\.{1,2}$)[A-Za-z0-9._-]+$/;
const MAX_NAME_CHARACTERS = 255;
/** Files in the making hold a character that no object's name can: no listing takes one for an object. */
const PARTIAL =
  /^\.partial~([0-9a-f]*)~([0-9a-f-]*)~(\d*)~(\d+)~(\d*)~[0-9A-HJKMNP-TV-Z]{26}~([A-Za-z0-9._-]*)$/;

/** An object's folder, segment by segment, and its name within. */
export interface Place {
  readonly folder: readonly string[];
  readonly base: string;
}

/** @throws StorageError unless it is an object's name */
export function placeOf(name: string): Place {
  const segments = name.split('/');
  const base = segments.pop();
  if (base === undefined || name.length > MAX_NAME_CHARACTERS || ![...segments, base].every(isSegment))
    throw new StorageError('failed', `not a name of an object: ${JSON.stringify(name.slice(0, 300))}`);
  return { folder: segments, base };
}

/** Whether a file or folder can be, or hold, an object. */
export function isSegment(text: string): boolean {
  return SEGMENT.test(text);
}

/** A name for a file in the making, which says whose it is. */
export function partialName(owner: Owner): string {
  const { machine, boot, pidNamespace, pid, startTime, host } = owner;
  const shortHost = host.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 64);
  return ['.partial', machine, boot, pidNamespace, pid, startTime, ulid(), shortHost].join('~');
}

/** Whose file in the making it is; undefined: it is none of ours. */
export function partialOwner(name: string): Owner | undefined {
  const match = PARTIAL.exec(name);
  if (match === null) return undefined;
  const [, machine = '', boot = '', pidNamespace = '', pid, startTime = '', host = ''] = match;
  return { host, machine, boot, pidNamespace, pid: Number(pid), startTime };
}
