import { randomBytes } from 'node:crypto';
import * as zlib from 'node:zlib';
import type { Storage } from '../ports/storage.ts';
import { BackupUsageError, messageOf, RepositoryError } from '../words/errors.ts';
import { shown } from '../words/peer-names.ts';
import { BLOCK_SIZE, REPOSITORY_FILE } from './format.ts';
import { COMPANIONS } from './companions.ts';
import {
  checkedEncryption,
  createEncryption,
  type EncryptionFields,
  type EncryptionOptions,
  openEncryption,
  type OpeningKeys,
} from './key-envelope.ts';
import type { RepositoryKeys } from './seal.ts';
import { isMissing, isTaken, storageFailure } from './storage-errors.ts';

const FORMAT = 2;
const ID = /^[0-9a-f]{8}$/;
/** Names that a new file system, or a file browser, has of itself. */
const STRAYS = /^(lost\+found|\.DS_Store|\.snapshot)(\/|$)/;
/** What creation puts before `repository.json`, so a crash may have left it. */
const OWN = /^(README\.txt|restore\.py)$/;
const COMPRESSIONS = ['none', 'deflate', 'zstd'] as const;

/** How new blocks are packed. */
export type Compression = (typeof COMPRESSIONS)[number];

/** What a repository says of itself. */
export interface OpenRepositoryFile {
  readonly format: number;
  /** Random, part of the names of this repository's jobs and checkpoints. */
  readonly id: string;
  readonly blockSize: number;
  readonly compression: Compression;
  /** undefined: nothing is encrypted. */
  readonly keys: RepositoryKeys | undefined;
}

export interface CreateRepositoryOptions {
  /** Default `none`. */
  readonly compression?: Compression | undefined;
  readonly encryption?: EncryptionOptions | undefined;
  /** Of a recipient. */
  readonly privateKey?: Uint8Array | undefined;
  /** What else is put into a new repository; default: a program that restores from it, and how to use it. */
  readonly companions?: Readonly<Record<string, Uint8Array>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface OpenRepositoryFileOptions extends OpeningKeys {
  readonly signal?: AbortSignal | undefined;
}

/** What `repository.json` says. */
export interface RepositoryFields {
  readonly format: number;
  readonly id: string;
  readonly blockSize: number;
  readonly compression: Compression;
  /** ISO 8601, UTC. */
  readonly createdAt?: string | undefined;
  readonly encryption?: EncryptionFields | undefined;
}

/**
 * Makes a repository of a place that is empty. Of several who do at once, and after a crash at any moment, there is
 * one repository in the end.
 *
 * @throws RepositoryError `foreign` where something else is
 */
export async function createRepositoryFile(
  storage: Storage,
  options: CreateRepositoryOptions = {},
): Promise<OpenRepositoryFile> {
  const { compression = 'none', encryption, companions = COMPANIONS, privateKey, signal } = options;
  if (!COMPRESSIONS.includes(compression))
    throw new BackupUsageError('option', `compression must be one of ${COMPRESSIONS.join(', ')}`);
  if (!canPack(compression))
    throw new BackupUsageError(
      'option',
      `compression zstd needs Node 22.15 or later, not ${process.version}`,
    );
  await checkEmpty(storage, signal);
  const id = randomBytes(4).toString('hex');
  const content = encodeRepositoryFile({
    format: FORMAT,
    id,
    blockSize: BLOCK_SIZE,
    compression,
    createdAt: new Date().toISOString(),
    encryption: encryption && (await createEncryption(id, encryption)),
  });
  for (const [name, bytes] of Object.entries(companions)) await putIfAbsent(storage, name, bytes, signal);
  await putIfAbsent(storage, REPOSITORY_FILE, content, signal);
  // Somebody else's may have come first.
  return openRepositoryFile(storage, { key: encryption?.key, privateKey, signal });
}

/** @throws RepositoryError `absent`, `format`, `foreign`, `key` */
export async function openRepositoryFile(
  storage: Storage,
  { key, privateKey, signal }: OpenRepositoryFileOptions = {},
): Promise<OpenRepositoryFile> {
  const { fields } = await readRepositoryFile(storage, signal);
  const { format, id, blockSize, compression, encryption } = fields;
  if (!canPack(compression))
    throw new RepositoryError(
      'format',
      `${storage.description} is packed with zstd, which needs Node 22.15 or later, not ${process.version}`,
    );
  const keys = encryption && (await openEncryption(id, encryption, { key, privateKey }));
  return { format, id, blockSize, compression, keys };
}

/**
 * What a repository says of itself, without any key.
 *
 * @throws RepositoryError `absent`, `format`, `foreign`
 */
export async function readRepositoryFile(
  storage: Storage,
  signal?: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly fields: RepositoryFields }> {
  const bytes = await readFile(storage, signal);
  const fields = parse(bytes, storage.description);
  const { format, id, blockSize, compression, createdAt, encryption } = fields;
  if (format !== FORMAT)
    throw new RepositoryError(
      'format',
      `${storage.description} is a repository of format ${String(format)}; this version knows ${FORMAT}`,
    );
  const isSound = typeof id === 'string' && ID.test(id) && blockSize === BLOCK_SIZE;
  if (!isSound || (createdAt !== undefined && typeof createdAt !== 'string'))
    throw new RepositoryError('format', `${REPOSITORY_FILE} in ${storage.description} makes no sense`);
  const known = COMPRESSIONS.find((each) => each === compression);
  if (known === undefined)
    throw new RepositoryError('format', `the compression of ${storage.description} is not known`);
  if (encryption !== undefined) checkedEncryption(encryption, storage.description);
  return { bytes, fields: fields as unknown as RepositoryFields };
}

/** The object that is `repository.json`. */
export function encodeRepositoryFile(fields: RepositoryFields): Uint8Array {
  return Buffer.from(`${JSON.stringify(fields, null, 1)}\n`);
}

async function readFile(storage: Storage, signal: AbortSignal | undefined): Promise<Uint8Array> {
  try {
    return await storage.get(REPOSITORY_FILE, { signal });
  } catch (error) {
    if (isMissing(error))
      throw new RepositoryError(
        'absent',
        `${storage.description} is not a repository: it has no ${REPOSITORY_FILE}`,
        { cause: error },
      );
    throw storageFailure(`read ${REPOSITORY_FILE} in ${storage.description}`, error, signal);
  }
}

function parse(bytes: Uint8Array, description: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
    throw new Error('it is not an object');
  } catch (error) {
    throw new RepositoryError('foreign', `${REPOSITORY_FILE} in ${description}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function checkEmpty(storage: Storage, signal: AbortSignal | undefined): Promise<void> {
  let foreign: string | undefined;
  try {
    for await (const { name } of storage.list('', { signal })) {
      // Somebody made it meanwhile, and may have begun to use it.
      if (name === REPOSITORY_FILE) return;
      if (!STRAYS.test(name) && !OWN.test(name)) foreign = name;
    }
  } catch (error) {
    throw storageFailure(`look into ${storage.description}`, error, signal);
  }
  if (foreign !== undefined)
    throw new RepositoryError(
      'foreign',
      `${storage.description} is neither empty nor a repository: it has ${shown(foreign)}`,
    );
}

async function putIfAbsent(
  storage: Storage,
  name: string,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await storage.put(name, bytes, { signal });
  } catch (error) {
    if (!isTaken(error)) throw storageFailure(`create ${name} in ${storage.description}`, error, signal);
  }
}

function canPack(compression: Compression): boolean {
  return compression !== 'zstd' || 'zstdCompressSync' in zlib;
}
