import type { DiskFacts } from '../ports/domain.ts';
import type { StoredDisk } from '../repository/point.ts';
import type { ListedPoint } from '../repository/points.ts';
import type { EarlierDisk } from '../words/disk-answers.ts';
import type { DiskName } from '../words/peer-names.ts';
import type { NeededCheckpoint } from './leftovers.ts';

/** A disk as the newest point that has it shows it. */
export interface EarlierCopy {
  readonly point: ListedPoint;
  readonly disk: StoredDisk;
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
