import type { Storage } from '../ports/storage.ts';
import { DamagedError, NotFoundError } from '../words/errors.ts';
import type { Owners } from '../words/owner.ts';
import type { DomainUuid } from '../words/peer-names.ts';
import { countDroppedBlocks } from './dropped-blocks.ts';
import { BLOCK_SIZE, PACKS } from './format.ts';
import { sealedObjects } from './intents.ts';
import { type KeepPolicy, keepPolicy, type KeepReason } from './keep-policy.ts';
import { LeaseWatch } from './lease-watch.ts';
import { LEASE_MS } from './leases.ts';
import { parseManifestName } from './point-manifest.ts';
import { type ListedPoint, listPoints, type PointListing, removePoint } from './points.ts';
import { estimateSweep, nothingSwept, type SweepOptions, type SweepReport, sweepUnder } from './sweep.ts';
import type { TreeStore } from './tree/tree-store.ts';
import { underLease } from './under-lease.ts';
import { noteUnswept, readUnswept } from './unswept.ts';

/** A repository with less in its packs is swept whenever points are removed. */
const SMALL_BYTES: number = 2 ** 30;
/** So much of a larger one may be of no use before it is swept. */
const SWEEP_SHARE = 1 / 16;

/** For whatever removes points. */
export interface RemovalOptions extends SweepOptions {
  /** Called before points are removed, with these and with all there are. */
  readonly onRemoval?:
    ((removed: readonly ListedPoint[], all: readonly ListedPoint[]) => Promise<void>) | undefined;
  /**
   * It is swept when at least this share of the bytes of packs is thought to be of no use; 0: always. A sweep looks at
   * all that is stored, removing points only at what they do not share. Default: 1/16; 0 for less than 1 GiB of packs.
   */
  readonly sweepShare?: number | undefined;
}

export interface PruneOptions extends RemovalOptions {
  readonly policy: KeepPolicy;
  /** Absent: all domains, each by itself. */
  readonly domain?: DomainUuid | undefined;
  /** Ids of points that are kept whatever the policy says. */
  readonly protected?: readonly string[] | undefined;
}

/** A point that stays, and why. */
export interface KeptPoint {
  /** ULID. */
  readonly id: string;
  /** `in-use`: somebody reads it, shares with it, or is about to be done with its commit. */
  readonly reasons: readonly (KeepReason | 'in-use')[];
}

/** What was removed, or would be. */
export interface PruneReport extends SweepReport {
  /** The points that stay. */
  readonly keep: readonly KeptPoint[];
  /** Ids, the oldest first. */
  readonly remove: readonly string[];
  /** About as many bytes are of no use and left to a later sweep, which there are too few of yet. */
  readonly unsweptBytes: number;
}

type Choice = (listing: PointListing) => Pick<PruneReport, 'keep' | 'remove'>;

/** What can be removed: a point, or what is left of one. */
interface Removable {
  readonly id: string;
  /** Of its manifest. */
  readonly object: string;
}

/**
 * Removes the points that a policy does not keep, and what no other point shares with them.
 *
 * @throws RepositoryError `busy` if another prune or sweep runs
 */
export function prune(store: TreeStore, owners: Owners, options: PruneOptions): Promise<PruneReport> {
  const { domain } = options;
  const policy = {
    ...options.policy,
    protected: [...(options.policy.protected ?? []), ...(options.protected ?? [])],
  };
  return removeChosen(store, owners, options, ({ points }) => {
    const series = points.filter(({ point }) => domain === undefined || point.domain.uuid === domain);
    const keepable = series.map(
      ({
        point: {
          id,
          createdAt,
          domain: { uuid },
        },
      }) => ({
        id,
        createdAt: new Date(createdAt),
        domain: uuid,
      }),
    );
    const { keep, remove } = keepPolicy(keepable, policy, new Date());
    return { keep: [...keep].map(([id, reasons]) => ({ id, reasons })), remove };
  });
}

/**
 * Removes the points that are named, the newest of a domain included, and damaged ones too.
 *
 * @throws NotFoundError for one that is not there, before any is removed; and as `prune`
 */
export function forgetPoints(
  store: TreeStore,
  owners: Owners,
  { points: ids, ...options }: RemovalOptions & { readonly points: readonly string[] },
): Promise<PruneReport> {
  return removeChosen(store, owners, options, (listing) => {
    const there = new Set(removables(listing).map(({ id }) => id));
    const missing = ids.find((id) => !there.has(id));
    if (missing !== undefined) throw new NotFoundError('point', `there is no point ${missing}`);
    return { keep: [], remove: [...new Set(ids)].sort() };
  });
}

