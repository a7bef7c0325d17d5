import type { Storage, StorageOptions } from '../ports/storage.ts';
import { isMissing } from './storage-errors.ts';

/** The whole of a small object; undefined: there is none. */
export async function getIfPresent(
  storage: Storage,
  name: string,
  options?: StorageOptions,
): Promise<Uint8Array | undefined> {
  try {
    return await storage.get(name, options);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
