import { randomBytes, scrypt } from 'node:crypto';
import { BackupUsageError, messageOf, RepositoryError } from '../words/errors.ts';
import { derive, KEY_BYTES, seal, unseal } from './seal.ts';

/** What opens an encrypted repository: a passphrase, 32 bytes, or a service that has the key. */
export type RepositoryKey =
  | { readonly passphrase: string }
  | Uint8Array
  /** Given what was stored beside a key, such as that key as the service wrapped it. */
  | ((wrapped: Uint8Array) => Promise<Uint8Array>);

/** A key that is to open a repository. */
export interface NewKey {
  /** A passphrase, or 32 random bytes. */
  readonly key: { readonly passphrase: string } | Uint8Array;
  /** Stored in plain, for whoever opens with a function. */
  readonly wrapped?: Uint8Array | undefined;
}

/** The master key, encrypted with one of the keys that open the repository. Binary is base64. */
export interface KeySlot {
  /** 8 hexadecimal digits: what this key is called where it is listed or removed. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** Of a passphrase. */
  readonly scrypt?: { readonly n: number; readonly r: number; readonly p: number } | undefined;
  readonly salt: string;
  readonly wrapped?: string | undefined;
  readonly master: string;
}

/** A passphrase, 32 bytes, or 32 bytes that a service wrapped. */
export type KeyType = 'passphrase' | 'key' | 'wrapped';

const SCRYPT = { n: 2 ** 17, r: 8, p: 1 };
/** A file that was tampered with must make us neither allocate nor calculate without bound. */
const MAX_SCRYPT_BYTES: number = 512 * 1024 * 1024;
const MAX_SCRYPT_P = 16;
const ID = /^[0-9a-f]{8}$/;

/** Encrypts the master key with another one. @param place - what the slot belongs to: elsewhere it does not open */
export async function makeSlot(
  place: string,
  master: Uint8Array,
  { key, wrapped }: NewKey,
): Promise<KeySlot> {
  const salt = randomBytes(16);
  const isPhrase = 'passphrase' in key;
  if (isPhrase && (typeof key.passphrase !== 'string' || key.passphrase === ''))
    throw new BackupUsageError('option', 'a passphrase must be a text that is not empty');
  const outer = isPhrase ? await stretch(key.passphrase, salt, SCRYPT) : derive(keyOf(key), 'envelope', salt);
  return {
    id: randomBytes(4).toString('hex'),
    createdAt: new Date().toISOString(),
    scrypt: isPhrase ? SCRYPT : undefined,
    salt: base64(salt),
    wrapped: wrapped && base64(wrapped),
    master: base64(seal(outer, master, Buffer.from(place))),
  };
}

/** What opens with a key. @throws RepositoryError `key` where none does */
export async function openSlots(
  place: string,
  slots: readonly KeySlot[],
  key: RepositoryKey,
): Promise<{ readonly slot: KeySlot; readonly master: Buffer }> {
  let refusal: unknown;
  for (const slot of slotsFor(slots, key))
    try {
      const outer = await outerKey(slot, key);
      const master = unseal(outer, Buffer.from(slot.master, 'base64'), Buffer.from(place));
      if (master?.length === KEY_BYTES) return { slot, master };
    } catch (error) {
      // A service may know what one of the slots holds, and not what another does.
      if (typeof key !== 'function' || error instanceof BackupUsageError) throw error;
      refusal ??= error;
    }
  if (refusal === undefined) throw new RepositoryError('key', 'the key is not that of this repository');
  const message = `the service did not give the key: ${messageOf(refusal)}`;
  throw new RepositoryError('key', message, { cause: refusal });
}

/** What a slot opens with. */
export function typeOfSlot({ scrypt: stretching, wrapped }: KeySlot): KeyType {
  if (stretching !== undefined) return 'passphrase';
  return wrapped === undefined ? 'key' : 'wrapped';
}

/** Whether it can be a slot. */
export function isSlot(value: unknown): value is KeySlot {
  if (typeof value !== 'object' || value === null) return false;
  const { id, createdAt, scrypt: stretching, salt, wrapped, master } = value as Record<string, unknown>;
  return (
    typeof id === 'string' &&
    ID.test(id) &&
    [createdAt, salt, master].every((each) => typeof each === 'string') &&
    (wrapped === undefined || typeof wrapped === 'string') &&
    (stretching === undefined || isBounded(stretching))
  );
}

/** The 32 bytes of a key. @throws BackupUsageError */
export function keyOf(bytes: Uint8Array): Uint8Array {
  if (bytes instanceof Uint8Array && bytes.length === KEY_BYTES) return bytes;
  throw new BackupUsageError('option', `a key must be ${KEY_BYTES} bytes`);
}

/** Bytes as JSON has them. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

function slotsFor(slots: readonly KeySlot[], key: RepositoryKey): readonly KeySlot[] {
  const isPhrase = typeof key !== 'function' && 'passphrase' in key;
  const fitting = slots.filter((slot) => (typeOfSlot(slot) === 'passphrase') === isPhrase);
  if (fitting.length === 0)
    throw new RepositoryError(
      'key',
      isPhrase
        ? 'the repository opens with a key, not with a passphrase'
        : 'the repository opens with a passphrase, not with a key',
    );
  const wrapped = fitting.filter((slot) => typeOfSlot(slot) === 'wrapped');
  return typeof key === 'function' && wrapped.length > 0 ? wrapped : fitting;
}

async function outerKey(slot: KeySlot, key: RepositoryKey): Promise<Buffer> {
  const salt = Buffer.from(slot.salt, 'base64');
  if (typeof key === 'function')
    return derive(keyOf(await key(Buffer.from(slot.wrapped ?? '', 'base64'))), 'envelope', salt);
  return 'passphrase' in key
    ? stretch(key.passphrase, salt, slot.scrypt ?? SCRYPT)
    : derive(keyOf(key), 'envelope', salt);
}

function isBounded(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { n, r, p } = value as Record<string, unknown>;
  const isCount = (each: unknown): each is number => Number.isSafeInteger(each) && (each as number) > 0;
  return isCount(n) && isCount(r) && isCount(p) && p <= MAX_SCRYPT_P && 128 * n * r < MAX_SCRYPT_BYTES;
}

function stretch(
  passphrase: string,
  salt: Uint8Array,
  { n, r, p }: NonNullable<KeySlot['scrypt']>,
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
