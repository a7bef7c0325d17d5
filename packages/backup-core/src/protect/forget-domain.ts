import { surveyDomain } from '../job/gather.ts';
import type { HypervisorDomain } from '../ports/domain.ts';
import type { OpenRepository } from '../repository/open-repository.ts';
import { takeLease } from '../repository/leases.ts';
import { messageOf } from '../words/errors.ts';
import { withSignals } from '../words/joined-signal.ts';
import { isJobName, isOurName } from '../words/names.ts';
import type { Remark } from '../words/remarks.ts';
import { type CleanupStep, cleanUp, describeStep, planCleanup } from './leftovers.ts';

/** How much is taken off a domain. */
export interface ForgetOptions {
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Those of every repository of this library, and of jobs without one, too. */
  readonly all?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What is, or was, to be done, and what went wrong with it. */
export interface ForgetResult {
  /** What was done; with `dryRun` what would be. */
  readonly steps: readonly CleanupStep[];
  /** What could not be done, and why. */
  readonly remarks: readonly Remark[];
}

/**
 * Takes our checkpoints and bitmaps off a domain, after which it can be undefined and reverted to an internal
 * snapshot, and the next backup reads it in full. The points stay.
 */
export async function forgetDomain(
  repository: OpenRepository,
  domain: HypervisorDomain,
  { dryRun = false, all = false, signal: given }: ForgetOptions,
): Promise<ForgetResult> {
  const isOurs = (name: string): boolean => (all ? isOurName(name) : isJobName(name, repository.id));
  const work = { kind: 'backup', domain: domain.uuid } as const;
  await using lease = await takeLease(repository.store.storage, repository.owners, work, { signal: given });
  return await withSignals([lease.lost, given], async (signal) => {
    const survey = await surveyDomain(domain, signal);
    const steps = planCleanup(survey, [], isOurs, isOurs);
    const remarks: Remark[] = [];
    if (!survey.facts.isActive && steps.length > 0)
      remarks.push({
        reason: 'leftovers',
        message: `domain ${domain.name} is off: the bitmaps stay in its images, until this is done while it runs`,
      });
    for (const step of dryRun ? [] : steps)
      try {
        await cleanUp(domain, step, { signal });
      } catch (error) {
        signal.throwIfAborted();
        const message = `cannot ${describeStep(step)}: ${messageOf(error)}`;
        remarks.push({ reason: 'leftovers', message, cause: error });
      }
    return { steps, remarks };
  });
}
