import type { CheckpointFacts, DomainFacts, HypervisorDomain, ImageBitmap } from '../ports/domain.ts';
import { HypervisorError } from '../words/errors.ts';
import type { PlanInput, PlanOptions } from './plan.ts';

/** What a domain is like, and what tracks its disks. */
export interface Survey {
  readonly facts: DomainFacts;
  readonly checkpointNames: readonly string[];
  /** Empty where they cannot be seen. */
  readonly bitmaps: readonly ImageBitmap[];
}

/** Looks at a domain. Changes nothing, but that libvirt calls a domain tainted whose bitmaps were looked at. */
export async function surveyDomain(
  domain: HypervisorDomain,
  signal: AbortSignal | undefined,
  { withBitmaps = true }: { readonly withBitmaps?: boolean } = {},
): Promise<Survey> {
  const [facts, checkpointNames, bitmaps] = await Promise.all([
    domain.describe({ signal }),
    domain.checkpointNames({ signal }),
    withBitmaps ? visibleBitmaps(domain, signal) : [],
  ]);
  return { facts, checkpointNames, bitmaps };
}

/**
 * Asks the hypervisor for all that a plan is made of. Changes nothing.
 *
 * @param known - a survey that nothing has been changed since
 * @throws HypervisorError
 */
export async function gatherFacts(
  domain: HypervisorDomain,
  options: PlanOptions,
  signal: AbortSignal | undefined,
  known?: Survey,
): Promise<PlanInput> {
  const wanted = namedCheckpoints(options);
  const [survey, running, checkpoints] = await Promise.all([
    known ?? surveyDomain(domain, signal, { withBitmaps: wanted.length > 0 }),
    domain.runningJob({ signal }),
    Promise.all(wanted.map(async (name) => [name, await domain.checkpoint(name, { signal })] as const)),
  ]);
  return {
    ...survey,
    domain: { name: domain.name, uuid: domain.uuid },
    running,
    checkpoints: new Map<string, CheckpointFacts | null>(checkpoints),
  };
}

function namedCheckpoints({ incremental, earlier, mode }: PlanOptions): readonly string[] {
  if (mode === 'full') return [];
  const names = [...(earlier?.values() ?? [])].map(({ checkpoint }) => checkpoint);
  return [...new Set(incremental === undefined ? names : [...names, incremental])];
}

/** The bitmaps in a domain's images; none where the hypervisor does not let us look. */
export async function visibleBitmaps(
  domain: HypervisorDomain,
  signal: AbortSignal | undefined,
): Promise<readonly ImageBitmap[]> {
  try {
    return await domain.imageBitmaps({ signal });
  } catch (error) {
    if (error instanceof HypervisorError && (error.reason === 'unsupported' || error.reason === 'denied'))
      return [];
    throw error;
  }
}
