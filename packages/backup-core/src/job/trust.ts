import type { CheckpointFacts, DiskFacts, ImageBitmap } from '../ports/domain.ts';
import type { ByteRange } from '../transfer/layout.ts';
import type { DiskReading, EarlierDisk, FullReason } from '../words/disk-answers.ts';
import { shown } from '../words/peer-names.ts';

/** All that is known about how far a disk's bitmap can be believed. */
export interface Evidence {
  readonly disk: DiskFacts;
  /** What the bitmap is measured against; undefined: there is no earlier point of this disk. */
  readonly earlier: EarlierDisk | undefined;
  /** What the hypervisor knows of the earlier point's checkpoint; null: nothing. */
  readonly checkpoint: CheckpointFacts | null;
  /** The bitmaps in the images of the domain, as far as they could be seen. */
  readonly bitmaps: readonly ImageBitmap[];
}

/** What a bitmap may be believed for. */
export interface Trust {
  readonly reading: DiskReading;
  /** Of an incremental: the smallest size since the checkpoint; see `beyondSmallest`. */
  readonly smallestSize: number | undefined;
  /** Of an incremental: see `LayoutOptions.cluster` and `LayoutOptions.lastCleanCluster`. */
  readonly cluster: number | undefined;
  readonly lastCleanCluster: number | undefined;
  /** Bytes dirty, of an incremental. */
  readonly dirtyBytes: number | undefined;
}

/** The largest cluster of a qcow2 image. */
const LARGEST_CLUSTER: number = 2 * 1024 * 1024;

/**
 * Decides what a disk's dirty bitmap may be believed for. A bitmap is evidence, not proof: it is bound to a name,
 * and what bears the name may be another image, another checkpoint, or a bitmap that has missed something.
 *
 * What is compared is the image and not the target, because a bitmap of the same name is in every image that was
 * backed up together with this one.
 */
export function trustBitmap(evidence: Evidence): Trust {
  const { disk, earlier, checkpoint, bitmaps } = evidence;
  if (earlier === undefined) return inFull('first', `there is no earlier point of disk ${disk.name}`);
  const name = shown(earlier.checkpoint);
  const changed = changeOfImage(disk, earlier);
  if (changed !== undefined) return inFull('image-changed', `disk ${disk.name} ${changed}`);
  if (checkpoint === null)
    return inFull(
      'checkpoint-missing',
      `the hypervisor does not know checkpoint ${name} of disk ${disk.name}`,
    );
  if (earlier.creationTime !== undefined && earlier.creationTime !== checkpoint.creationTime)
    return inFull(
      'checkpoint-recreated',
      `checkpoint ${name} was made at ${time(earlier.creationTime)}, and the one of that name now at ${time(checkpoint.creationTime)}`,
    );
  const about = `the bitmap of checkpoint ${name} on disk ${disk.name}`;
  const tracked = checkpoint.disks.find((each) => each.name === disk.name);
  if (tracked === undefined) return inFull('bitmap-unusable', `${about} is missing`);
  const inChain = bitmaps.filter(
    (bitmap) => bitmap.name === tracked.bitmap && disk.chain.includes(bitmap.image),
  );
  const flaw = flawOf(disk, earlier, inChain);
  if (flaw !== undefined) return inFull(flaw.reason, `${about} ${flaw.what}`);
  const dirtyBytes = tracked.dirtyBytes ?? seenDirty(disk, inChain, checkpoint.sizesRefused);
  if (dirtyBytes === undefined)
    return checkpoint.sizesRefused === undefined
      ? inFull('bitmap-unusable', `${about} is missing or inconsistent`)
      : inFull('bitmap-refused', `${about} cannot be used: ${shown(checkpoint.sizesRefused)}`);
  return {
    reading: { mode: 'incremental', checkpoint: earlier.checkpoint },
    smallestSize: earlier.smallestSize,
    // What cannot be seen is taken for the worst.
    cluster: inChain.length === 0 ? LARGEST_CLUSTER : clusterOf(inChain),
    // Growing an image over one that backs it writes zeroes into the rest of its last cluster, past the bitmap.
    lastCleanCluster: disk.chain.length > 1 || wasBacked(earlier) ? LARGEST_CLUSTER : undefined,
    dirtyBytes,
  };
}

