import { BackupUsageError, NotFoundError } from '../../words/errors.ts';
import type { Owners } from '../../words/owner.ts';
import type { DiskName } from '../../words/peer-names.ts';
import type { OnProgress } from '../../words/progress.ts';
import { BLOCK_SIZE } from '../format.ts';
import type { LeaseOptions } from '../leases.ts';
import type { Point, PointReference } from '../point.ts';
import { type ListedPoint, listPoints, type PointListing } from '../points.ts';
import type { PieceSet } from '../packs/piece-set.ts';
import { type Quarantine, readQuarantine } from '../quarantine.ts';
import type { TreeStore } from '../tree/tree-store.ts';
import { underLease } from '../under-lease.ts';
import { checkBlocks } from './check-blocks.ts';
import { type DamagedRange, HarmedDisks, TreeCheck } from './check-tree.ts';
import { Harm } from './harm.ts';

/**
 * How far it is looked: `quick`: manifests, pages, tables of packs; `sample`: a share of blocks, chosen by lot, too;
 * `deep`: every block.
 */
export type VerifyMode = 'quick' | 'deep' | { readonly sample: number };

export interface VerifyOptions extends LeaseOptions {
  readonly mode: VerifyMode;
  /** Ids; absent: all. */
  readonly points?: readonly string[] | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A disk at a point. */
export interface VerifiedDisk {
  readonly name: DiskName;
  /** `whole`: everything that was looked at is as it was stored. */
  readonly state: 'whole' | 'damaged';
  /** Bytes that cannot be read back, and why. */
  readonly ranges: readonly DamagedRange[];
}

/** A point. */
export interface VerifiedPoint {
  /** ULID. */
  readonly id: string;
  /** The domain it is of. */
  readonly domain: Point['domain'];
  /** Its disks, in the order of the manifest. */
  readonly disks: readonly VerifiedDisk[];
}

/** What was found. */
export interface VerifyReport {
  /** Whether nothing of it is damaged. */
  readonly isWhole: boolean;
  /** Those that were looked at, oldest first. */
  readonly points: readonly VerifiedPoint[];
  /** Objects where points are that are none, or none any more. */
  readonly damagedManifests: PointListing['damaged'];
  /** Packs of these points that are missing, or that cannot be read at all. */
  readonly damagedPacks: readonly { readonly pack: string; readonly reason: string }[];
  /** Records of damage that cannot be read: until they are repaired, nothing older than them is shared. */
  readonly damagedRecords: PointListing['damaged'];
  /** Points whose predecessor is not there any more, which harms none of them. */
  readonly missingPrevious: readonly { readonly id: string; readonly previous: PointReference }[];
  /** What was looked at, and the bytes that were read of packs; what points share once. */
  readonly checked: { readonly pages: number; readonly blocks: number; readonly bytes: number };
}

/**
 * Checks what is stored. What is damaged is reported, not thrown. What is written down as damaged is reported, too,
 * where it is not looked at.
 *
 * @throws NotFoundError for a point that is not there; RepositoryError
 */
export function verify(store: TreeStore, owners: Owners, options: VerifyOptions): Promise<VerifyReport> {
  checkMode(options.mode);
  return underLease(store.storage, owners, { kind: 'read' }, options, async (_, signal) => {
    const { report } = await examine(store.fresh(), { ...options, signal });
    return report;
  });
}

/** A report, and what it was made of. */
export interface Examination {
  readonly report: VerifyReport;
  /** What of the points is damaged, and what is written down as damaged and was not looked at. */
  readonly harm: Harm;
  readonly quarantine: Quarantine;
  /** Whether every block of every point was read. */
  readonly isComplete: boolean;
}

/** Looks at what is stored, for the owner of a lease. @param store - with nothing in memory */
export async function examine(store: TreeStore, options: VerifyOptions): Promise<Examination> {
  const { signal } = options;
  const share = shareOf(options.mode);
  const listing = await listPoints(store.storage, { keys: store.keys, signal });
  const quarantine = await readQuarantine(store, { signal });
  const points = chosen(listing, options.points);
  const harm = share < 1 ? quarantine.harm() : new Harm();
  const { pieces, checked } = await findHarm(store, points, harm, { ...options, share });
  const harmed = new HarmedDisks(store, harm, signal);
  const verified: VerifiedPoint[] = [];
  for (const { point } of points) verified.push(await verifiedPoint(point, harmed));
  const isDamaged = verified.some(({ disks }) => disks.some(({ state }) => state === 'damaged'));
  const packs = [...harm.packs].filter(([pack]) => pieces.hasPack(pack));
  const report = {
    isWhole: !isDamaged && listing.damaged.length + quarantine.lost.length === 0,
    points: verified,
    damagedManifests: listing.damaged,
    damagedPacks: packs.map(([pack, reason]) => ({ pack, reason })),
    damagedRecords: quarantine.lost.map(({ name, reason }) => ({ name, reason })),
    missingPrevious: missingPrevious(points, listing),
    checked,
  };
  return { report, harm, quarantine, isComplete: share === 1 && options.points === undefined };
}

/** Adds what is damaged of all that points consist of. */
async function findHarm(
  store: TreeStore,
  points: readonly ListedPoint[],
  harm: Harm,
  { share, signal, onProgress }: Pick<VerifyOptions, 'signal' | 'onProgress'> & { readonly share: number },
): Promise<{ readonly pieces: PieceSet; readonly checked: VerifyReport['checked'] }> {
  const tree = new TreeCheck(store, harm, signal);
  for (const { point } of points) for (const disk of point.disks) await tree.check(disk);
  const { pages, blocks } = tree.counts;
  const { pieces } = tree;
  if (share === 0) return { pieces, checked: { pages, blocks: 0, bytes: 0 } };
  const total = Math.round(blocks * BLOCK_SIZE * share);
  let done = 0;
  const onBytes = (bytes: number): void => {
    done = Math.min(total, done + bytes);
    onProgress?.({ phase: 'verify', disk: undefined, done, total });
  };
  const read = await checkBlocks(store, pieces, harm, { share, signal, onBytes });
  onProgress?.({ phase: 'verify', disk: undefined, done: total, total });
  return { pieces, checked: { pages, ...read } };
}

async function verifiedPoint({ id, domain, disks }: Point, harmed: HarmedDisks): Promise<VerifiedPoint> {
  const verified: VerifiedDisk[] = [];
  for (const disk of disks) {
    const ranges = await harmed.rangesOf(disk);
    verified.push({ name: disk.name, state: ranges.length > 0 ? 'damaged' : 'whole', ranges });
  }
  return { id, domain, disks: verified };
}

/** @throws BackupUsageError for a share that is none */
export function checkMode(mode: VerifyMode): void {
  shareOf(mode);
}

function shareOf(mode: VerifyMode): number {
  if (mode === 'quick') return 0;
  if (mode === 'deep') return 1;
  if (mode.sample > 0 && mode.sample <= 1) return mode.sample;
  throw new BackupUsageError('option', `a share of ${mode.sample} of the blocks cannot be read`);
}

function chosen({ points }: PointListing, ids: readonly string[] | undefined): readonly ListedPoint[] {
  const missing = ids?.find((id) => !points.some(({ point }) => point.id === id));
  if (missing !== undefined) throw new NotFoundError('point', `there is no point ${missing}`);
  return points.filter(({ point }) => ids?.includes(point.id) ?? true);
}

function missingPrevious(
  points: readonly ListedPoint[],
  listing: PointListing,
): VerifyReport['missingPrevious'] {
  const manifests = new Set(listing.points.map(({ reference: { sha256 } }) => sha256));
  return points.flatMap(({ point: { id, previous } }) =>
    previous === null || manifests.has(previous.sha256) ? [] : [{ id, previous }],
  );
}
