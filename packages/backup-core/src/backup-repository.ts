import { localJobFiles } from './adapters/folder/job-files.ts';
import { createRawFile } from './adapters/folder/raw-file.ts';
import { folderStorage } from './adapters/folder/storage.ts';
import { hypervisorDomain, type LibvirtDomainHandle } from './adapters/libvirt/domain.ts';
import { openNbdExport } from './adapters/nbd/open-export.ts';
import { ownerState, processIdentity } from './adapters/process-identity.ts';
import type { OpenExport } from './ports/block-source.ts';
import type { HypervisorDomain } from './ports/domain.ts';
import type { Sink } from './ports/sink.ts';
import type { Storage } from './ports/storage.ts';
import { checkAudit } from './protect/audit-window.ts';
import { forgetDomain, type ForgetOptions, type ForgetResult } from './protect/forget-domain.ts';
import { type BackupResult, takeBackup, type TakeBackupOptions } from './protect/take-backup.ts';
import type { EncryptionOptions, RepositoryKey } from './repository/key-envelope.ts';
import type { OpenRepository } from './repository/open-repository.ts';
import type { Point } from './repository/point.ts';
import { listPoints, type PointListing } from './repository/points.ts';
import {
  type Compression,
  createRepositoryFile,
  type OpenRepositoryFile,
  openRepositoryFile,
} from './repository/repository-file.ts';
import { DiskReader } from './repository/tree/disk-reader.ts';
import { TreeStore } from './repository/tree/tree-store.ts';
import { copyRanges } from './transfer/copy.ts';
import {
  abortSignal,
  checkOptions,
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
import { BackupUsageError, NotFoundError, RepositoryError } from './words/errors.ts';
import { shown } from './words/peer-names.ts';
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

/** For `BackupRepository.restore`. */
export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Which domain: a libvirt domain, its name or its UUID. */
export type DomainSelector = string | { readonly uuid: string };

const anything: OptionCheck = { wanted: 'anything', accepts: () => true };
const threads: OptionCheck = {
  wanted: 'a whole number from 0 to 64',
  accepts: (value) => value === 0 || (positiveInteger.accepts(value) && (value as number) <= 64),
};

const OPEN_OPTIONS: OptionChecks<OpenRepositoryOptions> = {
  create: trueOrFalse,
  compression: oneOf('none', 'deflate', 'zstd'),
  encryption: someObject,
  key: anything,
  privateKey: { wanted: '32 bytes', accepts: (value) => value instanceof Uint8Array && value.length === 32 },
  workers: threads,
  openExport: someFunction,
  signal: abortSignal,
};

const BACKUP_OPTIONS: OptionChecks<TakeBackupOptions> = {
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
const RESTORE_OPTIONS: OptionChecks<RestoreOptions> = { signal: abortSignal, onProgress: someFunction };
const FORGET_OPTIONS: OptionChecks<ForgetOptions> = {
  dryRun: trueOrFalse,
  all: trueOrFalse,
  signal: abortSignal,
};

/**
 * A place with the backups of any number of domains: a folder, or any storage. Every point is a whole disk that shares
 * with earlier ones what is the same.
 *
 * Several independent repositories may protect one domain: each has its own checkpoint on it. Several processes may
 * work in one repository at a time, one of them on a domain.
 */
export class BackupRepository implements AsyncDisposable {
  /** Random, part of the names of this repository's jobs and checkpoints. */
  readonly id: string;
  /** Where it is: the path of a folder, or what the storage says of itself. */
  readonly description: string;
  readonly #repository: OpenRepository;
  readonly #openExport: OpenExport;

  private constructor(repository: OpenRepository, openExport: OpenExport) {
    this.id = repository.id;
    this.description = repository.store.storage.description;
    this.#repository = repository;
    this.#openExport = openExport;
  }

  /**
   * @param place - the path of a folder, or a storage, which is closed with the repository
   * @throws BackupUsageError; RepositoryError `absent`, `foreign`, `format`, `key`, `denied`, `full` or `storage`
   */
  static async open(place: string | Storage, options: OpenRepositoryOptions = {}): Promise<BackupRepository> {
    checkOptions('BackupRepository.open', options, OPEN_OPTIONS);
    if (place === '') throw new BackupUsageError('option', 'the path of the repository is empty');
    const storage = typeof place === 'string' ? folderStorage(place) : place;
    try {
      const file = await openOrCreate(storage, options);
      const store = new TreeStore(storage, file, { workers: options.workers });
      const owners = { self: processIdentity, state: ownerState };
      return new BackupRepository({ id: file.id, store, owners }, options.openExport ?? openNbdExport);
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  /**
   * Backs a running domain up. On any failure, and on an abort, the domain and the points are as before. A point that
   * is stored is never a failure: what went wrong afterwards is in the result's remarks.
   *
   * @throws BackupUsageError, NotFoundError, BackupPlanError or HypervisorError (nothing was started), BackupJobError,
   * RepositoryError, or the signal's reason
   */
  async backup(
    domain: LibvirtDomainHandle | HypervisorDomain,
    options: TakeBackupOptions = {},
  ): Promise<BackupResult> {
    checkOptions('backup', options, BACKUP_OPTIONS);
    const tools = { openExport: this.#openExport, files: localJobFiles };
    return takeBackup({ repository: this.#repository, domain: hypervisorDomain(domain), tools }, options);
  }

  /**
   * The points of one domain or of all, oldest first. Those that are damaged are left out: `inspect` lists them.
   *
   * @throws NotFoundError `domain`, RepositoryError
   */
  async points(domain?: DomainSelector): Promise<readonly Point[]> {
    const { points } = await this.inspect(domain);
    return points.map(({ point }) => point);
  }

  /**
   * The points with what they are stored as, and the manifests that are damaged.
   *
   * @throws as `points`
   */
  async inspect(
    domain?: DomainSelector,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<PointListing> {
    checkOptions('inspect', options, { signal: abortSignal });
    const { storage, keys } = this.#repository.store;
    if (typeof domain === 'object') return listPoints(storage, { uuid: domain.uuid, keys, ...options });
    const listing = await listPoints(storage, { keys, ...options });
    if (domain === undefined) return listing;
    const points = listing.points.filter(({ point }) =>
      [point.domain.uuid, point.domain.name].includes(domain),
    );
    const uuids = new Set(points.map(({ point }) => point.domain.uuid));
    if (uuids.size === 1) return { ...listing, points };
    const known = [
      ...new Set(listing.points.map(({ point }) => `${point.domain.name} (${point.domain.uuid})`)),
    ];
    throw new NotFoundError(
      'domain',
      uuids.size === 0
        ? `${this.description} has no point of domain ${shown(domain)}, only of: ${shown(known.join(', ') || 'none')}`
        : `${this.description} has points of several domains named ${shown(domain)}, give the UUID: ${[...uuids].join(', ')}`,
    );
  }

  /**
   * Writes a disk as it was at a point to a new raw file, or into a sink, every block checked. A file appears when it
   * is whole.
   *
   * @param disk - `<target dev>`, such as `vda`
   * @throws NotFoundError `disk`, DamagedError if anything stored is missing or damaged, SinkError, RepositoryError, or
   * the signal's reason
   */
  async restore(
    point: Point,
    disk: string,
    target: string | Sink,
    options: RestoreOptions = {},
  ): Promise<void> {
    checkOptions('restore', options, RESTORE_OPTIONS);
    const { signal, onProgress } = options;
    const reader = this.openDisk(point, disk);
    const sink = typeof target === 'string' ? await createRawFile(target, reader.size) : target;
    try {
      await copyRanges([reader], reader.extents({ signal }), sink, {
        inFlight: 3,
        signal,
        onProgress: ({ dataBytes, zeroBytes }) =>
          onProgress?.({ phase: 'restore', disk, done: dataBytes + zeroBytes, total: reader.size }),
      });
    } catch (error) {
      await sink.discard();
      throw error;
    }
    await sink.finish();
  }

  /**
   * A disk as it was at a point, to be read at random.
   *
   * @param disk - `<target dev>`, such as `vda`
   * @throws NotFoundError `disk`
   */
  openDisk(point: Point, disk: string): DiskReader {
    const stored = point.disks.find(({ name }) => name === disk);
    if (stored === undefined) {
      const names = point.disks.map(({ name }) => name).join(', ');
      throw new NotFoundError(
        'disk',
        `point ${point.id} has no disk ${shown(disk)}, only ${names || 'none'}`,
      );
    }
    return new DiskReader(this.#repository.store, { root: stored.root ?? undefined, size: stored.size });
  }

  /**
   * Takes this repository's checkpoints and bitmaps off a domain, so that it can be undefined, or reverted to an
   * internal snapshot. The points stay; the next backup reads the domain in full.
   *
   * @throws BackupUsageError, HypervisorError, RepositoryError, or the signal's reason
   */
  async forgetDomain(
    domain: LibvirtDomainHandle | HypervisorDomain,
    options: ForgetOptions = {},
  ): Promise<ForgetResult> {
    checkOptions('forgetDomain', options, FORGET_OPTIONS);
    return forgetDomain(this.#repository, hypervisorDomain(domain), options);
  }

  /** Ends the workers and lets go of the storage. */
  async close(): Promise<void> {
    const { store } = this.#repository;
    await store.close();
    await store.storage.close();
  }

  /** As `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function openOrCreate(storage: Storage, options: OpenRepositoryOptions): Promise<OpenRepositoryFile> {
  const { create = true, compression, encryption, key, privateKey, signal } = options;
  try {
    const opening = encryption?.key ?? key;
    const file = await openRepositoryFile(storage, { key: opening, privateKey, signal });
    // Whoever brings a key relies on it.
    if (opening === undefined || file.keys !== undefined) return file;
    throw new RepositoryError('key', `${storage.description} is not encrypted, but a key was given`);
  } catch (error) {
    if (!create || !(error instanceof RepositoryError) || error.reason !== 'absent') throw error;
    return createRepositoryFile(storage, { compression, encryption, signal });
  }
}
