import { hypervisorDomain, type LibvirtDomainHandle } from './adapters/libvirt/domain.ts';
import { openNbdExport } from './adapters/nbd/open-export.ts';
import { type PullBackup, type PullBackupOptions, runPullBackup } from './job/pull/pull-backup.ts';
import type { HypervisorDomain } from './ports/hypervisor-domain.ts';

/**
 * Starts a pull-model backup of a running domain: all disks at one moment, with a checkpoint created in the
 * same call, served until `complete()` or `abort()`.
 *
 * @throws BackupPlanError (nothing was started), BackupJobError (nothing is left), or the signal's reason
 */
export function startPullBackup(
  domain: LibvirtDomainHandle | HypervisorDomain,
  options: PullBackupOptions = {},
): Promise<PullBackup> {
  return runPullBackup(hypervisorDomain(domain), openNbdExport, options);
}
