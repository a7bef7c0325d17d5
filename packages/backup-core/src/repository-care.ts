import { folderStorage } from './adapters/folder/storage.ts';
import { ownerState, processIdentity } from './adapters/process-identity.ts';
import type { Storage } from './ports/storage.ts';
import { changeKey as changeStoredKey, type KeyChange } from './repository/change-key.ts';
import { openEncryption } from './repository/key-envelope.ts';
import type { RepositoryKey } from './repository/key-slot.ts';
import { readRepositoryFile } from './repository/repository-file.ts';
import {
  describeEncryption,
  describeRepository,
  type EncryptionInfo,
  type RepositoryInfo,
} from './repository/repository-info.ts';
import { INFO_OPTIONS, KEY_CHANGE, PLACE } from './repository-options.ts';
import { checkArgument, checkOptions } from './words/check-options.ts';
import { BackupUsageError, RepositoryError } from './words/errors.ts';

/** For `repositoryInfo`. */
export interface RepositoryInfoOptions {
  /** Of an encrypted repository. Without it less can be told: see `RepositoryInfo.unknown`. */
  readonly key?: RepositoryKey | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What opens a repository after a change. */
export interface KeyReport extends EncryptionInfo {
  /** Ids of keys that came. */
  readonly added: readonly string[];
  /** Ids of keys that open nothing any more. */
  readonly removed: readonly string[];
}

/**
 * What a repository is, what is in it and who works in it. Changes nothing, and needs no key.
 *
 * @param place - the path of a folder, or a storage, which stays open
 * @throws BackupUsageError; RepositoryError `absent`, `foreign`, `format`, `key` (one that is given and wrong),
 * `denied` or `storage`; or the signal's reason
 */
export async function repositoryInfo(
  place: string | Storage,
  options: RepositoryInfoOptions = {},
): Promise<RepositoryInfo> {
  checkOptions('repositoryInfo', options, INFO_OPTIONS);
  checkArgument('the place of the repository', place, PLACE);
  const { key, signal } = options;
  return withStorage(place, async (storage) => {
    const { fields } = await readRepositoryFile(storage, signal);
    const { id, encryption } = fields;
    if (key !== undefined && encryption === undefined)
      throw new RepositoryError('key', `${storage.description} is not encrypted, but a key was given`);
    const keys = encryption && key && (await openEncryption(id, encryption, { key }));
    const owners = { self: processIdentity, state: ownerState };
    return describeRepository(storage, owners, fields, { keys, signal });
  });
}

/**
 * Changes what opens an encrypted repository, or who can read what is stored. Nothing that is stored is written anew: it
 * takes a moment, whatever the size. Killed at any time, either the keys of before open it or the new ones do; of two
 * changes at once one fails, and has changed nothing. Backups and restores that run go on.
 *
 * The key that blocks are encrypted with stays: whoever has an old copy of `repository.json` and a key that opened it
 * then can still read.
 *
 * @param place - the path of a folder, or a storage, which stays open
 * @throws BackupUsageError; RepositoryError `key` where a key is not the right one and nothing was done, `busy` where
 * somebody else changed it meanwhile, and as opening does; or the signal's reason
 */
export async function changeKey(place: string | Storage, change: KeyChange): Promise<KeyReport> {
  checkOptions('changeKey', change, KEY_CHANGE);
  checkArgument('the place of the repository', place, PLACE);
  const missing: unknown = change.key;
  if (missing === undefined) throw new BackupUsageError('option', 'the option key of changeKey is missing');
  return withStorage(place, async (storage) => {
    const { before, after } = await changeStoredKey(storage, change);
    const [old, current] = [describeEncryption(before), describeEncryption(after)];
    const idsIn = ({ keys }: EncryptionInfo): readonly string[] => keys.map(({ id }) => id);
    return {
      ...current,
      added: idsIn(current).filter((id) => !idsIn(old).includes(id)),
      removed: idsIn(old).filter((id) => !idsIn(current).includes(id)),
    };
  });
}

async function withStorage<Result>(
  place: string | Storage,
  work: (storage: Storage) => Promise<Result>,
): Promise<Result> {
  if (typeof place !== 'string') return work(place);
  const storage = folderStorage(place, { parents: false });
  try {
    return await work(storage);
  } finally {
    await storage.close();
  }
}
