import { BackupJobError } from '../words/errors.ts';
import { endJob } from '../job/end.ts';
import { isJobName, jobNameOfSocket } from '../words/names.ts';
import type { CallOptions, HypervisorDomain } from '../ports/domain.ts';
import type { JobFiles } from '../ports/job-files.ts';

/**
 * Removes what a crashed backup of this repository left on the domain: its job, and checkpoints that no point
 * stands for. Whoever calls this holds the lock, so nobody is at work on them.
 *
 * @param current - the checkpoint of the newest point, which stays
 */
export async function reconcileDomain(
  domain: HypervisorDomain,
  owner: string,
  current: string | undefined,
  files: JobFiles,
  options: CallOptions = {},
): Promise<void> {
  const socket = (await domain.runningJob(options))?.socket;
  if (socket !== undefined && jobNameOfSocket(socket, owner) !== undefined) {
    const cleanupErrors = await endJob(domain, files, { socket }, options);
    if (cleanupErrors.length > 0)
      throw new BackupJobError(
        'left-behind',
        `the job of an interrupted backup of domain ${domain.name} does not end`,
        {
          phase: 'end',
          cleanupErrors,
        },
      );
  }
  for (const name of await domain.checkpointNames(options))
    if (isJobName(name, owner) && name !== current) await domain.deleteCheckpoint(name, options);
}
