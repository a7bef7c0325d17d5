import { type Survey, visibleBitmaps } from '../job/gather.ts';
import type { CallOptions, CheckpointSpec, HypervisorDomain } from '../ports/domain.ts';
import { type DiskName, shown } from '../words/peer-names.ts';

/** Something that an earlier run left on a domain, and what is done about it. */
export type CleanupStep =
  /** A checkpoint whose bitmaps are there, but which the hypervisor has forgotten. */
  | { readonly type: 'redefine-checkpoint'; readonly checkpoint: CheckpointSpec }
  /** A checkpoint that no point needs. */
  | { readonly type: 'delete-checkpoint'; readonly name: string }
  /** A bitmap in an image that no checkpoint stands for. */
  | {
      readonly type: 'remove-bitmap';
      readonly node: string;
      readonly image: string;
      readonly name: string;
    };

/** A checkpoint that the newest point of a disk was taken with. */
export interface NeededCheckpoint {
  readonly name: string;
  readonly creationTime: number;
  /** The disks whose newest point it is, each with the image it was in. */
  readonly disks: readonly { readonly name: DiskName; readonly image: string }[];
}

/**
 * Decides what becomes of checkpoints and bitmaps of ours. Changes nothing.
 *
 * A checkpoint that is needed and forgotten is made known again for the disks whose bitmap is healthy, which is what
 * a transient, a migrated or a newly defined domain needs. A bitmap that no checkpoint stands for goes, disk by disk.
 *
 * @param survey - of the domain as it is
 * @param needed - the checkpoints that incrementals can be taken from
 * @param isSuperseded - recognises the checkpoints that may go: known to be ours, and needed by no point
 * @param isOurs - recognises the names of bitmaps that nobody else makes
 */
export function planCleanup(
  survey: Survey,
  needed: readonly NeededCheckpoint[],
  isSuperseded: (name: string) => boolean,
  isOurs: (name: string) => boolean,
): readonly CleanupStep[] {
  const known = new Set(survey.checkpointNames);
  const wanted = new Set(needed.map(({ name }) => name));
  const steps: CleanupStep[] = [];
  const redefined = new Set<string>();
  for (const checkpoint of needed) {
    if (known.has(checkpoint.name)) continue;
    const disks = checkpoint.disks.filter(({ name, image }) =>
      hasHealthyBitmap(survey, checkpoint.name, name, image),
    );
    if (disks.length === 0) continue;
    redefined.add(checkpoint.name);
    steps.push({
      type: 'redefine-checkpoint',
      checkpoint: {
        name: checkpoint.name,
        creationTime: checkpoint.creationTime,
        disks: disks.map(({ name }) => ({ name, bitmap: checkpoint.name })),
      },
    });
  }
  for (const name of survey.checkpointNames)
    if (!wanted.has(name) && isSuperseded(name)) steps.push({ type: 'delete-checkpoint', name });
  for (const { node, image, name, isBusy } of survey.bitmaps)
    if (isOurs(name) && !known.has(name) && !redefined.has(name) && !isBusy)
      steps.push({ type: 'remove-bitmap', node, image, name });
  return steps;
}

function hasHealthyBitmap(
  { facts, bitmaps }: Survey,
  bitmap: string,
  disk: DiskName,
  image: string,
): boolean {
  // Not in a backing image: one that an overlay was put over after the point ends where the overlay begins.
  if (facts.disks.find(({ name }) => name === disk)?.chain[0] !== image) return false;
  return bitmaps.some(
    (each) =>
      each.name === bitmap &&
      each.image === image &&
      each.isRecording &&
      !each.isInconsistent &&
      !each.isBusy,
  );
}

/** Does one step. */
export async function cleanUp(
  domain: HypervisorDomain,
  step: CleanupStep,
  options: CallOptions = {},
): Promise<void> {
  switch (step.type) {
    case 'redefine-checkpoint':
      return domain.redefineCheckpoint(step.checkpoint, options);
    case 'delete-checkpoint':
      return deleteCheckpoint(domain, step.name, options);
    case 'remove-bitmap':
      return domain.removeBitmap(step, options);
  }
}

/**
 * Deletes a checkpoint and every bitmap of its name. The hypervisor removes those of the disks that the checkpoint is
 * known to have. One that was made known again may have fewer than it was made on, and the bitmaps of one that was
 * forgotten meanwhile are nobody's.
 */
export async function deleteCheckpoint(
  domain: HypervisorDomain,
  name: string,
  options: CallOptions = {},
): Promise<void> {
  await domain.deleteCheckpoint(name, options);
  for (const bitmap of await visibleBitmaps(domain, options.signal))
    if (bitmap.name === name) await domain.removeBitmap(bitmap, options);
}

/** What a step does, for a plan or a message. */
export function describeStep(step: CleanupStep): string {
  switch (step.type) {
    case 'redefine-checkpoint': {
      const disks = step.checkpoint.disks.map(({ name }) => name).join(', ');
      return `make checkpoint ${step.checkpoint.name} known again on ${disks}`;
    }
    case 'delete-checkpoint':
      return `delete checkpoint ${step.name} and its bitmaps`;
    case 'remove-bitmap':
      return `remove the bitmap ${step.name} from ${shown(step.image)}`;
  }
}
