import { randomBytes, scrypt } from 'node:crypto';
import { BackupUsageError, RepositoryError } from '../words/errors.ts';
import {
  derive,
  generateRecipient,
  KEY_BYTES,
  openWith,
  type RepositoryKeys,
  repositoryKeys,
  seal,
  sealTo,
  unseal,
} from './seal.ts';

/** What opens an encrypted repository: a passphrase, 32 bytes, or a service that has the key. */
export type RepositoryKey =
  | { readonly passphrase: string }
  | Uint8Array
  /** Given what was stored beside the key at creation, such as a key that a service wrapped. */
  | ((wrapped: Uint8Array) => Promise<Uint8Array>);

/** How a repository is to be encrypted. */
export interface EncryptionOptions {
  /** What opens it: a passphrase, or 32 random bytes. */
  readonly key: { readonly passphrase: string } | Uint8Array;
  /** Stored in plain, for whoever opens with a function. */
  readonly wrapped?: Uint8Array | undefined;
  /**
   * X25519 public keys, 32 bytes each: what is stored can be read only with one of the private keys. `key` is
   * enough to go on backing up.
   */
  readonly recipients?: readonly Uint8Array[] | undefined;
}

/** What `repository.json` says of the encryption; binary is base64. */
export interface EncryptionFields {
  readonly cipher: 'aes-256-gcm';
  readonly scrypt?: { readonly n: number; readonly r: number; readonly p: number } | undefined;
  readonly salt: string;
  readonly wrapped?: string | undefined;
  /** The master key, encrypted. */
  readonly master: string;
  /** The public key that blocks' keys are sealed to, and its private key sealed to each recipient. */
  readonly data?: { readonly publicKey: string; readonly sealed: readonly string[] } | undefined;
}

const SCRYPT = { n: 2 ** 17, r: 8, p: 1 };
/** A file that was tampered with must not make us allocate without bound. */
const MAX_SCRYPT_BYTES: number = 512 * 1024 * 1024;

/** Makes the keys of a new repository. */
export async function createEncryption(id: string, options: EncryptionOptions): Promise<EncryptionFields> {
  const master = randomBytes(KEY_BYTES);
  const { recipients = [] } = options;
  const data = recipients.length === 0 ? undefined : generateRecipient();
  return {
    ...(await envelope(id, master, options)),
    data: data && {
      publicKey: base64(data.publicKey),
      sealed: recipients.map((recipient) => base64(sealTo(keyOf(recipient), data.privateKey, 'data'))),
    },
  };
}

/** @throws RepositoryError `key` where a key is missing or not the right one */
export async function openEncryption(
  id: string,
  fields: EncryptionFields,
  {
    key,
    privateKey,
  }: { readonly key?: RepositoryKey | undefined; readonly privateKey?: Uint8Array | undefined },
): Promise<RepositoryKeys> {
  if (key === undefined) throw new RepositoryError('key', 'the repository is encrypted: a key is needed');
  const master = await openMaster(id, fields, key);
  if (fields.data === undefined) return repositoryKeys(master);
  return repositoryKeys(master, {
    type: 'sealed',
    publicKey: Buffer.from(fields.data.publicKey, 'base64'),
    privateKey: privateKey && openData(fields.data.sealed, keyOf(privateKey)),
  });
}

async function envelope(
  id: string,
  master: Uint8Array,
  { key, wrapped }: Pick<EncryptionOptions, 'key' | 'wrapped'>,
): Promise<EncryptionFields> {
  const salt = randomBytes(16);
  const isPhrase = 'passphrase' in key;
  const outer = isPhrase ? await stretch(key.passphrase, salt, SCRYPT) : derive(keyOf(key), 'envelope', salt);
  return {
    cipher: 'aes-256-gcm',
    scrypt: isPhrase ? SCRYPT : undefined,
    salt: base64(salt),
    wrapped: wrapped && base64(wrapped),
    master: base64(seal(outer, master, Buffer.from(id))),
  };
}

async function openMaster(id: string, fields: EncryptionFields, key: RepositoryKey): Promise<Buffer> {
  const salt = Buffer.from(fields.salt, 'base64');
  const outer = await outerKey(fields, salt, key);
  const master = unseal(outer, Buffer.from(fields.master, 'base64'), Buffer.from(id));
  if (master?.length !== KEY_BYTES)
    throw new RepositoryError('key', 'the key is not that of this repository');
  return master;
}

async function outerKey(fields: EncryptionFields, salt: Buffer, key: RepositoryKey): Promise<Buffer> {
  if (typeof key === 'function')
    return derive(keyOf(await key(Buffer.from(fields.wrapped ?? '', 'base64'))), 'envelope', salt);
  if (!('passphrase' in key)) return derive(keyOf(key), 'envelope', salt);
  if (fields.scrypt === undefined)
    throw new RepositoryError('key', 'the repository opens with a key, not with a passphrase');
  return stretch(key.passphrase, salt, fields.scrypt);
}

function openData(sealed: readonly string[], privateKey: Uint8Array): Buffer {
  for (const each of sealed) {
    const data = openWith(privateKey, Buffer.from(each, 'base64'), 'data');
    if (data !== undefined) return data;
  }
  throw new RepositoryError('key', 'the private key is not that of a recipient');
}

function stretch(
  passphrase: string,
  salt: Uint8Array,
  { n, r, p }: NonNullable<EncryptionFields['scrypt']>,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Normalised, so that it does not depend on the keyboard how an accent is written.
    const text = passphrase.normalize('NFC');
    const options = { N: n, r, p, maxmem: MAX_SCRYPT_BYTES };
    const done = (error: Error | null, key: Buffer): void => {
      if (error === null) resolve(key);
      else
        reject(
          new RepositoryError('format', `the passphrase cannot be used: ${error.message}`, { cause: error }),
        );
    };
    try {
      scrypt(text, salt, KEY_BYTES, options, done);
    } catch (error) {
      done(error as Error, Buffer.alloc(0));
    }
  });
}

function keyOf(bytes: Uint8Array): Uint8Array {
  if (bytes instanceof Uint8Array && bytes.length === KEY_BYTES) return bytes;
  throw new BackupUsageError('option', `a key must be ${KEY_BYTES} bytes`);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}