/** A disk that is read in full. */
export function inFull(reason: FullReason, message: string): Trust {
  return {
    reading: { mode: 'full', reason, message },
    smallestSize: undefined,
    cluster: undefined,
    lastCleanCluster: undefined,
    dirtyBytes: undefined,
  };
}

/** @returns undefined: it is the same image, or backed by it */
function changeOfImage({ chain }: DiskFacts, earlier: EarlierDisk): string | undefined {
  if (earlier.image === undefined) return undefined;
  const at = chain.indexOf(earlier.image);
  if (at < 0)
    return `was ${shown(earlier.image)}, which is neither its image now, ${shown(chain[0] ?? 'none')}, nor among those that back it`;
  // Images are merged and left out; none comes in below.
  const foreign = chain.slice(at + 1).find((path) => earlier.chain?.includes(path) === false);
  return foreign === undefined
    ? undefined
    : `is backed by ${shown(foreign)} now, which was not so at the earlier point`;
}

function wasBacked({ chain }: EarlierDisk): boolean {
  return chain !== undefined && chain.length > 1;
}

interface Flaw {
  readonly reason: FullReason;
  readonly what: string;
}

/** What is wrong with the bitmaps of one name in a chain of images, as far as it shows in them. */
function flawOf(disk: DiskFacts, { image }: EarlierDisk, bitmaps: readonly ImageBitmap[]): Flaw | undefined {
  if (bitmaps.some((bitmap) => bitmap.isInconsistent))
    return { reason: 'bitmap-unusable', what: 'is inconsistent' };
  if (bitmaps.some((bitmap) => bitmap.image === disk.chain[0] && !bitmap.isRecording))
    return { reason: 'bitmap-unusable', what: 'does not record' };
  // Every overlay has a bitmap of the name for what was written since it was put there; alone, they are believed by
  // the hypervisor.
  if (image !== undefined && bitmaps.length > 0 && !bitmaps.some((bitmap) => bitmap.image === image))
    return { reason: 'bitmap-unusable', what: `is missing in ${shown(image)}, where it began` };
  // The hypervisor would refuse the whole job.
  const sizes = new Set(bitmaps.map(({ imageSize }) => imageSize).filter((size) => size !== undefined));
  if (sizes.size > 1)
    return {
      reason: 'bitmap-refused',
      what: `cannot be put together: its images have sizes of ${[...sizes].join(' and ')} bytes`,
    };
  return undefined;
}

/** What the images themselves show, where the hypervisor told nothing because of another disk. */
function seenDirty(
  disk: DiskFacts,
  bitmaps: readonly ImageBitmap[],
  sizesRefused: string | undefined,
): number | undefined {
  const isInUse = bitmaps.some((bitmap) => bitmap.image === disk.chain[0]);
  if (sizesRefused === undefined || !isInUse) return undefined;
  return bitmaps.reduce((bytes, bitmap) => bytes + bitmap.dirtyBytes, 0);
}

/** @returns undefined where a bit of the bitmap stands for a cluster or more */
function clusterOf(bitmaps: readonly ImageBitmap[]): number | undefined {
  const cluster = Math.max(0, ...bitmaps.map(({ clusterSize = 0 }) => clusterSize));
  return bitmaps.some(({ granularity }) => granularity < cluster) ? cluster : undefined;
}

/**
 * What lies beyond the smallest size: there a bitmap has forgotten what it knew. From the beginning of the cluster
 * in which the disk ended, the rest of which is changed by growing. Of a disk that shrank it is what is left of that
 * cluster: the earlier point has blocks that are longer.
 *
 * @param size - of what the job shows: after it was planned, the disk may have got another one
 */
export function beyondSmallest(size: number, smallestSize: number | undefined): readonly ByteRange[] {
  if (smallestSize === undefined || smallestSize === size) return [];
  const smallest = Math.min(smallestSize, size);
  const offset = smallest - (smallest % LARGEST_CLUSTER);
  const length = size - offset;
  return length === 0 ? [] : [{ offset, length }];
}

function time(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `second ${seconds}` : date.toISOString();
}
