import type { DiskFacts } from '../ports/domain.ts';
import type { StoredDisk } from '../repository/point.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { type ListedPoint, listRecentPoints, type RecentPoints } from '../repository/points.ts';
import type { EarlierDisk } from '../words/disk-answers.ts';
import { jobName } from '../words/names.ts';
import type { DiskName } from '../words/peer-names.ts';
import type { NeededCheckpoint } from './leftovers.ts';

/** A disk as the newest point that has it shows it. */
export interface EarlierCopy {
  readonly point: ListedPoint;
  readonly disk: StoredDisk;
}

/** What is usual shows in so many points. */
const RECENT_POINTS = 32;

/**
 * Whether a backup needs no older points: so many, and the newest copy of each disk that the newest point has, or was
 * not asked for. A disk that was not there for longer is a new one.
 *
 * @param points - the newest first
 */
function areEnough(points: readonly ListedPoint[]): boolean {
  const newest = points[0]?.point;
  if (newest === undefined || points.length < RECENT_POINTS) return false;
  const wanted = newest.excluded.filter(({ reason }) => reason === 'not-selected');
  return wanted.every(({ name }) =>
    points.some(({ point }) => point.disks.some((disk) => disk.name === name)),
  );
}

/** What earlier backups of a domain were like, as far as the next one needs to know. */
export interface History {
  readonly listing: RecentPoints;
  /** The newest copy of each disk. */
  readonly copies: ReadonlyMap<DiskName, EarlierCopy>;
}

/** Reads what is known of a domain. Who does not hold its lease may find that gone in the next moment. */
export async function readHistory(
  { store }: OpenRepository,
  uuid: string,
  signal: AbortSignal,
): Promise<History> {
  const { storage, keys } = store;
  const listing = await listRecentPoints(storage, { uuid, keys, signal, isEnough: areEnough });
  return { listing, copies: newestCopies(listing.points) };
}

/**
 * The checkpoints that a repository's points were taken with, as far as they were read; those of the others have the
 * names that this repository gives.
 */
export function checkpointNamesOf(repository: string, { points, ids }: RecentPoints): ReadonlySet<string> {
  const names = points.flatMap(({ point }) => point.checkpoint?.name ?? []);
  return new Set(names.length === 0 ? [] : [...ids.map((id) => jobName(repository, id)), ...names]);
}

/** The newest copy of each disk: chains are per disk, because not every point has every disk. */
export function newestCopies(points: readonly ListedPoint[]): ReadonlyMap<DiskName, EarlierCopy> {
  const copies = new Map<DiskName, EarlierCopy>();
  // Oldest first: a later one replaces an earlier one.
  for (const point of points) for (const disk of point.point.disks) copies.set(disk.name, { point, disk });
  return copies;
}

/** What bitmaps are measured against. A disk whose newest point has no checkpoint is not in it. */
export function earlierDisks(copies: ReadonlyMap<DiskName, EarlierCopy>): ReadonlyMap<DiskName, EarlierDisk> {
  const earlier = new Map<DiskName, EarlierDisk>();
  for (const [name, { point, disk }] of copies) {
    const { checkpoint } = point.point;
    if (checkpoint === null) continue;
    earlier.set(name, {
      checkpoint: checkpoint.name,
      creationTime: checkpoint.creationTime,
      image: disk.image.path,
      chain: [disk.image.path, ...disk.image.chain],
      smallestSize: disk.size,
    });
  }
  return earlier;
}

/** The checkpoints that later incrementals start from. */
export function neededCheckpoints(copies: ReadonlyMap<DiskName, EarlierCopy>): readonly NeededCheckpoint[] {
  const needed = new Map<string, NeededCheckpoint>();
  for (const [name, { point, disk }] of copies) {
    const { checkpoint } = point.point;
    if (checkpoint === null) continue;
    const { disks } = needed.get(checkpoint.name) ?? { disks: [] };
    needed.set(checkpoint.name, { ...checkpoint, disks: [...disks, { name, image: disk.image.path }] });
  }
  return [...needed.values()];
}

/**
 * The copy that a disk most likely shares blocks with: that of its image, whatever it is called now, else that of its
 * name.
 */
export function likeliestBase(
  copies: ReadonlyMap<DiskName, EarlierCopy>,
  { name, image }: { readonly name: string; readonly image: string },
): EarlierCopy | undefined {
  const ofImage = [...copies.values()].filter(({ disk }) => disk.image.path === image);
  return (
    ofImage.find(({ disk }) => disk.name === name) ?? ofImage.at(-1) ?? copies.get(name as DiskFacts['name'])
  );
}
