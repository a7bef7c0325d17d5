import { type Storage, StorageError } from '../ports/storage.ts';
import { BackupUsageError, RepositoryError } from '../words/errors.ts';
import { REPOSITORY_FILE } from './format.ts';
import {
  type EncryptionFields,
  MAX_KEYS,
  openMaster,
  placeOfKeys,
  type Recipient,
  sealedTo,
} from './key-envelope.ts';
import { base64, type KeySlot, makeSlot, type NewKey, openSlots, type RepositoryKey } from './key-slot.ts';
import { encodeRepositoryFile, readRepositoryFile } from './repository-file.ts';
import { storageFailure } from './storage-errors.ts';

/** What is to open a repository from now on. Nothing that is stored is written anew. */
export interface KeyChange {
  /** One that opens it now. It stays, unless another one takes its place. */
  readonly key: RepositoryKey;
  /** Of a recipient: what another recipient takes. */
  readonly privateKey?: Uint8Array | undefined;
  /** Takes the place of `key`, which opens the repository no more. */
  readonly newKey?: NewKey | undefined;
  /** More that open it. */
  readonly addKeys?: readonly NewKey[] | undefined;
  /** Ids of others that open it no more. */
  readonly removeKeys?: readonly string[] | undefined;
  /** More that can read what is stored, in a repository that is sealed to recipients: X25519, 32 bytes each. */
  readonly addRecipients?: readonly Uint8Array[] | undefined;
  /** Those that are no recipients any more. */
  readonly removeRecipients?: readonly Uint8Array[] | undefined;
  /** Only checks the keys, and says what would be. */
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The fields of the encryption, as they were and as they are. */
export interface ChangedEncryption {
  readonly before: EncryptionFields;
  readonly after: EncryptionFields;
}

/**
 * Changes what opens a repository, in one step: killed at any time, either the keys of before open it or the new ones
 * do. Of two who do it at once, one fails and has changed nothing.
 *
 * @throws BackupUsageError; RepositoryError `key`, `busy` and as opening does
 */
export async function changeKey(storage: Storage, change: KeyChange): Promise<ChangedEncryption> {
  const { dryRun = false, signal } = change;
  const { bytes, fields } = await readRepositoryFile(storage, signal);
  const { id, encryption: before } = fields;
  if (before === undefined)
    throw new RepositoryError('key', `${storage.description} is not encrypted: it has no key to be changed`);
  const { slot, master, dataKey } = await openMaster(id, before, change);
  const after = {
    ...before,
    keys: await changedSlots(placeOfKeys(id, before.data), before.keys, { slot, master }, change),
    ...(before.data === undefined
      ? noRecipients(change)
      : { data: { ...before.data, recipients: changedRecipients(before.data.recipients, dataKey, change) } }),
  };
  signal?.throwIfAborted();
  if (!dryRun) await replaceFile(storage, encodeRepositoryFile({ ...fields, encryption: after }), bytes);
  return { before, after };
}

async function changedSlots(
  place: string,
  slots: readonly KeySlot[],
  { slot, master }: { readonly slot: KeySlot; readonly master: Uint8Array },
  { newKey, addKeys = [], removeKeys = [], addRecipients = [], removeRecipients = [] }: KeyChange,
): Promise<readonly KeySlot[]> {
  const changes = [
    addKeys,
    removeKeys,
    addRecipients,
    removeRecipients,
    newKey === undefined ? [] : [newKey],
  ];
  if (changes.every(({ length }) => length === 0))
    throw new BackupUsageError('option', 'nothing is to be changed: no key or recipient comes or goes');
  const unknown = removeKeys.find((id) => !slots.some((each) => each.id === id));
  if (unknown !== undefined)
    throw new BackupUsageError(
      'option',
      `there is no key ${unknown}, only ${slots.map(({ id }) => id).join(', ')}`,
    );
  // What is given is known to open; of what stays nobody can tell whether somebody still has it.
  if (removeKeys.includes(slot.id))
    throw new BackupUsageError(
      'option',
      `key ${slot.id} is the one that was given: give another one to remove it, or a new one to take its place`,
    );
  const made: KeySlot[] = [];
  for (const each of newKey === undefined ? addKeys : [newKey, ...addKeys]) {
    const added = await makeSlot(place, master, each);
    await openSlots(place, [added], each.key);
    made.push(added);
  }
  const gone = new Set([...removeKeys, ...(newKey === undefined ? [] : [slot.id])]);
  const next = [...slots.filter(({ id }) => !gone.has(id)), ...made];
  if (next.length > MAX_KEYS)
    throw new BackupUsageError('option', `a repository has at most ${MAX_KEYS} keys, not ${next.length}`);
  return next;
}

function changedRecipients(
  recipients: readonly Recipient[],
  dataKey: Uint8Array | undefined,
  { addRecipients = [], removeRecipients = [] }: KeyChange,
): readonly Recipient[] {
  if (addRecipients.length > 0 && dataKey === undefined)
    throw new RepositoryError('key', 'another recipient takes the private key of one that there is');
  const gone = removeRecipients.map(base64);
  const unknown = gone.find((key) => !recipients.some(({ publicKey }) => publicKey === key));
  if (unknown !== undefined) throw new BackupUsageError('option', `${unknown} is no recipient`);
  const coming = addRecipients.map((key) => sealedTo(key, dataKey ?? new Uint8Array(0)));
  const renewed = new Set([...gone, ...coming.map(({ publicKey }) => publicKey)]);
  const next = [...recipients.filter(({ publicKey }) => !renewed.has(publicKey)), ...coming];
  if (next.length === 0)
    throw new BackupUsageError('option', 'the last recipient cannot go: nobody could read what is stored');
  return next;
}

function noRecipients({ addRecipients = [], removeRecipients = [] }: KeyChange): object {
  if (addRecipients.length + removeRecipients.length === 0) return {};
  throw new BackupUsageError(
    'option',
    'the repository has no recipients: make one that has some, and copy the points',
  );
}

async function replaceFile(storage: Storage, bytes: Uint8Array, expected: Uint8Array): Promise<void> {
  const doing = `change the key of ${storage.description}`;
  try {
    // What is begun here is not given up: an answer that is not waited for would be an open question.
    await storage.replace(REPOSITORY_FILE, bytes, expected);
  } catch (error) {
    // An answer that was lost is not a change that was not made.
    const stored = await storage.get(REPOSITORY_FILE).catch(() => undefined);
    if (stored !== undefined && Buffer.compare(stored, bytes) === 0) return;
    if (error instanceof StorageError && error.reason === 'changed')
      throw new RepositoryError('busy', `cannot ${doing}: somebody else changed it just now`, {
        cause: error,
      });
    throw storageFailure(doing, error);
  }
}
