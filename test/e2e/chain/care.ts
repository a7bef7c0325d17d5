import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { BackupRepository, copyPoints } from 'libvirt-ts-backup';
import type { Bench } from './bench.ts';
import type { Outcome } from './carry-out.ts';
import { type Ledger, restoreWithLibrary } from './ledger.ts';
import { ChainProblem } from './problem.ts';
import type { Random } from './random.ts';
import { DISKS, type Step } from './steps.ts';

/** A step that is about stored points alone. */
export type CareStep = Extract<Step, { readonly op: 'prune' | 'verify' | 'copy' }>;

const DONE: Outcome = { result: 'done' };
/** Points that are kept of those that were copied. */
const COPIES_KEPT = 4;
/** Older points that are compared after a copy. */
const OLDER_COPIES = 1;

export function isCareStep(step: Step): step is CareStep {
  return step.op === 'prune' || step.op === 'verify' || step.op === 'copy';
}

/** Where points of all repositories are copied to: with other keys, and packed in another way. */
export function openCopies({ libvirtd }: Bench): Promise<BackupRepository> {
  const encryption = { key: randomBytes(32) };
  return BackupRepository.open(join(libvirtd.workDir, 'copies'), { compression: 'deflate', encryption });
}

/** Carries such a step out. Rejects if anything of it is not as it has to be. */
export async function careFor(
  step: CareStep,
  ledger: Ledger,
  copies: BackupRepository,
  { workDir, random }: { readonly workDir: string; readonly random: Random },
): Promise<Outcome> {
  if (ledger.all().length === 0) return { result: 'idle', message: 'no point' };
  if (step.op === 'prune') await prune(ledger, step);
  if (step.op === 'verify') await verify(ledger.repository, step.deep ? 'deep' : 'quick');
  if (step.op === 'copy') await copy(ledger, copies, workDir, random);
  return DONE;
}

async function prune(
  { repository, forget }: Ledger,
  step: Extract<CareStep, { readonly op: 'prune' }>,
): Promise<void> {
  const ids = await idsOf(repository);
  const chosen = ids[Math.floor(step.which * ids.length)];
  const policy =
    step.keepLast === undefined
      ? { keepLast: 1, protected: ids.filter((id) => id !== chosen) }
      : { keepLast: step.keepLast };
  const { remove, hindrances } = await repository.prune(policy);
  forget(remove);
  const left = await idsOf(repository);
  const expected = ids.filter((id) => !remove.includes(id));
  const newest = ids.at(-1) ?? '';
  if (left.join() !== expected.join() || !left.includes(newest))
    throw new ChainProblem('not-restored', `after a prune there are ${left.join()}, not ${expected.join()}`);
  // What an incremental of some disk starts from stays, too.
  const most = step.keepLast === undefined ? ids.length : step.keepLast + DISKS;
  if (left.length > most)
    throw new ChainProblem('left-behind', `a prune left ${left.length} points, not ${most}`);
  if (hindrances.length > 0) throw new ChainProblem('left-behind', hindrances.join('; '));
}

async function idsOf(repository: BackupRepository): Promise<readonly string[]> {
  return (await repository.points()).map(({ id }) => id);
}

async function verify(repository: BackupRepository, mode: 'quick' | 'deep'): Promise<void> {
  const { isWhole, ...report } = await repository.verify({ mode });
  if (!isWhole) throw new ChainProblem('not-restored', `a ${mode} verify: ${JSON.stringify(report)}`);
}

async function copy(
  ledger: Ledger,
  copies: BackupRepository,
  workDir: string,
  random: Random,
): Promise<void> {
  const { damaged } = await copyPoints(ledger.repository, copies);
  if (damaged.length > 0) throw new ChainProblem('not-restored', `a copy: ${JSON.stringify(damaged)}`);
  const points = await copies.points();
  for (const kept of ledger.sample(random, OLDER_COPIES))
    await ledger.check(kept, workDir, async function fromCopies(_, { point: { id }, disk, output }) {
      const point = points.find((each) => each.id === id);
      if (point === undefined) throw new Error(`point ${id} was not copied`);
      await restoreWithLibrary(copies, { point, disk, output });
    });
  await copies.prune({ keepLast: COPIES_KEPT });
}
