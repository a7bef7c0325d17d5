import { type Random, randomFrom } from './random.ts';

/** One request to a disk. Where it lies is a fraction of whatever size the disk has when it is carried out. */
export interface Write {
  readonly disk: number;
  readonly kind: 'write' | 'zero' | 'zero-unmap' | 'discard';
  readonly at: number;
  readonly length: number;
  readonly pattern: number;
}

/** How a backup is spoilt. */
export type Fault =
  | { readonly kind: 'scratch-absent' | 'scratch-denied' }
  | { readonly kind: 'aborted' | 'killed'; readonly afterMs: number };

interface BackupStep {
  readonly op: 'backup';
  readonly repository: number;
  readonly mode: 'auto' | 'full';
  /** The disks asked for by name; undefined: all. */
  readonly only?: number;
  /** What the guest writes while the backup reads. */
  readonly meanwhile: readonly Write[];
  readonly fault?: Fault;
}

/**
 * Something that happens to the domain or to its backups. Each step is data of its own, does not depend on
 * those before it and makes the state it needs (a step for a running domain starts it), so that any part of a
 * sequence can be run again by itself.
 */
export type Step =
  | BackupStep
  | {
      readonly op: 'prune';
      readonly repository: number;
      /** How many points stay; undefined: one is removed. */
      readonly keepLast?: number;
      readonly which: number;
    }
  | { readonly op: 'verify'; readonly repository: number; readonly deep: boolean }
  | { readonly op: 'copy'; readonly repository: number }
  | { readonly op: 'write'; readonly writes: readonly Write[] }
  | { readonly op: 'resize'; readonly disk: number; readonly to: number; readonly via?: number }
  | { readonly op: 'snapshot'; readonly disks: readonly number[]; readonly clusterSize?: number }
  | { readonly op: 'commit' | 'pull'; readonly disk: number }
  | { readonly op: 'power-cycle' | 'restart-libvirtd' | 'kill-qemu' | 'exchange' }
  | { readonly op: 'replace'; readonly disk: number; readonly size: number; readonly pattern: number }
  | { readonly op: 'save-copy' | 'put-back'; readonly disk: number }
  | { readonly op: 'lose-checkpoint'; readonly which: number; readonly metadataOnly: boolean }
  | { readonly op: 'recreate-checkpoint'; readonly which: number }
  | {
      readonly op: 'lose-bitmap' | 'clear-bitmap';
      readonly disk: number;
      readonly which: number;
      /** Of the image in use while the domain runs, rather than of any image of its chain while it is off. */
      readonly live: boolean;
      readonly layer: number;
    };

export type Op = Step['op'];

/** A disk as it is made. */
export interface DiskPlan {
  readonly size: number;
  readonly clusterSize: number;
  /** Size of the image that it lies over. */
  readonly backing?: number;
}

export const DISKS = 2;
export const REPOSITORIES = 2;

const KIB = 1024;
const MIB = 1024 * KIB;
const SECTOR = 512;
const SMALLEST = 4 * MIB;
const LARGEST = 24 * MIB;
const CLUSTER_SIZES = [4 * KIB, 64 * KIB, 2 * MIB];

/** How often each comes; of those that need the domain off fewer, since they take longest. */
const WEIGHTS: Readonly<Record<Op, number>> = {
  backup: 40,
  prune: 4,
  verify: 3,
  copy: 3,
  write: 14,
  resize: 8,
  snapshot: 5,
  commit: 3,
  pull: 3,
  'power-cycle': 3,
  'restart-libvirtd': 2,
  'kill-qemu': 2,
  exchange: 4,
  replace: 2,
  'save-copy': 2,
  'put-back': 2,
  'lose-checkpoint': 4,
  'recreate-checkpoint': 2,
  'lose-bitmap': 4,
  'clear-bitmap': 0,
};

export interface StepOptions {
  /**
   * Bitmaps are cleared behind everybody's back. Only an audit of all clean ranges is sure to notice, so backups make
   * one.
   */
  readonly clearBitmaps?: boolean | undefined;
}

const sizeFrom = (random: Random): number =>
  SMALLEST +
  (random.chance(0.5)
    ? random.below((LARGEST - SMALLEST) / MIB) * MIB
    : random.below((LARGEST - SMALLEST) / SECTOR) * SECTOR);

