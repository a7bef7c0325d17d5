import type { OpenExport } from './ports/block-source.ts';
import type { Sink } from './ports/sink.ts';
import { checkAudit } from './protect/audit-window.ts';
import type { ForgetOptions } from './protect/forget-domain.ts';
import type { TakeBackupOptions } from './protect/take-backup.ts';
import type { VerifyLiveOptions } from './protect/verify-live.ts';
import type { KeepPolicy } from './repository/keep-policy.ts';
import type { KeyChange } from './repository/change-key.ts';
import type { EncryptionOptions } from './repository/key-envelope.ts';
import type { RepositoryKey } from './repository/key-slot.ts';
import type { Compression } from './repository/repository-file.ts';
import type { VerifyMode } from './repository/verify/verify.ts';
import {
  abortSignal,
  listOfDisks,
  milliseconds,
  oneOf,
  type OptionCheck,
  type OptionChecks,
  positiveInteger,
  someFunction,
  someObject,
  someText,
  trueOrFalse,
} from './words/check-options.ts';
import type { OnProgress } from './words/progress.ts';

/** How a repository is opened. */
export interface OpenRepositoryOptions {
  /** Makes a repository of a place that is empty. Default true. */
  readonly create?: boolean | undefined;
  /** Of a repository that is made: how new blocks are packed. Default `none`. */
  readonly compression?: Compression | undefined;
  /** Of a repository that is made: who can read it. Default: nothing is encrypted. */
  readonly encryption?: EncryptionOptions | undefined;
  /** Of an encrypted repository. */
  readonly key?: RepositoryKey | undefined;
  /** Of a recipient, X25519: to read what is sealed to public keys. */
  readonly privateKey?: Uint8Array | undefined;
  /** Threads that hash, pack and encrypt; 0: none but the calling one. Default 2. */
  readonly workers?: number | undefined;
  /** How the exports of a job are opened; default: with `nbd-ts-client`. */
  readonly openExport?: OpenExport | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** For `BackupRepository.prune`. */
export interface PruneRepositoryOptions {
  /** Whose points; default: those of all domains, each domain by itself. */
  readonly domain?: DomainSelector | undefined;
  /** Only says what would be removed. */
  readonly dryRun?: boolean | undefined;
  /**
   * Space is freed when at least this share of what is stored is thought to be of no use; 0: at once. Removing points
   * costs as much as they differ from their neighbours, freeing space a look at all that is stored. Default: 1/16; 0
   * for less than 1 GiB.
   */
  readonly sweepShare?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes of packs looked at and written anew. */
  readonly onProgress?: OnProgress | undefined;
}

/** For `BackupRepository.forgetPoints`. */
export type ForgetPointsOptions = Omit<PruneRepositoryOptions, 'domain'>;

/** For `BackupRepository.restore`. */
export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes written, data and zeroes, out of the disk's size. */
  readonly onProgress?: OnProgress | undefined;
}

/** Where a disk is written: a new raw file by its path, what is there already, an NBD export by its URI, or a sink. */
export type RestoreTarget = string | { readonly existing: string } | { readonly nbd: string } | Sink;

/** Which domain: a libvirt domain, its name or its UUID. */
export type DomainSelector = string | { readonly uuid: string };

/** The path of a folder, or a storage. */
export const PLACE: OptionCheck = {
  wanted: 'a path or a storage',
  accepts: (value) => someText.accepts(value) || hasFunctions(value, 'get', 'put', 'list'),
};
/** See `DomainSelector`. */
export const DOMAIN: OptionCheck = {
  wanted: "a domain's name, its UUID, or an object with its uuid",
  accepts: (value) => typeof value === 'string' || someText.accepts(fieldsOf(value)['uuid']),
};
/** A point as `BackupRepository.points` has it. */
export const POINT: OptionCheck = {
  wanted: 'a point of a repository',
  accepts: (value) => {
    const { id, domain, disks } = fieldsOf(value);
    return someText.accepts(id) && someText.accepts(fieldsOf(domain)['uuid']) && Array.isArray(disks);
  },
};
/** See `RestoreTarget`. */
export const TARGET: OptionCheck = {
  wanted: 'a path, { existing: path }, { nbd: URI } or a sink',
  accepts: (value) =>
    someText.accepts(value) ||
    someText.accepts(fieldsOf(value)['existing']) ||
    someText.accepts(fieldsOf(value)['nbd']) ||
    hasFunctions(value, 'write', 'zero', 'finish', 'discard'),
};

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function hasFunctions(value: unknown, ...names: readonly string[]): boolean {
  return names.every((name) => typeof fieldsOf(value)[name] === 'function');
}

/** Ids of points. */
export const idsOfPoints: OptionCheck = {
  wanted: 'an array of ids of points',
  accepts: (value) => Array.isArray(value) && value.every((id) => someText.accepts(id)),
};
const someKey: OptionCheck = {
  wanted: '{ passphrase }, 32 bytes or a function',
  accepts: (value) => someObject.accepts(value) || someFunction.accepts(value),
};
const countOfPoints: OptionCheck = {
  wanted: 'a whole number from 0 on',
  accepts: (value) => value === 0 || positiveInteger.accepts(value),
};
const threads: OptionCheck = {
  wanted: 'a whole number from 0 to 64',
  accepts: (value) => value === 0 || (positiveInteger.accepts(value) && (value as number) <= 64),
};

/** The checks of options of that name. */
export const OPEN_OPTIONS: OptionChecks<OpenRepositoryOptions> = {
  create: trueOrFalse,
  compression: oneOf('none', 'deflate', 'zstd'),
  encryption: someObject,
  key: someKey,
  privateKey: { wanted: '32 bytes', accepts: (value) => value instanceof Uint8Array && value.length === 32 },
  workers: threads,
  openExport: someFunction,
  signal: abortSignal,
};

