import type { PullBackup } from '../job/pull/pull-backup.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { BackupJobError, messageOf } from '../words/errors.ts';
import type { Remark, RemarkReason } from '../words/remarks.ts';
import { forgetJob } from './job-notes.ts';
import { deleteCheckpoint } from './leftovers.ts';

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
  const remarks = [...(await endNotedJob(repository, backup))];
  for (const name of superseded)
    try {
      await deleteCheckpoint(domain, name, { signal });
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

async function endNotedJob(repository: OpenRepository, backup: PullBackup): Promise<readonly Remark[]> {
  const remarks: Remark[] = [];
  const remark = (reason: RemarkReason, error: unknown): void => {
    remarks.push({ reason, message: messageOf(error), cause: error });
  };
  let isEnded = true;
  try {
    await backup.complete();
  } catch (error) {
    // Of such a job nothing is left.
    isEnded = error instanceof BackupJobError && error.reason === 'checkpoint-lost';
    remark(isEnded ? 'checkpoint-lost' : 'job-left', error);
  }
  try {
    if (isEnded) await forgetJob(repository, backup.name);
  } catch (error) {
    remark('leftovers', error);
  }
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
