import { randomBytes } from 'node:crypto';
import { BackupUsageError, messageOf, RepositoryError } from '../words/errors.ts';
import {
  base64,
  isSlot,
  keyOf,
  type KeySlot,
  makeSlot,
  type NewKey,
  openSlots,
  type RepositoryKey,
} from './key-slot.ts';
import {
  generateRecipient,
  KEY_BYTES,
  openWith,
  type RepositoryKeys,
  repositoryKeys,
  sealTo,
} from './seal.ts';

/** How a repository is to be encrypted. */
export interface EncryptionOptions extends NewKey {
  /**
   * X25519 public keys, 32 bytes each: what is stored can be read only with one of the private keys. `key` is
   * enough to go on backing up.
   */
  readonly recipients?: readonly Uint8Array[] | undefined;
}

/** Who can read blocks. Binary is base64. */
export interface SealedData {
  /** What the keys of packs are sealed to. */
  readonly publicKey: string;
  /** The private key of `publicKey`, sealed to each of them. */
  readonly recipients: readonly Recipient[];
}

/** An owner of a private key. */
export interface Recipient {
  readonly publicKey: string;
  readonly sealed: string;
}

/** What `repository.json` says of the encryption. */
export interface EncryptionFields {
  readonly cipher: 'aes-256-gcm';
  /** Each of them opens it. */
  readonly keys: readonly KeySlot[];
  /** Absent: whoever opens it can read all. */
  readonly data?: SealedData | undefined;
}

/** What opens a repository, and what of it can be read. */
export interface OpeningKeys {
  readonly key?: RepositoryKey | undefined;
  /** Of a recipient. */
  readonly privateKey?: Uint8Array | undefined;
}

/** More would take too long to try. */
export const MAX_KEYS = 32;

/** Makes the keys of a new repository. */
export async function createEncryption(id: string, options: EncryptionOptions): Promise<EncryptionFields> {
  const master = randomBytes(KEY_BYTES);
  const { recipients = [] } = options;
  const pair = recipients.length === 0 ? undefined : generateRecipient();
  const data = pair && {
    publicKey: base64(pair.publicKey),
    recipients: recipients.map((recipient) => sealedTo(recipient, pair.privateKey)),
  };
  return { cipher: 'aes-256-gcm', keys: [await makeSlot(placeOfKeys(id, data), master, options)], data };
}

/** @throws RepositoryError `key` where a key is missing or not the right one */
export async function openEncryption(
  id: string,
  fields: EncryptionFields,
  opening: OpeningKeys,
): Promise<RepositoryKeys> {
  const { master, dataKey } = await openMaster(id, fields, opening);
  if (fields.data === undefined) return repositoryKeys(master);
  const publicKey = Buffer.from(fields.data.publicKey, 'base64');
  return repositoryKeys(master, { type: 'sealed', publicKey, privateKey: dataKey });
}

/** What is behind the keys: the slot that opened, the master key, and the private key of what is sealed. */
export async function openMaster(
  id: string,
  { keys, data }: EncryptionFields,
  { key, privateKey }: OpeningKeys,
): Promise<{ readonly slot: KeySlot; readonly master: Buffer; readonly dataKey: Buffer | undefined }> {
  if (key === undefined) throw new RepositoryError('key', 'the repository is encrypted: a key is needed');
  const opened = await openSlots(placeOfKeys(id, data), keys, key);
  const hasData = data !== undefined && privateKey !== undefined;
  return { ...opened, dataKey: hasData ? openData(data, keyOf(privateKey)) : undefined };
}

/**
 * What slots belong to. The public key is part of it: whoever exchanges that one, to have the next backups sealed to
 * themselves, has a repository that does not open.
 */
export function placeOfKeys(id: string, data: Pick<SealedData, 'publicKey'> | undefined): string {
  return data === undefined ? id : `${id} ${data.publicKey}`;
}

/** Seals the private key of what is stored to a recipient. @throws BackupUsageError for what is no public key */
export function sealedTo(publicKey: Uint8Array, dataKey: Uint8Array): Recipient {
  try {
    return { publicKey: base64(publicKey), sealed: base64(sealTo(keyOf(publicKey), dataKey, 'data')) };
  } catch (error) {
    if (error instanceof BackupUsageError) throw error;
    const message = `a recipient cannot be used as an X25519 public key: ${messageOf(error)}`;
    throw new BackupUsageError('option', message, { cause: error });
  }
}

/** The fields, if they make sense. @throws RepositoryError `format` */
export function checkedEncryption(value: unknown, description: string): EncryptionFields {
  const fields = value as Partial<Record<keyof EncryptionFields, unknown>> | null;
  const keys: unknown = fields?.keys;
  const isSound =
    fields?.cipher === 'aes-256-gcm' &&
    Array.isArray(keys) &&
    keys.length > 0 &&
    keys.length <= MAX_KEYS &&
    keys.every(isSlot) &&
    (fields.data === undefined || isSealedData(fields.data));
  if (!isSound)
    throw new RepositoryError('format', `the encryption of ${description} is not known to this version`);
  return fields as unknown as EncryptionFields;
}

function isSealedData(value: unknown): value is SealedData {
  const data = value as Partial<Record<keyof SealedData, unknown>> | null;
  if (typeof data?.publicKey !== 'string' || !Array.isArray(data.recipients)) return false;
  return data.recipients.every(
    (each: Partial<Record<keyof Recipient, unknown>> | null) =>
      typeof each?.publicKey === 'string' && typeof each.sealed === 'string',
  );
}

function openData({ recipients }: SealedData, privateKey: Uint8Array): Buffer {
  for (const { sealed } of recipients) {
    const data = openWith(privateKey, Buffer.from(sealed, 'base64'), 'data');
    if (data !== undefined) return data;
  }
  throw new RepositoryError('key', 'the private key is not that of a recipient');
}
