import type { CheckpointFacts, HypervisorDomain, ImageBitmap } from '../ports/domain.ts';
import { HypervisorError } from '../words/errors.ts';
import type { PlanInput, PlanOptions } from './plan.ts';

/** Asks the hypervisor for all that a plan is made of. Changes nothing. @throws HypervisorError */
export async function gatherFacts(
  domain: HypervisorDomain,
  options: PlanOptions,
  signal: AbortSignal | undefined,
): Promise<PlanInput> {
  const [facts, running, checkpointNames] = await Promise.all([
    domain.describe({ signal }),
    domain.runningJob({ signal }),
    domain.checkpointNames({ signal }),
  ]);
  const wanted = namedCheckpoints(options);
  const [checkpoints, bitmaps] = await Promise.all([
    Promise.all(wanted.map(async (name) => [name, await domain.checkpoint(name, { signal })] as const)),
    wanted.length === 0 ? [] : visibleBitmaps(domain, signal),
  ]);
  return {
    domain: { name: domain.name, uuid: domain.uuid },
    facts,
    running,
    checkpointNames,
    checkpoints: new Map<string, CheckpointFacts | null>(checkpoints),
    bitmaps,
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
