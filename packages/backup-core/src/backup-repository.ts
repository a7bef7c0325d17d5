import { localJobFiles } from './adapters/folder/job-files.ts';
import { openExistingDisk } from './adapters/folder/existing-disk.ts';
import { createRawFile } from './adapters/folder/raw-file.ts';
import { folderStorage } from './adapters/folder/storage.ts';
import { hypervisorDomain, type LibvirtDomainHandle } from './adapters/libvirt/domain.ts';
import { openNbdSink } from './adapters/nbd/nbd-sink.ts';
import { openNbdExport } from './adapters/nbd/open-export.ts';
import { ownerState, processIdentity } from './adapters/process-identity.ts';
import { countsOfBackup, countsOfCopy, countsOfRemoval, countsOfVerify } from './counts.ts';
import { traceWork } from './diagnostics.ts';
import type { OpenExport } from './ports/block-source.ts';
import type { HypervisorDomain } from './ports/domain.ts';
import type { Sink } from './ports/sink.ts';
import type { Storage } from './ports/storage.ts';
import { forgetDomain, type ForgetOptions, type ForgetResult } from './protect/forget-domain.ts';
import { noteRemoval } from './protect/job-notes.ts';
import { type BackupResult, takeBackup, type TakeBackupOptions } from './protect/take-backup.ts';
import { type LiveReport, verifyLive, type VerifyLiveOptions } from './protect/verify-live.ts';
import type { KeepPolicy } from './repository/keep-policy.ts';
import { copyPoints as copyStoredPoints, type CopyPointsReport } from './repository/copy-points.ts';
import { repair, type RepairReport } from './repository/repair.ts';
import { verify, type VerifyReport } from './repository/verify/verify.ts';
import { forgetPoints, prune, type PruneReport, type RemovalOptions } from './repository/prune.ts';
import type { OpenRepository } from './repository/open-repository.ts';
import type { Point } from './repository/point.ts';
import { hasPoint, listPoints, type PointListing } from './repository/points.ts';
import {
  createRepositoryFile,
  type OpenRepositoryFile,
  openRepositoryFile,
} from './repository/repository-file.ts';
import { DiskReader } from './repository/tree/disk-reader.ts';
import { TreeStore } from './repository/tree/tree-store.ts';
import { restoreDisk, type RestoreResult } from './restore/restore-disk.ts';
import { withRestoreLease } from './restore/restore-lease.ts';
import { salvageDisk, type SalvageReport } from './restore/salvage-disk.ts';
import {
  BACKUP_OPTIONS,
  COPY_OPTIONS,
  type CopyPointsOptions,
  DOMAIN,
  type DomainSelector,
  FORGET_OPTIONS,
  FORGET_POINTS_OPTIONS,
  type ForgetPointsOptions,
  idsOfPoints,
  KEEP_POLICY,
  LIVE_OPTIONS,
  OPEN_OPTIONS,
  type OpenRepositoryOptions,
  PLACE,
  POINT,
  PRUNE_OPTIONS,
  type PruneRepositoryOptions,
  REPAIR_OPTIONS,
  type RepairRepositoryOptions,
  RESTORE_OPTIONS,
  type RestoreOptions,
  type RestoreTarget,
  TARGET,
  VERIFY_OPTIONS,
  type VerifyRepositoryOptions,
} from './repository-options.ts';
import {
  abortSignal,
  checkArgument,
  checkOptions,
  type OptionCheck,
  someText,
} from './words/check-options.ts';
import { NotFoundError, RepositoryError } from './words/errors.ts';
import { shown } from './words/peer-names.ts';

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
    checkArgument('the place of the repository', place, PLACE);
    // Not its parents: a mistyped path is to be noticed.
    const storage = typeof place === 'string' ? folderStorage(place, { parents: false }) : place;
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
    const context = { repository: this.#repository, domain: hypervisorDomain(domain), tools };
    return traceWork(
      { work: 'backup', repository: this.id, domain: context.domain.uuid },
      () => takeBackup(context, options),
      countsOfBackup,
    );
  }

  /**
   * The points of one domain or of all, oldest first. Those that are damaged are left out: `inspect` lists them.
   *
   * @throws BackupUsageError, NotFoundError `domain`, RepositoryError
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
    if (domain !== undefined) checkArgument('the domain', domain, DOMAIN);
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
   * Writes a disk as it was at a point, every block checked: to a new raw file, which appears when it is whole, into an
   * existing file or device or an NBD export, of which only what differs is written, or into a sink. A restore to a
   * file that was interrupted goes on where it was when it is asked for again.
   *
   * @param disk - `<target dev>`, such as `vda`
   * @throws BackupUsageError, NotFoundError `point` or `disk`, DamagedError if anything stored is missing or damaged, SinkError,
   * RepositoryError, or the signal's reason
   */
  async restore(
    point: Point,
    disk: string,
    target: RestoreTarget,
    options: RestoreOptions = {},
  ): Promise<RestoreResult> {
    checkOptions('restore', options, RESTORE_OPTIONS);
    checkDiskOf(point, disk);
    checkArgument('the target', target, TARGET);
    const { onProgress } = options;
    const restoring = (): Promise<RestoreResult> =>
      withRestoreLease(this.#repository, point.id, options, async (signal) => {
        const reader = await this.#openListed(point, disk, signal);
        const sink = await this.#openTarget(target, reader, `${point.id} ${disk}`, signal);
        return restoreDisk(reader, sink, { signal, disk, onProgress });
      });
    const about = { work: 'restore', repository: this.id, point: point.id, disk } as const;
    return traceWork(about, restoring, (result) => ({ ...result }));
  }

  /**
   * Writes what is left of a damaged disk to a new raw file, whose name gets `.salvaged` behind it, with zeroes for what
   * is lost.
   *
   * @throws as `restore`, but for what is damaged: that is in the report
   */
  async salvage(
    point: Point,
    disk: string,
    path: string,
    options: RestoreOptions = {},
  ): Promise<SalvageReport & { readonly path: string }> {
    checkOptions('salvage', options, RESTORE_OPTIONS);
    checkDiskOf(point, disk);
    checkArgument('the path', path, someText);
    const { onProgress } = options;
    const salvaged = `${path}.salvaged`;
    const salvaging = (): Promise<SalvageReport> =>
      withRestoreLease(this.#repository, point.id, options, async (signal) => {
        const reader = await this.#openListed(point, disk, signal);
        const sink = await createRawFile(salvaged, reader.size, { signal });
        return salvageDisk(reader, sink, { signal, disk, onProgress });
      });
    const about = { work: 'salvage', repository: this.id, point: point.id, disk } as const;
    return { ...(await traceWork(about, salvaging, ({ badBytes }) => ({ badBytes }))), path: salvaged };
  }

  /** Once the lease is held: from now on the point stays. */
  async #openListed(point: Point, disk: string, signal: AbortSignal | undefined): Promise<DiskReader> {
    const { storage } = this.#repository.store;
    signal?.throwIfAborted();
    if (!(await hasPoint(storage, point.domain.uuid, point.id)))
      throw new NotFoundError('point', `${this.description} has no point ${point.id} any more`);
    return this.openDisk(point, disk);
  }

  async #openTarget(
    target: RestoreTarget,
    { size }: DiskReader,
    content: string,
    signal: AbortSignal | undefined,
  ): Promise<Sink> {
    if (typeof target === 'string')
      return createRawFile(target, size, { content: `${this.id} ${content}`, signal });
    if ('existing' in target && typeof target.existing === 'string')
      return openExistingDisk(target.existing, size, { signal });
    if ('nbd' in target) return openNbdSink(target.nbd, size, { signal, compare: true });
    return target as Sink;
  }

  /**
   * A disk as it was at a point, to be read at random.
   *
   * @param disk - `<target dev>`, such as `vda`
   * @throws BackupUsageError; NotFoundError `disk`
   */
  openDisk(point: Point, disk: string): DiskReader {
    checkDiskOf(point, disk);
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

  /**
   * Checks what is stored. What is damaged is in the report, by point, disk and range.
   *
   * @throws BackupUsageError, NotFoundError `point`, RepositoryError, or the signal's reason
   */
  async verify(options: VerifyRepositoryOptions = {}): Promise<VerifyReport> {
    checkOptions('verify', options, VERIFY_OPTIONS);
    const { store, owners } = this.#repository;
    const checking = { ...options, mode: options.mode ?? 'quick' };
    return traceWork(
      { work: 'verify', repository: this.id },
      () => verify(store, owners, checking),
      countsOfVerify,
    );
  }

  /**
   * Looks as `verify` does, and writes down what is damaged: nothing that is stored from now on shares it, and the next
   * backup of a domain reads anew what its newest point has lost. The points that are damaged stay so.
   *
   * @throws as `verify`, and NotFoundError `point` for a manifest that is not damaged
   */
  async repair(options: RepairRepositoryOptions = {}): Promise<RepairReport> {
    checkOptions('repair', options, REPAIR_OPTIONS);
    const { store, owners } = this.#repository;
    return repair(store, owners, { ...options, mode: options.mode ?? 'quick' });
  }

  /**
   * Compares the newest point of a running domain with it, by hashes: what has not changed since, as the dirty bitmaps
   * say, must be what is stored. Reads the domain through a job of its own, which makes no checkpoint.
   *
   * @throws NotFoundError `point`, and as `backup`
   */
  async verifyLive(
    domain: LibvirtDomainHandle | HypervisorDomain,
    options: VerifyLiveOptions = {},
  ): Promise<LiveReport> {
    checkOptions('verifyLive', options, LIVE_OPTIONS);
    const tools = { openExport: this.#openExport, files: localJobFiles };
    return verifyLive({ repository: this.#repository, domain: hypervisorDomain(domain), tools }, options);
  }

  /** See `copyPoints`. */
  static async copyPoints(
    from: BackupRepository,
    to: BackupRepository,
    options: CopyPointsOptions = {},
  ): Promise<CopyPointsReport> {
    checkOptions('copyPoints', options, COPY_OPTIONS);
    for (const repository of [from, to]) checkArgument('what is copied from or to', repository, A_REPOSITORY);
    const { store, owners } = from.#repository;
    return traceWork(
      { work: 'copy-points', repository: to.id },
      () => copyStoredPoints(store, to.#repository.store, owners, options),
      countsOfCopy,
    );
  }

  /**
   * Removes the points that a policy does not keep, and what no other point shares with them. Safe beside backups and
   * restores; killed at any time it leaves a whole repository, and the next one goes on.
   *
   * @throws BackupUsageError, NotFoundError `domain`, RepositoryError (`busy`: another one runs), or the signal's reason
   */
  async prune(policy: KeepPolicy, options: PruneRepositoryOptions = {}): Promise<PruneReport> {
    checkOptions('prune', policy, KEEP_POLICY);
    checkOptions('prune', options, PRUNE_OPTIONS);
    const { domain, ...rest } = options;
    const { store, owners } = this.#repository;
    const uuid = domain === undefined ? undefined : (await this.inspect(domain)).points[0]?.point.domain.uuid;
    if (domain !== undefined && uuid === undefined)
      throw new NotFoundError('domain', `${this.description} has no point of the domain`);
    const { dryRun } = options;
    return traceWork(
      { work: 'prune', repository: this.id, domain: uuid, dryRun },
      () => prune(store, owners, { ...rest, ...this.#removal(rest), policy, domain: uuid }),
      countsOfRemoval,
    );
  }

  /**
   * Removes single points, the newest of a domain and damaged ones included, and what no other point shares with them. As
   * safe as `prune`. After the newest one has gone, the next backup of the domain reads it in full.
   *
   * @param points - ids; of one that is in use the report says that it stays
   * @throws BackupUsageError, NotFoundError `point` (nothing was removed), RepositoryError (`busy`: another one runs), or
   * the signal's reason
   */
  async forgetPoints(points: readonly string[], options: ForgetPointsOptions = {}): Promise<PruneReport> {
    checkOptions('forgetPoints', options, FORGET_POINTS_OPTIONS);
    checkArgument('the points', points, idsOfPoints);
    const { store, owners } = this.#repository;
    return traceWork(
      { work: 'forget-points', repository: this.id, dryRun: options.dryRun },
      () => forgetPoints(store, owners, { ...options, ...this.#removal(options), points }),
      countsOfRemoval,
    );
  }

  #removal({ signal }: ForgetPointsOptions): RemovalOptions {
    return { onRemoval: (removed, all) => noteRemoval(this.#repository, removed, all, { signal }) };
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

const A_REPOSITORY: OptionCheck = {
  wanted: 'a BackupRepository',
  accepts: (value) => value instanceof BackupRepository,
};

function checkDiskOf(point: Point, disk: string): void {
  checkArgument('the point', point, POINT);
  checkArgument('the disk', disk, someText);
}

async function openOrCreate(storage: Storage, options: OpenRepositoryOptions): Promise<OpenRepositoryFile> {
  const { create = true, compression, encryption, key, privateKey, signal } = options;
  try {
    const opening = encryption?.key ?? key;
    const file = await openRepositoryFile(storage, { key: opening, privateKey, signal });
    // Whoever brings a key, or recipients, relies on them.
    if (opening !== undefined && file.keys === undefined)
      throw new RepositoryError('key', `${storage.description} is not encrypted, but a key was given`);
    if ((encryption?.recipients ?? []).length > 0 && file.keys?.isSealed !== true)
      throw new RepositoryError(
        'key',
        `${storage.description} is not sealed to recipients, but some were given`,
      );
    return file;
  } catch (error) {
    if (!create || !(error instanceof RepositoryError) || error.reason !== 'absent') throw error;
    return createRepositoryFile(storage, { compression, encryption, privateKey, signal });
  }
}

/**
 * Copies points into another repository, with its keys and compression: only what it does not have, found by hashes.
 * Where the two name content by different keys, what was not copied before has to be read to be compared.
 *
 * @throws BackupUsageError, NotFoundError `point`, RepositoryError, or the signal's reason
 */
export function copyPoints(
  from: BackupRepository,
  to: BackupRepository,
  options: CopyPointsOptions = {},
): Promise<CopyPointsReport> {
  return BackupRepository.copyPoints(from, to, options);
}
