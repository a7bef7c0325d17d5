import { dirname } from 'node:path';
import type { HypervisorDomain } from '../../ports/domain.ts';
import type { JobFiles } from '../../ports/job-files.ts';
import { BackupJobError, HypervisorError } from '../../words/errors.ts';
import { jobFailure } from '../failure.ts';
import { type JobPlan, jobSpecOf, planJob, type PlanInput, type PlanOptions } from '../plan.ts';

/**
 * Starts the planned job; the checkpoint is created in the same call, so both show one moment. Where the hypervisor
 * cannot use a bitmap, and the disk may be demoted, it is read in full and the job begun again.
 *
 * @returns the plan that was begun
 * @throws BackupJobError; where the hypervisor was denied access, with the owner and mode of the folders
 */
export async function beginJob(
  domain: HypervisorDomain,
  files: JobFiles,
  input: PlanInput,
  options: PlanOptions,
  first: JobPlan,
): Promise<JobPlan> {
  let plan = first;
  let refused = options.refused ?? new Map<string, string>();
  for (;;) {
    try {
      await domain.beginBackup(jobSpecOf(plan));
      return plan;
    } catch (error) {
      const demoted = options.demote === true ? demotedPlan(error, plan, input, options, refused) : undefined;
      if (demoted === undefined) throw await beginFailure(error, domain, files, plan);
      ({ plan, refused } = demoted);
    }
  }
}

/** @returns undefined if the error is not about a bitmap, or no disk would use one any more */
function demotedPlan(
  error: unknown,
  plan: JobPlan,
  input: PlanInput,
  options: PlanOptions,
  refusedBefore: ReadonlyMap<string, string>,
): { readonly plan: JobPlan; readonly refused: ReadonlyMap<string, string> } | undefined {
  if (!(error instanceof HypervisorError) || error.reason !== 'bitmap') return undefined;
  const incremental = plan.disks
    .filter(({ reading }) => reading.mode === 'incremental')
    .map((disk): string => disk.name);
  if (incremental.length === 0) return undefined;
  const named = incremental.filter((disk) => disk === error.disk);
  // Not told which one, it can be any.
  const disks = named.length > 0 ? named : incremental;
  const refused = new Map([...refusedBefore, ...disks.map((disk) => [disk, error.message] as const)]);
  return { refused, plan: planJob(input, { ...options, name: plan.name, refused }) };
}

async function beginFailure(
  error: unknown,
  domain: HypervisorDomain,
  files: JobFiles,
  plan: JobPlan,
): Promise<unknown> {
  const failure = await jobFailure(error, {
    ...{ domain, socket: plan.socket, phase: 'begin' },
    what: `the backup of domain ${domain.name} could not be started`,
  });
  if (!(failure instanceof BackupJobError && failure.reason === 'denied')) return failure;
  const folders = new Set([dirname(plan.socket), ...plan.disks.map((disk) => dirname(disk.scratch))]);
  const texts = await Promise.all([...folders].map((folder) => files.describe(folder)));
  return new BackupJobError(
    'denied',
    `${failure.message}; QEMU's user must be able to write to the scratch and socket folders: ${texts.join(', ')}`,
    { phase: 'begin', cause: error },
  );
}
