import type { Owners } from '../words/owner.ts';
import type { OnProgress } from '../words/progress.ts';
import { ulidTime } from '../words/ulid.ts';
import { endName, findLeases, LEASES, leaseName, readEnd } from './lease-records.ts';
import { outlast } from './lease-watch.ts';
import { type Lease, LEASE_MS, type LeaseOptions } from './leases.ts';
import { markPoints } from './mark.ts';
import { PieceSet } from './packs/piece-set.ts';
import { listPacks, putNextGeneration } from './packs/stored-packs.ts';
import { listPoints } from './points.ts';
import { readQuarantine, unreached } from './quarantine.ts';
import { planSweep, type SparsePack, type SweepPlan } from './sweep-plan.ts';
import type { TreeStore } from './tree/tree-store.ts';
import { forgetUnswept, readUnswept } from './unswept.ts';
import { underLease } from './under-lease.ts';

/** A backup that runs longer holds back what can be removed until the next sweep. */
const PATIENCE_MS: number = 5 * 60_000;
/** So much older than a sweep is what says of a lease that it was taken over, when it goes. */
const END_AGE_MS: number = 30 * 86_400_000;
const END_NAME = /^leases\/([0-7][0-9A-HJKMNP-TV-Z]{25})\.end$/;

export interface SweepOptions extends LeaseOptions {
  /** Only says what would be removed. */
  readonly dryRun?: boolean | undefined;
  /** How long it is waited for who works on the repository; default 5 minutes. */
  readonly patienceMs?: number | undefined;
  /** A pack with a smaller share of bytes in use is written anew without the others; default 0.5. */
  readonly sparseShare?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What a sweep did, or would do. */
export interface SweepReport {
  /** Packs of which nothing was in use. */
  readonly removedPacks: number;
  /** Packs that were written anew, without what is not in use. */
  readonly rewrittenPacks: number;
  readonly freedBytes: number;
  /** Why more could not be removed, in sentences: something is damaged, or somebody is at work. */
  readonly hindrances: readonly string[];
}

/**
 * Removes what no point consists of. Safe beside backups and restores; killed at any time it leaves a whole
 * repository, and the next one goes on. Nothing is removed while it is not known what each point consists of.
 *
 * @throws RepositoryError `busy` if another sweep runs
 */
export function sweep(store: TreeStore, owners: Owners, options: SweepOptions = {}): Promise<SweepReport> {
  const { dryRun = false } = options;
  const kind = dryRun ? 'read' : 'sweep';
  return underLease(store.storage, owners, { kind }, options, (lease, signal) =>
    dryRun
      ? estimateSweep(store, new Set(), { ...options, signal })
      : sweepUnder(store, owners, lease, { ...options, signal }),
  );
}

/** What a sweep would remove if some points, by their objects, were gone. */
export async function estimateSweep(
  store: TreeStore,
  without: ReadonlySet<string>,
  options: SweepOptions,
): Promise<SweepReport> {
  const packs = await listPacks(store.storage, options);
  const pieces = new PieceSet();
  const hindrances = await markStored(store, pieces, new Set(without), options.signal);
  if (hindrances.length > 0) return nothingSwept(hindrances);
  const plan = await planSweep(store, packs, pieces, options);
  return {
    removedPacks: plan.dead.length,
    rewrittenPacks: plan.sparse.length,
    freedBytes: plan.freedBytes,
    hindrances,
  };
}

/** Sweeps, for the owner of a lease to sweep. The order of its steps is that of docs/repository-protocol.md. */
export async function sweepUnder(
  store: TreeStore,
  owners: Owners,
  lease: Lease,
  options: SweepOptions,
): Promise<SweepReport> {
  const { storage } = store;
  const { signal } = options;
  const unswept = await readUnswept(storage, { signal });
  const report = await sweepAll(store, owners, lease, options);
  if (report.hindrances.length === 0) await forgetUnswept(storage, unswept, { signal });
  return report;
}

async function sweepAll(
  store: TreeStore,
  owners: Owners,
  lease: Lease,
  options: SweepOptions,
): Promise<SweepReport> {
  const { storage } = store;
  const { signal } = options;
  await removeOldEnds(store, lease, signal);
  const packs = await listPacks(storage, { signal });
  const pieces = new PieceSet();
  const marked = new Set<string>();
  const unknown = await markStored(store, pieces, marked, signal);
  if (unknown.length > 0) return nothingSwept(unknown);
  const plan = await planSweep(store, packs, pieces, options);
  const quarantine = await readQuarantine(store, { signal });
  const work = [plan.dead, plan.superseded, plan.sparse, unreached(quarantine, pieces)];
  if (work.every(({ length }) => length === 0)) return nothingSwept([]);
  const others = await outlastOthers(store, owners, lease, options);
  if (others.length > 0) return nothingSwept(others);
  const unknownNow = await markStored(store, pieces, marked, signal);
  if (unknownNow.length > 0) return nothingSwept(unknownNow);
  await lease.confirm({ signal });
  // Nobody can share any more what they warn of.
  for (const { name } of unreached(quarantine, pieces)) await storage.remove(name, { signal });
  return new Removal(store, owners, lease, options, pieces).run(plan);
}

/** The steps of a sweep that change something. */
class Removal {
  readonly #store: TreeStore;
  readonly #owners: Owners;
  readonly #lease: Lease;
  readonly #options: SweepOptions;
  /** What is in use, now that everybody who had begun before has ended. */
  readonly #pieces: PieceSet;
  #removedPacks = 0;
  #freedBytes = 0;