function removeChosen(
  store: TreeStore,
  owners: Owners,
  options: RemovalOptions,
  choose: Choice,
): Promise<PruneReport> {
  const { storage } = store;
  const { dryRun = false } = options;
  // Points are removed by the owner of this lease alone.
  const kind = dryRun ? 'read' : 'sweep';
  return underLease(storage, owners, { kind }, options, async (lease, signal) => {
    const listing = await listPoints(storage, { keys: store.keys, signal });
    const chosen = choose(listing);
    const all = removables(listing);
    const used = await pointsInUse(store, owners, all, { ...options, signal });
    const keep = [
      ...chosen.keep,
      ...chosen.remove.filter((id) => used.has(id)).map((id) => ({ id, reasons: ['in-use'] as const })),
    ];
    const remove = chosen.remove.filter((id) => !used.has(id));
    const doomed = all.filter(({ id }) => remove.includes(id));
    const plan = { keep, remove };
    if (dryRun) {
      const without = new Set(doomed.map(({ object }) => object));
      return { ...plan, unsweptBytes: 0, ...(await estimateSweep(store, without, { ...options, signal })) };
    }
    const removed = listing.points.filter(({ point }) => remove.includes(point.id));
    await options.onRemoval?.(removed, listing.points);
    // What a damaged point has alone is not known.
    const isKnown = removed.length === doomed.length;
    const dropped = isKnown ? await droppedBytes(store, listing.points, new Set(remove), signal) : undefined;
    await lease.confirm({ signal });
    // Before what it is about: what a crash leaves is swept one day.
    if (dropped !== undefined && dropped > 0) await noteUnswept(storage, dropped, { signal });
    for (const point of doomed) await removePoint(storage, point, { signal });
    const unsweptBytes =
      dropped === undefined ? undefined : await bytesToLeave(storage, { ...options, signal });
    if (unsweptBytes !== undefined) return { ...plan, ...nothingSwept([]), unsweptBytes };
    return { ...plan, unsweptBytes: 0, ...(await sweepUnder(store, owners, lease, { ...options, signal })) };
  });
}

/** About as many bytes only the points have that are to go; undefined: that cannot be known. */
async function droppedBytes(
  store: TreeStore,
  points: readonly ListedPoint[],
  doomed: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<number | undefined> {
  let raw = 0;
  let stored = 0;
  for (const { point } of points)
    for (const disk of point.disks) {
      raw += disk.storedRawBytes;
      stored += disk.storedBytes;
    }
  try {
    const blocks = await countDroppedBlocks(store, points, doomed, signal);
    return Math.ceil(blocks * BLOCK_SIZE * (raw === 0 ? 1 : stored / raw));
  } catch (error) {
    if (error instanceof DamagedError) return undefined;
    throw error;
  }
}

/** Bytes that are of no use and too few to sweep for; undefined: it is to be swept. */
async function bytesToLeave(
  storage: Storage,
  { sweepShare, signal }: RemovalOptions,
): Promise<number | undefined> {
  const { bytes } = await readUnswept(storage, { signal });
  let stored = 0;
  for await (const { size } of storage.list(PACKS, { signal })) stored += size;
  const share = sweepShare ?? (stored < SMALL_BYTES ? 0 : SWEEP_SHARE);
  return bytes >= stored * share ? undefined : bytes;
}

/** Ids of points that are not to be removed now: of sealed commits, and those that living leases name. */
async function pointsInUse(
  { storage }: TreeStore,
  owners: Owners,
  points: readonly Removable[],
  { leaseMs = LEASE_MS, signal }: SweepOptions,
): Promise<ReadonlySet<string>> {
  const sealed = await sealedObjects(storage, { signal });
  const used = new Set<string>();
  for (const { id, object } of points) if (sealed.has(object)) used.add(id);
  for (const { state, record } of await new LeaseWatch(storage, owners, leaseMs).look({ signal })) {
    if (state === 'dead') continue;
    // One that makes no sense may name any of them.
    for (const id of record === undefined ? points.map((point) => point.id) : (record.points ?? []))
      used.add(id);
  }
  return used;
}

/** By the names of their objects: a damaged manifest still has one. */
function removables({ points, damaged }: PointListing): readonly Removable[] {
  const left = damaged.flatMap(({ name }) => {
    const id = parseManifestName(name)?.id;
    return id === undefined ? [] : [{ id, object: name }];
  });
  return [...points.map(({ point: { id }, object }) => ({ id, object })), ...left];
}
