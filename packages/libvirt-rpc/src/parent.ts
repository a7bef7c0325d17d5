import { LibvirtError } from './libvirt-error.ts';

/**
 * The parent of a checkpoint or snapshot, or null if it has none. The daemon's answer to both "has no parent" and
 * "does not exist" is the same: the second must not pass for the first.
 */
export async function parentOrNull<T>(
  getParent: () => Promise<T>,
  isNone: (error: LibvirtError) => boolean,
  lookUpItself: () => Promise<unknown>,
): Promise<T | null> {
  try {
    return await getParent();
  } catch (error) {
    if (!(error instanceof LibvirtError && isNone(error))) throw error;
    await lookUpItself();
    return null;
  }
}
