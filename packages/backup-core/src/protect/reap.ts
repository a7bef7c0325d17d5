import { endJob } from '../job/end.ts';
import { type Survey, surveyDomain } from '../job/gather.ts';
import type { JobTools } from '../job/pull/pull-backup.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import type { JobFiles } from '../ports/job-files.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { BackupJobError, messageOf } from '../words/errors.ts';
import { isJobName } from '../words/names.ts';
import type { Remark } from '../words/remarks.ts';
import { checkpointNamesOf, type History, neededCheckpoints } from './history.ts';
import { forgetJob, type JobNote, notedJobs } from './job-notes.ts';
import { cleanUp, describeStep, type NeededCheckpoint, planCleanup } from './leftovers.ts';
import type { BackupContext } from './noted-job.ts';

/**
 * Removes what dead backups of this repository left on a domain and its host: jobs, scratch files, sockets,
 * checkpoints that no point needs and bitmaps that no checkpoint stands for. Makes checkpoints known again that the
 * hypervisor forgot. Whoever calls this holds the domain's lease, so nobody is at work on them.
 *
 * A job that is not noted down here is somebody else's, be it of a copy of this repository.
 *
 * @returns what was, or could not be, done; and the tools, which know what the domain is like if it was looked at and is
 * as it was
 * @throws BackupJobError if the job of a dead backup does not end
 */
export async function reapDomain(
  { repository, domain, tools }: BackupContext,
  { listing, copies }: History,
  signal: AbortSignal,
): Promise<{ readonly remarks: readonly Remark[]; readonly tools: JobTools }> {
  const superseded = checkpointNamesOf(repository.id, listing);
  const notes = await notedJobs(repository, domain.uuid, { signal });
  // Nothing of this repository has ever been on the domain: looking for bitmaps would mark it as tainted.
  if (notes.length === 0 && superseded.size === 0) return { remarks: [], tools };
  for (const note of notes) await endDeadJob(domain, tools.files, note, signal);
  const { remarks, isLeft, survey } = await tidyTracking(repository, domain, {
    needed: neededCheckpoints(copies),
    isSuperseded: (name) => superseded.has(name) || notes.some(({ checkpoint }) => checkpoint === name),
    signal,
  });
  for (const { name, socket, checkpoint } of notes) {
    // Of a backup that stored no point nothing else knows the checkpoint: the next run tries again.
    if (checkpoint !== null && isLeft(checkpoint)) continue;
    await forgetJob(repository, name);
    if (socket !== null)
      remarks.push({ reason: 'leftovers', message: `what the interrupted backup ${name} left was removed` });
  }
  return { remarks, tools: { ...tools, survey } };
}

async function endDeadJob(
  domain: HypervisorDomain,
  files: JobFiles,
  { name, socket, scratch }: JobNote,
  signal: AbortSignal,
): Promise<void> {
  // That of a point which was removed: there is only its checkpoint.
  if (socket === null) return;
  // Not its checkpoint: the point may have been stored, and then it is needed.
  const cleanupErrors = [...(await endJob(domain, files, { socket }, { signal }))];
  for (const path of cleanupErrors.length === 0 ? scratch : [])
    await files.remove(path).catch((error: unknown) => {
      cleanupErrors.push(error instanceof Error ? error : new Error(messageOf(error)));
    });
  signal.throwIfAborted();
  if (cleanupErrors.length === 0) return;
  const message = `what the interrupted backup ${name} of domain ${domain.name} left cannot be removed`;
  throw new BackupJobError('left-behind', message, { phase: 'end', cleanupErrors });
}

async function tidyTracking(
  { id }: OpenRepository,
  domain: HypervisorDomain,
  options: {
    readonly needed: readonly NeededCheckpoint[];
    readonly isSuperseded: (name: string) => boolean;
    readonly signal: AbortSignal;
  },
): Promise<{
  readonly remarks: Remark[];
  /** Whether a checkpoint may be there still, though it should have gone. */
  readonly isLeft: (checkpoint: string) => boolean;
  /** Absent: something was changed since. */
  readonly survey: Survey | undefined;
}> {
  const { needed, isSuperseded, signal } = options;
  const remarks: Remark[] = [];
  const attempt = async (what: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      // The backup can be taken all the same.
      remarks.push({ reason: 'leftovers', message: `cannot ${what}: ${messageOf(error)}`, cause: error });
      return false;
    }
  };
  const left = new Set<string>();
  let survey: Survey | undefined;
  const hasLooked = await attempt('look for what earlier backups left', async () => {
    const found = await surveyDomain(domain, signal);
    const steps = planCleanup(found, needed, isSuperseded, (name) => isJobName(name, id));
    if (steps.length === 0) survey = found;
    for (const step of steps) {
      const isDone = await attempt(describeStep(step), () => cleanUp(domain, step, { signal }));
      if (!isDone && step.type === 'delete-checkpoint') left.add(step.name);
    }
  });
  return { remarks, survey, isLeft: (checkpoint) => !hasLooked || left.has(checkpoint) };
}
