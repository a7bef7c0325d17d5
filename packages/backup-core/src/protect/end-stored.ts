import type { PullBackup } from '../job/pull/pull-backup.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { BackupJobError, messageOf } from '../words/errors.ts';
import type { Remark } from '../words/remarks.ts';
import { forgetJob } from './job-notes.ts';

/**
 * Ends the job of a backup that is stored, and removes the checkpoints that no disk starts from any more. Whatever
 * fails here is a remark: the point is safe, and the next backup tries again.
 */
export async function endStored(ended: {
  readonly repository: OpenRepository;
  readonly domain: HypervisorDomain;
  readonly backup: PullBackup;
  /** Names of the checkpoints that the new one takes the place of. */
  readonly superseded: readonly string[];
  readonly signal: AbortSignal;
  /** Whether the backup was to be given up: too late. */
  readonly abort: AbortSignal;
}): Promise<readonly Remark[]> {
  const { repository, domain, backup, superseded, signal, abort } = ended;
  const remarks: Remark[] = [];
  try {
    await backup.complete();
    await forgetJob(repository, backup.name);
  } catch (error) {
    const isLost = error instanceof BackupJobError && error.reason === 'checkpoint-lost';
    remarks.push({
      reason: isLost ? 'checkpoint-lost' : 'job-left',
      message: messageOf(error),
      cause: error,
    });
  }
  for (const name of superseded)
    try {
      await domain.deleteCheckpoint(name, { signal });
    } catch (error) {
      const message = `the superseded checkpoint ${name} could not be removed: ${messageOf(error)}`;
      remarks.push({ reason: 'checkpoint-left', message, cause: error });
    }
  if (abort.aborted)
    remarks.push({
      reason: 'aborted-late',
      message: `the point was stored already: ${messageOf(abort.reason)}`,
      cause: abort.reason,
    });
  remarks.push(...plaintextRemarks(backup));
  return remarks;
}

function plaintextRemarks({ disks }: PullBackup): readonly Remark[] {
  return disks
    .filter(({ isEncrypted }) => isEncrypted)
    .map(({ name }) => ({
      reason: 'plaintext',
      message: `the image of disk ${name} is encrypted, what is stored of it is as its guest sees it`,
      disk: name,
    }));
}