/** The disks that a seed starts with. */
export function diskPlans(seed: number): readonly DiskPlan[] {
  const random = randomFrom(seed);
  return Array.from({ length: DISKS }, () => {
    const size = sizeFrom(random);
    const clusterSize = random.pick(CLUSTER_SIZES);
    return { size, clusterSize, ...(random.chance(0.35) && { backing: sizeFrom(random) }) };
  });
}

function writeFrom(random: Random): Write {
  return {
    disk: random.below(DISKS),
    kind: random.pick(['write', 'write', 'write', 'zero', 'zero-unmap', 'discard']),
    at: random.fraction(),
    length: random.pick([SECTOR, 3 * SECTOR, 4 * KIB, 64 * KIB, 200 * KIB, MIB, 3 * MIB]),
    pattern: 1 + random.below(255),
  };
}

const writesFrom = (random: Random, most: number): readonly Write[] =>
  Array.from({ length: 1 + random.below(most) }, () => writeFrom(random));

function faultFrom(random: Random): { readonly fault?: Fault } {
  if (random.chance(0.75)) return {};
  const kind = random.pick(['scratch-absent', 'scratch-denied', 'aborted', 'killed'] as const);
  if (kind === 'aborted') return { fault: { kind, afterMs: random.below(150) } };
  if (kind === 'killed') return { fault: { kind, afterMs: random.below(200) } };
  return { fault: { kind } };
}

const repositoryFrom = (random: Random): number => (random.chance(0.7) ? 0 : 1);

function careFrom(random: Random, op: 'prune' | 'verify' | 'copy', which: number): Step {
  const repository = repositoryFrom(random);
  if (op === 'copy') return { op, repository };
  if (op === 'verify') return { op, repository, deep: random.chance(0.5) };
  return { op, repository, which, ...(random.chance(0.5) && { keepLast: 1 + random.below(4) }) };
}

function backupFrom(random: Random): BackupStep {
  return {
    op: 'backup',
    repository: repositoryFrom(random),
    mode: random.chance(0.92) ? 'auto' : 'full',
    ...(random.chance(0.15) && { only: random.below(DISKS) }),
    meanwhile: random.chance(0.2) ? writesFrom(random, 2) : [],
    ...faultFrom(random),
  };
}

function opFrom(random: Random, weights: Readonly<Record<Op, number>>): Op {
  const entries = Object.entries(weights) as [Op, number][];
  let left = random.fraction() * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [op, weight] of entries) if ((left -= weight) < 0) return op;
  return 'backup';
}

/** Step `index` of the sequence that a seed stands for: the same whatever comes before it. */
export function stepAt(seed: number, index: number, options: StepOptions = {}): Step {
  const random = randomFrom(seed, index + 1);
  const op = opFrom(random, { ...WEIGHTS, 'clear-bitmap': options.clearBitmaps === true ? 4 : 0 });
  const disk = random.below(DISKS);
  const which = random.fraction();
  switch (op) {
    case 'backup':
      return backupFrom(random);
    case 'prune':
    case 'verify':
    case 'copy':
      return careFrom(random, op, which);
    case 'write':
      return { op, writes: writesFrom(random, 4) };
    case 'resize':
      // Down and up again in one go, as somebody would who mistyped, is the case that a bitmap forgets.
      return { op, disk, to: sizeFrom(random), ...(random.chance(0.5) && { via: sizeFrom(random) }) };
    case 'snapshot':
      return {
        op,
        disks: random.chance(0.5) ? [disk] : [0, 1],
        ...(random.chance(0.5) && { clusterSize: random.pick(CLUSTER_SIZES) }),
      };
    case 'commit':
    case 'pull':
    case 'save-copy':
    case 'put-back':
      return { op, disk };
    case 'replace':
      return { op, disk, size: sizeFrom(random), pattern: 1 + random.below(255) };
    case 'lose-checkpoint':
      return { op, which, metadataOnly: random.chance(0.5) };
    case 'recreate-checkpoint':
      return { op, which };
    case 'lose-bitmap':
    case 'clear-bitmap':
      return { op, disk, which, live: random.chance(0.5), layer: random.fraction() };
    default:
      return { op };
  }
}