  constructor(store: TreeStore, owners: Owners, lease: Lease, options: SweepOptions, pieces: PieceSet) {
    this.#store = store;
    this.#owners = owners;
    this.#lease = lease;
    this.#options = options;
    this.#pieces = pieces;
  }

  async run({ dead, superseded, sparse, freedBytes }: SweepPlan): Promise<SweepReport> {
    for (const generations of dead) {
      const pack = generations[0]?.pack ?? '';
      // A point that was committed meanwhile has it.
      if (this.#pieces.hasPack(pack)) continue;
      for (const { name, size } of generations) await this.#remove(name, size, freedBytes);
      this.#removedPacks++;
    }
    for (const { name, size } of superseded) await this.#remove(name, size, freedBytes);
    const hindrances = await this.#rewrite(sparse, freedBytes);
    return {
      removedPacks: this.#removedPacks,
      rewrittenPacks: sparse.length,
      freedBytes: this.#freedBytes,
      hindrances,
    };
  }

  async #rewrite(sparse: readonly SparsePack[], total: number): Promise<readonly string[]> {
    if (sparse.length === 0) return [];
    const { storage, packs } = this.#store;
    const { signal } = this.#options;
    for (const { newest, table } of sparse) {
      const size = await putNextGeneration(storage, packs, newest, table, this.#pieces, { signal });
      this.#freedBytes -= size;
    }
    // Whoever found the old one reads on from it.
    const others = await outlastOthers(this.#store, this.#owners, this.#lease, this.#options);
    if (others.length > 0) return others;
    await this.#lease.confirm({ signal });
    for (const { newest } of sparse) await this.#remove(newest.name, newest.size, total);
    return [];
  }

  async #remove(name: string, size: number, total: number): Promise<void> {
    await this.#store.storage.remove(name, { signal: this.#options.signal });
    this.#freedBytes += size;
    this.#options.onProgress?.({
      phase: 'sweep',
      disk: undefined,
      done: Math.min(total, Math.max(0, this.#freedBytes)),
      total,
    });
  }
}

/** The report of a sweep that was none. */
export function nothingSwept(hindrances: readonly string[]): SweepReport {
  return { removedPacks: 0, rewrittenPacks: 0, freedBytes: 0, hindrances };
}

/**
 * Marks all that the points which are there consist of.
 *
 * @param marked - objects of points that are marked, or are left out
 * @returns sentences, where that is not known
 */
async function markStored(
  store: TreeStore,
  pieces: PieceSet,
  marked: Set<string>,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const { points, damaged } = await listPoints(store.storage, { keys: store.keys, signal });
  const unmarked = points.filter(({ object }) => !marked.has(object));
  const unknown = await markPoints(
    store,
    unmarked.map(({ point }) => point),
    pieces,
    signal,
  );
  for (const { object } of unmarked) marked.add(object);
  return [
    ...damaged.map(({ name, reason }) => `it is not known what ${name} needs: ${reason}`),
    ...unknown.map(({ id, reason }) => `it is not known what point ${id} needs: ${reason}`),
  ];
}

/** Waits until everybody who is at work now has ended. @returns sentences about those who have not */
async function outlastOthers(
  { storage }: TreeStore,
  owners: Owners,
  lease: Lease,
  { leaseMs = LEASE_MS, patienceMs = PATIENCE_MS, signal }: SweepOptions,
): Promise<readonly string[]> {
  const ids = new Set((await findLeases(storage, { signal })).map(({ id }) => id));
  ids.delete(lease.id);
  const left = await outlast(storage, owners, ids, { leaseMs, patienceMs, signal });
  return left.map(({ id, record }) =>
    record === undefined
      ? `somebody is at work with the lease ${id}`
      : `process ${record.owner.pid} on ${record.owner.host} is at work (${record.kind}, since ${record.since})`,
  );
}

/**
 * Removes what says of leases that they were taken over, once nobody can wake up any more who thinks to have one.
 * Should somebody do so even then: without the lease's own object nothing can be committed.
 */
async function removeOldEnds(
  { storage }: TreeStore,
  lease: Lease,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ids: string[] = [];
  for await (const { name } of storage.list(LEASES, { signal })) {
    const id = END_NAME.exec(name)?.[1];
    if (id !== undefined && ulidTime(lease.id) - ulidTime(id) > END_AGE_MS) ids.push(id);
  }
  for (const id of ids) {
    if ((await storage.size(leaseName(id), { signal })) !== undefined) continue;
    if ((await readEnd(storage, id, { signal }))?.end === 'taken')
      await storage.remove(endName(id), { signal });
  }
}
