import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { DamagedError, RepositoryError } from '../words/errors.ts';

export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SALT_BYTES = 16;
// What DER has around the 32 bytes of an X25519 key.
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const NO_AAD = Buffer.alloc(0);

/** The keys of an encrypted repository. */
export interface RepositoryKeys {
  /** Reading blocks takes the private key of a recipient. */
  readonly isSealed: boolean;
  /** Blocks and pages are named by HMAC-SHA-256 with it. */
  readonly hashKey: Uint8Array;
  /** A key for the blocks of one run's packs, and what a reader needs to get at it. */
  startSession(): { readonly dataKey: Uint8Array; readonly keySlot: Uint8Array };
  /**
   * The key of the blocks of a pack.
   *
   * @throws RepositoryError `key` where the private key for it is missing; DamagedError where it is another's
   */
  dataKeyOf(keySlot: Uint8Array): Uint8Array;
  sealPage(plain: Uint8Array, hash: Uint8Array): Buffer;
  /** @returns undefined where it is damaged */
  openPage(sealed: Uint8Array, hash: Uint8Array): Buffer | undefined;
  /** `place` is where the manifest belongs: elsewhere it does not open. */
  sealManifest(plain: Uint8Array, place: string): Buffer;
  /** @returns undefined where it is damaged, or another one */
  openManifest(sealed: Uint8Array, place: string): Buffer | undefined;
}

/** Who can read blocks: whoever has the master key, or only the owners of a private key. */
export type DataAccess =
  | { readonly type: 'master' }
  | { readonly type: 'sealed'; readonly publicKey: Uint8Array; readonly privateKey: Uint8Array | undefined };

/** Everything is derived from one key, so another passphrase is another envelope around it and nothing else. */
export function repositoryKeys(master: Uint8Array, data: DataAccess = { type: 'master' }): RepositoryKeys {
  const pageKey = derive(master, 'page');
  const manifestKey = derive(master, 'manifest');
  return {
    isSealed: data.type === 'sealed',
    hashKey: derive(master, 'hash'),
    ...(data.type === 'master' ? sessionsOf(derive(master, 'data')) : sealedSessions(data)),
    sealPage: (plain, hash) => seal(pageKey, plain, hash),
    openPage: (sealed, hash) => unseal(pageKey, sealed, hash),
    sealManifest: (plain, place) => seal(manifestKey, plain, Buffer.from(place)),
    openManifest: (sealed, place) => unseal(manifestKey, sealed, Buffer.from(place)),
  };
}

type Sessions = Pick<RepositoryKeys, 'startSession' | 'dataKeyOf'>;

function sessionsOf(dataKey: Uint8Array): Sessions {
  return {
    startSession: () => {
      const keySlot = randomBytes(SALT_BYTES);
      return { dataKey: derive(dataKey, 'session', keySlot), keySlot };
    },
    dataKeyOf: (keySlot) => derive(dataKey, 'session', keySlot),
  };
}

function sealedSessions({ publicKey, privateKey }: Extract<DataAccess, { type: 'sealed' }>): Sessions {
  return {
    startSession: () => {
      const dataKey = randomBytes(KEY_BYTES);
      return { dataKey, keySlot: sealTo(publicKey, dataKey, 'session') };
    },
    dataKeyOf: (keySlot) => {
      if (privateKey === undefined)
        throw new RepositoryError('key', 'reading what is stored takes the private key of a recipient');
      const dataKey = openWith(privateKey, keySlot, 'session');
      // The private key is known to be right: it opened the repository.
      if (dataKey === undefined)
        throw new DamagedError('hash', 'the key of a pack is damaged: it does not open with the private key');
      return dataKey;
    },
  };
}

/** AES-256-GCM: nonce, encrypted bytes, tag. Nonces are random: a key has far fewer than 2^32 uses. */
export function seal(key: Uint8Array, plain: Uint8Array, aad: Uint8Array = NO_AAD): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(aad);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** @returns undefined where it was not sealed with this key for this place */
export function unseal(key: Uint8Array, sealed: Uint8Array, aad: Uint8Array = NO_AAD): Buffer | undefined {
  const end = sealed.length - TAG_BYTES;
  if (end < NONCE_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(aad).setAuthTag(sealed.subarray(end));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES, end));
  try {
    return Buffer.concat([plain, decipher.final()]);
  } catch {
    // Node gives this failure, which is the answer, no code.
    return undefined;
  }
}

/** A key for one purpose. */
export function derive(key: Uint8Array, purpose: string, salt: Uint8Array = NO_AAD): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, `libvirt-ts-backup ${purpose}`, KEY_BYTES));
}

/** An X25519 key pair, 32 bytes each. */
export function generateRecipient(): { readonly publicKey: Buffer; readonly privateKey: Buffer } {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(SPKI_PREFIX.length),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(PKCS8_PREFIX.length),
  };
}

/** For the owner of a private key alone: a fresh public key, and what is sealed by it and theirs. */
export function sealTo(publicKey: Uint8Array, plain: Uint8Array, purpose: string): Buffer {
  const fresh = generateRecipient();
  const key = sharedKey(fresh.privateKey, publicKey, {
    fresh: fresh.publicKey,
    recipient: publicKey,
    purpose,
  });
  return Buffer.concat([fresh.publicKey, seal(key, plain)]);
}

/** @returns undefined where it was sealed to another */
export function openWith(privateKey: Uint8Array, sealed: Uint8Array, purpose: string): Buffer | undefined {
  const fresh = sealed.subarray(0, KEY_BYTES);
  if (fresh.length < KEY_BYTES) return undefined;
  const recipient = publicKeyOf(privateKey);
  const key = sharedKey(privateKey, fresh, { fresh, recipient, purpose });
  return unseal(key, sealed.subarray(KEY_BYTES));
}

/** The public key of an X25519 private key. */
export function publicKeyOf(privateKey: Uint8Array): Buffer {
  return createPublicKey(privateKeyObject(privateKey))
    .export({ type: 'spki', format: 'der' })
    .subarray(SPKI_PREFIX.length);
}

function sharedKey(
  privateKey: Uint8Array,
  publicKey: Uint8Array,
  { fresh, recipient, purpose }: Record<'fresh' | 'recipient', Uint8Array> & { readonly purpose: string },
): Buffer {
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), type: 'spki', format: 'der' });
  const secret = diffieHellman({ privateKey: privateKeyObject(privateKey), publicKey: key });
  return derive(secret, purpose, Buffer.concat([fresh, recipient]));
}

function privateKeyObject(bytes: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, bytes]), type: 'pkcs8', format: 'der' });
}
