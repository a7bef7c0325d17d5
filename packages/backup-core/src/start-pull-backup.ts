import { localJobFiles } from './adapters/folder/job-files.ts';
import { hypervisorDomain, type LibvirtDomainHandle } from './adapters/libvirt/domain.ts';
import { openNbdExport } from './adapters/nbd/open-export.ts';
import { type PullBackup, type PullBackupOptions, runPullBackup } from './job/pull/pull-backup.ts';
import type { HypervisorDomain } from './ports/domain.ts';
import {
  abortSignal,
  checkOptions,
  listOfDisks,
  milliseconds,
  namePart,
  oneOf,
  type OptionCheck,
  type OptionChecks,
  orNull,
  someText,
  trueOrFalse,
} from './words/check-options.ts';

const aMap: OptionCheck = { wanted: 'a Map', accepts: (value) => value instanceof Map };

const OPTIONS: OptionChecks<PullBackupOptions> = {
  incremental: someText,
  earlier: aMap,
  mode: oneOf('full'),
  demote: trueOrFalse,
  tooOld: { wanted: 'a Set', accepts: (value) => value instanceof Set },
  refused: aMap,
  checkpoint: orNull(namePart),
  disks: listOfDisks,
  scratchDir: someText,
  name: namePart,
  idleTimeoutMs: milliseconds,
  signal: abortSignal,
};

/**
 * Starts a pull-model backup of a running domain: all disks at one moment, with a checkpoint created in the
 * same call, served until `complete()` or `abort()`.
 *
 * @throws BackupUsageError, NotFoundError, BackupPlanError or HypervisorError (nothing was started), BackupJobError
 * (nothing is left, or it says what), or the signal's reason
 */
export async function startPullBackup(
  domain: LibvirtDomainHandle | HypervisorDomain,
  options: PullBackupOptions = {},
): Promise<PullBackup> {
  checkOptions('startPullBackup', options, OPTIONS);
  const tools = { openExport: openNbdExport, files: localJobFiles };
  return runPullBackup(hypervisorDomain(domain), tools, options);
}
