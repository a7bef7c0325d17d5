import {
  type JobTools,
  type PullBackup,
  type PullBackupOptions,
  runPullBackup,
} from '../job/pull/pull-backup.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { forgetJob, noteJob } from './job-notes.ts';

/** What a job of a repository is run with. */
export interface BackupContext {
  readonly repository: OpenRepository;
  readonly domain: HypervisorDomain;
  readonly tools: JobTools;
}

/** Begins a job that is noted down before, so that a crash leaves nothing that nobody knows of. */
export async function runNotedJob(
  { repository, domain, tools }: BackupContext,
  options: PullBackupOptions & { readonly name: string },
): Promise<PullBackup> {
  const { name, signal } = options;
  const noted = {
    ...tools,
    note: (planned: Parameters<typeof noteJob>[1]) => noteJob(repository, planned, { signal }),
  };
  try {
    return await runPullBackup(domain, noted, options);
  } catch (error) {
    await forgetEnded(repository, name, error);
    throw error;
  }
}

/** Gives a job up because of an error. @returns what to throw: that error, or one that says what is left, too */
export async function giveUpJob(
  { repository }: Pick<BackupContext, 'repository'>,
  backup: PullBackup,
  error: unknown,
): Promise<unknown> {
  const failure = await backup.abortFor(error);
  await forgetEnded(repository, backup.name, failure);
  return failure;
}

/** Where an error says that something of the job is left, the next backup has to know of it. */
async function forgetEnded(repository: OpenRepository, name: string, error: unknown): Promise<void> {
  const left: unknown = error instanceof Error && 'cleanupErrors' in error ? error.cleanupErrors : [];
  if (!Array.isArray(left) || left.length === 0) await forgetJob(repository, name).catch(() => undefined);
}
