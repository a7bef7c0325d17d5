import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { BackupRepository, type Point } from 'libvirt-ts-backup';
import { commandPath, compareFiles, run } from '../../harness/index.ts';
import { ChainProblem } from './problem.ts';
import type { Random } from './random.ts';

/** How many points of a repository are kept with what they have to hold. */
const MOST_KEPT = 8;

interface Kept {
  readonly step: number;
  readonly point: Point;
  /** A raw file for each disk of the domain, by target. */
  readonly truths: ReadonlyMap<string, string>;
}

/** A repository, and what its points have to hold. */
export class Ledger implements AsyncDisposable {
  readonly repository: BackupRepository;
  /** Oldest first. */
  #kept: Kept[] = [];
  /** The checkpoint that each disk's newest point made. */
  readonly #checkpoints = new Map<string, string>();
  /** A backup was killed and none has gone well since: what it left is still there, and rightly so. */
  wasKilled = false;
  /** What stands in the repository is known to be wrong: only a full is worth anything. */
  needsFull = false;
  /** A bitmap was cleared behind everybody's back: only an audit of all that is clean is sure to notice. */
  auditsAll = false;

  constructor(repository: BackupRepository) {
    this.repository = repository;
  }

  get checkpoints(): ReadonlySet<string> {
    return new Set(this.#checkpoints.values());
  }

  /** The ids of all points that were ever added. */
  readonly known = new Set<string>();

  add(kept: Kept): void {
    this.#kept.push(kept);
    this.known.add(kept.point.id);
    const checkpoint = checkpointOf(kept.point);
    for (const { name } of kept.point.disks) {
      if (checkpoint === undefined) this.#checkpoints.delete(name);
      else this.#checkpoints.set(name, checkpoint);
    }
    for (const old of this.#kept.splice(0, this.#kept.length - MOST_KEPT)) forget(old);
  }

  /** The newest point and `others` older ones. */
  sample(random: Random, others: number): readonly Kept[] {
    const older = this.#kept.slice(0, -1);
    const chosen = this.#kept.slice(-1);
    for (let left = Math.min(others, older.length); left > 0; left--)
      chosen.push(...older.splice(random.below(older.length), 1));
    return chosen;
  }

  all(): readonly Kept[] {
    return [...this.#kept];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const kept of this.#kept) forget(kept);
    await this.repository.close();
  }

  /** These points are gone, and rightly so. */
  readonly forget = (ids: readonly string[]): void => {
    for (const kept of this.all()) if (ids.includes(kept.point.id)) this.drop(kept);
  };

  drop(kept: Kept): void {
    this.#kept = this.#kept.filter((each) => each !== kept);
    forget(kept);
  }

  /** The newest point, in a list. */
  newest(): readonly Kept[] {
    return this.#kept.slice(-1);
  }

  /** Restores every disk of a point and compares it over its whole length. */
  async check(kept: Kept, folder: string, restore: Restore = restoreWithLibrary): Promise<void> {
    for (const disk of kept.point.disks) {
      const output = join(folder, `restored-${kept.point.id}-${disk.name}.raw`);
      try {
        await this.#checkDisk(kept, disk.name, { output, restore });
      } finally {
        rmSync(output, { force: true });
      }
    }
  }

  async #checkDisk(
    { point, step, truths }: Kept,
    disk: string,
    { output, restore }: { readonly output: string; readonly restore: Restore },
  ): Promise<void> {
    const what = `disk ${disk} of point ${point.id}, taken in step ${step}, ${restore.name}`;
    try {
      await restore(this.repository, { point, disk, output });
    } catch (error) {
      throw new ChainProblem('not-restored', `${what}: ${String(error)}`, error);
    }
    const { equal, lengths, firstDifference, differingBlocks } = await compareFiles(
      output,
      truths.get(disk) ?? '',
    );
    if (equal) return;
    const stored = JSON.stringify(point.disks.find(({ name }) => name === disk));
    throw new ChainProblem(
      'wrong-bytes',
      `${what}: ${lengths[0]} bytes instead of ${lengths[1]}, first difference at ${firstDifference ?? '?'}, ` +
        `${differingBlocks} blocks of 64 KiB differ; ${stored}`,
    );
  }
}

/** A way to get a disk of a point back as a raw file. */
export type Restore = (
  repository: BackupRepository,
  what: { readonly point: Point; readonly disk: string; readonly output: string },
) => Promise<unknown>;

export const restoreWithLibrary: Restore = (repository, { point, disk, output }) =>
  repository.restore(point, disk, output);

/** With the program that lies in the repository itself. */
export const restoreWithPython: Restore = ({ description: folder }, { point, disk, output }) =>
  run(commandPath('python3'), [join(folder, 'restore.py'), folder, point.id, disk, output]);

function forget({ truths }: Kept): void {
  for (const file of truths.values()) rmSync(file, { force: true });
}

/** The name of the checkpoint that a point made. */
export function checkpointOf(point: { readonly checkpoint: unknown }): string | undefined {
  const { checkpoint } = point;
  if (typeof checkpoint === 'string') return checkpoint === '' ? undefined : checkpoint;
  return (checkpoint as { readonly name: string } | null)?.name;
}
