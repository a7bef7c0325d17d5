import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { hypervisorDomain, type LibvirtDomainHandle } from './adapters/libvirt/domain.ts';
import { localJobFiles } from './adapters/folder/job-files.ts';
import { openNbdExport } from './adapters/nbd/open-export.ts';
import { DamagedError, messageOf, RepositoryError } from './words/errors.ts';
import type { OpenExport } from './ports/block-source.ts';
import type { HypervisorDomain } from './ports/domain.ts';
import { createRawFile } from './adapters/folder/raw-file.ts';
import { DomainStore } from './repository/domain-store.ts';
import { readIfPresent, replaceFile } from './adapters/folder/durable.ts';
import type { Point } from './repository/manifest.ts';
import { layersOf, restoreLayers, type RestoreProgress } from './repository/restore-disk.ts';
import { type BackupResult, takeBackup, type TakeBackupOptions } from './protect/take-backup.ts';

export interface OpenRepositoryOptions {
  /** Makes a repository of a folder that is empty, or not there but in one that is. Default true. */
  readonly create?: boolean;
  /** How the exports of a job are opened; default: with `nbd-ts-client`. */
  readonly openExport?: OpenExport;
}

export interface RestoreOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

/** Which domain: a libvirt domain, its name or its UUID. */
export type DomainSelector = string | { readonly uuid: string };

const FORMAT = 1;
const REPOSITORY_FILE = 'repository.json';
const DOMAINS = 'domains';

/**
 * A folder with the backups of any number of domains.
 *
 * Several independent repositories may protect one domain: each has its own checkpoint on it.
 */
export class BackupRepository {
  readonly path: string;
  /** Random, part of the names of this repository's jobs and checkpoints. */
  readonly id: string;

  readonly #openExport: OpenExport;

  private constructor(path: string, id: string, openExport: OpenExport) {
    this.path = path;
    this.id = id;
    this.#openExport = openExport;
  }

  /** @throws RepositoryError if the folder is none, cannot be written or holds something else */
  static async open(path: string, options: OpenRepositoryOptions = {}): Promise<BackupRepository> {
    const { create = true, openExport = openNbdExport } = options;
    const folder = resolve(path);
    const file = join(folder, REPOSITORY_FILE);
    try {
      const bytes = await readIfPresent(file);
      if (bytes !== undefined) return new BackupRepository(folder, parseRepository(bytes, file), openExport);
      if (!create)
        throw new RepositoryError(
          'storage',
          `${folder} is not a backup repository: it has no ${REPOSITORY_FILE}`,
        );
      // Not its parents: a mistyped path is to be noticed.
      await makeFolder(folder);
      await access(folder, constants.W_OK);
      if ((await readdir(folder)).length > 0)
        throw new RepositoryError('storage', `${folder} is neither empty nor a backup repository`);
      const id = randomBytes(4).toString('hex');
      await replaceFile(file, `${JSON.stringify({ format: FORMAT, id })}\n`);
      return new BackupRepository(folder, id, openExport);
    } catch (error) {
      if (error instanceof RepositoryError) throw error;
      throw new RepositoryError('storage', `cannot open the repository ${folder}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /**
   * Backs a running domain up. On any failure, and on an abort, the domain and the repository are as before.
   *
   * @throws BackupPlanError (nothing was started), BackupJobError, DamagedError, RepositoryError, or the
   * signal's reason
   */
  async backup(
    domain: LibvirtDomainHandle | HypervisorDomain,
    options: TakeBackupOptions = {},
  ): Promise<BackupResult> {
    const target = hypervisorDomain(domain);
    const store = this.#storeFor(target.uuid);
    try {
      await makeFolder(join(this.path, DOMAINS));
    } catch (error) {
      throw new RepositoryError(
        'storage',
        `cannot write to the repository ${this.path}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
    const tools = { openExport: this.#openExport, files: localJobFiles };
    return takeBackup({ store, owner: this.id, domain: target, tools }, options);
  }

  /** The points of one domain or of all, oldest first. @throws DamagedError if one is missing or damaged */
  async points(domain?: DomainSelector): Promise<readonly Point[]> {
    const stores = domain === undefined ? await this.#stores() : [await this.#storeOf(domain)];
    const points: Point[] = [];
    for (const store of stores) for await (const point of store.chain()) points.push(point);
    return points.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /**
   * Writes a disk as it was at a point to a new raw file, every byte checked. The file appears when it is
   * whole.
   *
   * @param disk - `<target dev>`, such as `vda`
   * @throws DamagedError if anything stored is missing or damaged; SinkError; or the signal's reason
   */
  async restore(point: Point, disk: string, output: string, options: RestoreOptions = {}): Promise<void> {
    const store = this.#storeFor(point.domain.uuid);
    const layers = layersOf(await chainFrom(store, point.id), disk);
    const sink = await createRawFile(output, layers[0]?.disk.size ?? 0);
    try {
      await restoreLayers(store, layers, sink, options);
    } catch (error) {
      await sink.discard();
      throw error;
    }
    await sink.finish();
  }

  #storeFor(uuid: string): DomainStore {
    return new DomainStore(join(this.path, DOMAINS, uuid));
  }

  async #stores(): Promise<readonly DomainStore[]> {
    const names = await readdir(join(this.path, DOMAINS)).catch(() => []);
    return names.filter((name) => !name.endsWith('.lock')).map((name) => this.#storeFor(name));
  }

  async #storeOf(domain: DomainSelector): Promise<DomainStore> {
    const wanted = typeof domain === 'string' ? domain : domain.uuid;
    const found: DomainStore[] = [];
    const known: string[] = [];
    for (const store of await this.#stores()) {
      const newest = (await store.head())?.point.domain;
      if (newest === undefined) continue;
      if (newest.uuid === wanted) return store;
      if (newest.name === wanted) found.push(store);
      known.push(newest.name);
    }
    const [store, other] = found;
    if (store === undefined)
      throw new DamagedError(
        'hash',
        `${this.path} has no point of domain ${wanted}, only of: ${known.join(', ') || 'none'}`,
      );
    if (other !== undefined)
      throw new DamagedError(
        'hash',
        `${this.path} has points of several domains named ${wanted}: give the UUID`,
      );
    return store;
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

async function chainFrom(store: DomainStore, id: string): Promise<readonly Point[]> {
  const chain: Point[] = [];
  for await (const point of store.chain()) if (chain.length > 0 || point.id === id) chain.push(point);
  if (chain.length === 0) throw new DamagedError('hash', `there is no point ${id}`);
  return chain;
}

function parseRepository(bytes: Buffer, path: string): string {
  const { format, id } = JSON.parse(bytes.toString('utf8')) as { format?: unknown; id?: unknown };
  if (format !== FORMAT)
    throw new RepositoryError(
      'storage',
      `${path} has format ${String(format)}, this version reads ${FORMAT}`,
    );
  if (typeof id !== 'string' || !/^[0-9a-f]{8}$/.test(id))
    throw new RepositoryError('storage', `${path} has no id`);
  return id;
}
