import { BackupJobError } from '../words/errors.ts';
import { endJob } from '../job/end.ts';
import { isJobName, jobNameOfSocket } from '../words/names.ts';
import type { HypervisorDomain } from '../ports/hypervisor-domain.ts';
import { parseDomainBackup } from '../adapters/libvirt/xml/domain-backup.ts';

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
): Promise<void> {
  if (!(await domain.isActive())) return;
  const running = await domain.backupXml();
  const socket = running === null ? undefined : parseDomainBackup(running).socket;
  if (socket !== undefined && jobNameOfSocket(socket, owner) !== undefined) {
    const cleanupErrors = await endJob(domain, { socket });
    if (cleanupErrors.length > 0)
      throw new BackupJobError(
        'failed',
        `the job of an interrupted backup of domain ${domain.name} does not end`,
        {
          phase: 'end',
          cleanupErrors,
        },
      );
  }
  for (const name of await domain.checkpointNames())
    if (isJobName(name, owner) && name !== current) await domain.deleteCheckpoint(name);
}
