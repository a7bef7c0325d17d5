import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Compression } from 'libvirt-ts-backup';
import { choice, list, type Option, text } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';

const KEY_BYTES = 32;

/** `--key-file`, for commands that open a repository. */
export const keyOptions: { readonly 'key-file': Option<string | undefined> } = {
  'key-file': text(
    'FILE',
    'of an encrypted repository: a file with 32 bytes, or with a passphrase as its first line; a repository that is made is encrypted with it',
  ),
};

/** A key as a file has it. */
export type FileKey = Uint8Array | { readonly passphrase: string };

/** What `--key-file` names; undefined: it is not given. */
export async function readKey(values: {
  readonly 'key-file': string | undefined;
}): Promise<FileKey | undefined> {
  const path = values['key-file'];
  return path === undefined ? undefined : readKeyFile('key-file', path);
}

/** @param option - that names the file, for messages */
export async function readKeyFile(option: string, path: string): Promise<FileKey> {
  const bytes = await readOptionFile(option, path);
  if (bytes.length === KEY_BYTES) return new Uint8Array(bytes);
  const [passphrase = ''] = bytes.toString('utf8').split('\n');
  if (passphrase === '') throw new UsageError(`--${option} ${path} is empty`);
  return { passphrase };
}

/** `--private-key-file`, for commands that read what is stored. */
export const privateKeyOption: { readonly 'private-key-file': Option<string | undefined> } = {
  'private-key-file': text(
    'FILE',
    "of a repository that is sealed to recipients: one's X25519 private key, as PEM or 32 bytes",
  ),
};

/** What `--private-key-file` names; undefined: it is not given. */
export async function readPrivateKey(values: {
  readonly 'private-key-file': string | undefined;
}): Promise<Uint8Array | undefined> {
  const path = values['private-key-file'];
  if (path === undefined) return undefined;
  const bytes = await readOptionFile('private-key-file', path);
  if (bytes.length === KEY_BYTES) return new Uint8Array(bytes);
  try {
    const { crv, d } = createPrivateKey(bytes).export({ format: 'jwk' });
    if (crv === 'X25519' && d !== undefined) return new Uint8Array(Buffer.from(d, 'base64url'));
  } catch (error) {
    throw new UsageError(`--private-key-file ${path} is no X25519 private key`, { cause: error });
  }
  throw new UsageError(`--private-key-file ${path} is no X25519 private key`);
}

async function readOptionFile(option: string, path: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    throw new UsageError(
      `--${option} ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
}

/** An option that takes recipients, each 32 bytes as base64. */
export function recipientsOption(help: string): Option<readonly Uint8Array[] | undefined> {
  const words = list('KEY,KEY', help);
  return {
    ...words,
    read(texts, name) {
      return words.read(texts, name)?.map((word) => {
        const bytes = Buffer.from(word, 'base64');
        if (bytes.length === KEY_BYTES && bytes.toString('base64') === word) return new Uint8Array(bytes);
        throw new UsageError(`--${name} takes X25519 public keys, 32 bytes as base64, not ${word}`);
      });
    },
  };
}

/** How a repository is made, for commands that make one. */
export const creationOptions: {
  readonly recipient: Option<readonly Uint8Array[] | undefined>;
  readonly compression: Option<Compression>;
} = {
  recipient: recipientsOption(
    'of a repository that is made with a key: X25519 public keys, as base64; only the owner of such a private key can read what is stored',
  ),
  compression: choice(
    ['none', 'deflate', 'zstd'],
    'none',
    'of a repository that is made: how blocks are packed; zstd needs Node 22.15 or later wherever it is read',
  ),
};

/** The encryption of a repository that is made, and what one that is there is opened with. */
export function encryptionOf(
  key: FileKey | undefined,
  recipients: readonly Uint8Array[] | undefined,
  option = 'key-file',
): { readonly key: FileKey; readonly recipients?: readonly Uint8Array[] | undefined } | undefined {
  if (key !== undefined) return { key, recipients };
  if (recipients !== undefined) throw new UsageError(`--recipient goes with --${option}`);
  return undefined;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `--audit`: a share, a percentage or bytes. */
export const auditOption: Option<number | undefined> = {
  value: 'SHARE|BYTES',
  help: 'how much of what a bitmap calls clean is read and compared: 0.02 or 2% of each disk, or bytes such as 256M; default as many bytes as were dirty, at least 64M, at most 1%',
  isRequired: false,
  isRepeatable: false,
  read([given], name) {
    if (given === undefined) return undefined;
    const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([KMGT%]?)$/.exec(given) ?? [];
    const share =
      unit === '%' || number.includes('.') ? Number(number) / (unit === '%' ? 100 : 1) : undefined;
    const audit = share ?? Number(number) * (UNITS[unit] ?? NaN);
    if (number === '' || (share !== undefined && (share > 1 || (unit !== '' && unit !== '%'))))
      throw new UsageError(`--${name} takes a share such as 0.02 or 2%, or bytes such as 256M, not ${given}`);
    return audit;
  },
};