/** The checks of options of that name. */
export const INFO_OPTIONS: OptionChecks<{
  key?: RepositoryKey | undefined;
  signal?: AbortSignal | undefined;
}> = {
  key: someKey,
  signal: abortSignal,
};

const keyBytes = (value: unknown): boolean => value instanceof Uint8Array && value.length === 32;
const isNewKey = (value: unknown): boolean =>
  someObject.accepts(value) && someObject.accepts((value as { key?: unknown }).key);
const listOf = (wanted: string, isOne: (value: unknown) => boolean): OptionCheck => ({
  wanted: `an array of ${wanted}`,
  accepts: (value) => Array.isArray(value) && value.every(isOne),
});

/** The checks of options of that name. */
export const KEY_CHANGE: OptionChecks<KeyChange> = {
  key: someKey,
  privateKey: { wanted: '32 bytes', accepts: keyBytes },
  newKey: { wanted: '{ key, wrapped }', accepts: isNewKey },
  addKeys: listOf('{ key, wrapped }', isNewKey),
  removeKeys: listOf('ids of keys', someText.accepts),
  addRecipients: listOf('public keys, 32 bytes each', keyBytes),
  removeRecipients: listOf('public keys, 32 bytes each', keyBytes),
  dryRun: trueOrFalse,
  signal: abortSignal,
};

/** The checks of options of that name. */
export const BACKUP_OPTIONS: OptionChecks<TakeBackupOptions> = {
  mode: oneOf('auto', 'full', 'incremental'),
  disks: listOfDisks,
  scratchDir: someText,
  audit: {
    wanted: 'a share from 0 to 1 or a whole number of bytes',
    accepts: (value) => typeof checkAudit(value) === 'number',
  },
  idleTimeoutMs: milliseconds,
  maxTreeAgeMs: positiveInteger,
  signal: abortSignal,
  onProgress: someFunction,
};
/** The checks of options of that name. */
export const RESTORE_OPTIONS: OptionChecks<RestoreOptions> = {
  signal: abortSignal,
  onProgress: someFunction,
};
/** The checks of options of that name. */
export const KEEP_POLICY: OptionChecks<KeepPolicy> = {
  keepLast: countOfPoints,
  keepHourly: countOfPoints,
  keepDaily: countOfPoints,
  keepWeekly: countOfPoints,
  keepMonthly: countOfPoints,
  keepYearly: countOfPoints,
  minAgeMs: countOfPoints,
  protected: idsOfPoints,
};
/** The checks of options of that name. */
export const FORGET_POINTS_OPTIONS: OptionChecks<ForgetPointsOptions> = {
  dryRun: trueOrFalse,
  sweepShare: {
    wanted: 'a share from 0 to 1',
    accepts: (value) => typeof value === 'number' && value >= 0 && value <= 1,
  },
  signal: abortSignal,
  onProgress: someFunction,
};
/** The checks of options of that name. */
export const PRUNE_OPTIONS: OptionChecks<PruneRepositoryOptions> = {
  ...FORGET_POINTS_OPTIONS,
  domain: DOMAIN,
};
/** The checks of options of that name. */
export const FORGET_OPTIONS: OptionChecks<ForgetOptions> = {
  dryRun: trueOrFalse,
  all: trueOrFalse,
  signal: abortSignal,
};

/** For `BackupRepository.verify`. */
export interface VerifyRepositoryOptions {
  /**
   * `quick`, the default: manifests, pages and the tables of packs; a sample: a share of the blocks, chosen by lot, too;
   * `deep`: every block.
   */
  readonly mode?: VerifyMode | undefined;
  /** Ids; default: all. */
  readonly points?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes checked, out of those that are to be. */
  readonly onProgress?: OnProgress | undefined;
}

/** For `copyPoints`. */
export interface CopyPointsOptions {
  /** Ids; default: all. */
  readonly points?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of bytes looked at, out of all those of the points. */
  readonly onProgress?: OnProgress | undefined;
}

/** For `BackupRepository.repair`. */
export interface RepairRepositoryOptions extends VerifyRepositoryOptions {
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Damaged manifests, as a listing names them, that are moved out of the way. */
  readonly manifests?: readonly string[] | undefined;
}

/** The checks of options of that name. */
export const COPY_OPTIONS: OptionChecks<CopyPointsOptions> = {
  points: idsOfPoints,
  signal: abortSignal,
  onProgress: someFunction,
};
/** The checks of options of that name. */
export const VERIFY_OPTIONS: OptionChecks<VerifyRepositoryOptions> = {
  ...COPY_OPTIONS,
  mode: {
    wanted: '"quick", "deep" or { sample: share }',
    accepts: (value) => value === 'quick' || value === 'deep' || someObject.accepts(value),
  },
};
/** The checks of options of that name. */
export const REPAIR_OPTIONS: OptionChecks<RepairRepositoryOptions> = {
  ...VERIFY_OPTIONS,
  dryRun: trueOrFalse,
  manifests: { wanted: 'an array of names of manifests', accepts: Array.isArray },
};
/** The checks of options of that name. */
export const LIVE_OPTIONS: OptionChecks<VerifyLiveOptions> = {
  disks: listOfDisks,
  share: {
    wanted: 'a share above 0 and up to 1',
    accepts: (value) => typeof value === 'number' && value > 0 && value <= 1,
  },
  scratchDir: someText,
  idleTimeoutMs: milliseconds,
  signal: abortSignal,
  onProgress: someFunction,
};
