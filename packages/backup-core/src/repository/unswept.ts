import type { Storage, StorageOptions } from '../ports/storage.ts';
import { ulid } from '../words/ulid.ts';

const UNSWEPT = 'unswept/';
const NAME = /^unswept\/[0-7][0-9A-HJKMNP-TV-Z]{25}\.(0|[1-9]\d{0,15})$/;

/** What was removed points' alone and is there yet, as far as anybody wrote it down. Only a hint when to sweep. */
export interface Unswept {
  readonly bytes: number;
  /** The objects that say so. */
  readonly notes: readonly string[];
}

/** Writes down that so many bytes are about to be of no use. */
export async function noteUnswept(storage: Storage, bytes: number, options?: StorageOptions): Promise<void> {
  await storage.put(`${UNSWEPT}${ulid()}.${bytes}`, new Uint8Array(0), options);
}

/** Reads what is written down. */
export async function readUnswept(storage: Storage, options?: StorageOptions): Promise<Unswept> {
  const notes: string[] = [];
  let bytes = 0;
  for await (const { name } of storage.list(UNSWEPT, options)) {
    const noted = NAME.exec(name)?.[1];
    if (noted === undefined) continue;
    notes.push(name);
    bytes += Number(noted);
  }
  return { bytes, notes };
}

/** Forgets what was swept. */
export async function forgetUnswept(
  storage: Storage,
  { notes }: Unswept,
  options?: StorageOptions,
): Promise<void> {
  for (const name of notes) await storage.remove(name, options);
}
