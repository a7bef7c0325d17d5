import { dirname, isAbsolute, join } from 'node:path';
import type {
  CheckpointFacts,
  DiskFacts,
  DomainFacts,
  ImageBitmap,
  JobSpec,
  RunningJob,
} from '../ports/domain.ts';
import type { DiskReading, EarlierDisk, ExcludedDisk, FullReason } from '../words/disk-answers.ts';
import { BackupPlanError, NotFoundError } from '../words/errors.ts';
import { jobName } from '../words/names.ts';
import { type DiskName, shown } from '../words/peer-names.ts';
import { canBeTracked, selectDisks } from './disk-selection.ts';
import { inFull, type Trust, trustBitmap } from './trust.ts';

/** What a job is to be like. */
export interface PlanOptions {
  /** The checkpoint to take only the changes since, the same for every disk that is not in `earlier`. */
  readonly incremental?: string | undefined;
  /** What a repository knows of each disk, by its target. Neither this nor `incremental`: a full backup. */
  readonly earlier?: ReadonlyMap<string, EarlierDisk> | undefined;
  /** A full backup, whatever is known. */
  readonly mode?: 'full' | undefined;
  /**
   * Whether a disk whose changes are not known is backed up in full instead. Default: it is an error. A disk on
   * which there can be no bitmap is always backed up in full.
   */
  readonly demote?: boolean | undefined;
  /** Disks that are read in full because what they share with earlier points began too long ago. */
  readonly tooOld?: ReadonlySet<string> | undefined;
  /** Disks whose bitmap the hypervisor refused to use, each with what it said: they are read in full. */
  readonly refused?: ReadonlyMap<string, string> | undefined;
  /** Name of the checkpoint to create with the job; default: that of the job. null: create none. */
  readonly checkpoint?: string | null | undefined;
  /** Targets of the disks to back up, such as `vda`; default: every disk that its guest alone can change. */
  readonly disks?: readonly string[] | undefined;
  /**
   * A folder on the hypervisor for scratch files and the socket, writable by QEMU's user. Default: each scratch
   * file beside its image, those of other disks than files beside the first that is one, the socket in /var/tmp.
   */
  readonly scratchDir?: string | undefined;
  /** Unique base of the names of scratch files and socket; default: made by `jobName`. */
  readonly name?: string | undefined;
}

/** What the domain is like now. */
export interface PlanInput {
  readonly domain: { readonly name: string; readonly uuid: string };
  readonly facts: DomainFacts;
  readonly running: RunningJob | null;
  readonly checkpointNames: readonly string[];
  /** Every checkpoint that the options name; null or absent: the hypervisor does not know it. */
  readonly checkpoints: ReadonlyMap<string, CheckpointFacts | null>;
  /** Empty where they cannot be seen. */
  readonly bitmaps: readonly ImageBitmap[];
}

/** A disk that the job exports. */
export interface PlannedDisk {
  readonly name: DiskName;
  /** Since which checkpoint, or in full and why. */
  readonly reading: DiskReading;
  /** Of an incremental: the smallest size since its checkpoint; see `beyondSmallest`. */
  readonly smallestSize: number | undefined;
  /** Of an incremental: see `LayoutOptions.cluster` and `LayoutOptions.lastCleanCluster`. */
  readonly cluster: number | undefined;
  readonly lastCleanCluster: number | undefined;
  /** Bytes dirty since the checkpoint, of an incremental. */
  readonly dirtyBytes: number | undefined;
  readonly exportName: string;
  /** Name of the bitmap in the export, of an incremental. */
  readonly exportBitmap: string | undefined;
  /** Path of the scratch file, on the hypervisor. */
  readonly scratch: string;
  /** Whether the new checkpoint has a bitmap on it. */
  readonly isTracked: boolean;
  /** Virtual size in bytes, where the hypervisor can tell. */
  readonly size: number | undefined;
  /** The image in use, and the whole chain with it at its head, each as the hypervisor names it. */
  readonly image: { readonly path: string; readonly format: string; readonly chain: readonly string[] };
  /** The image is encrypted, and its export is not. */
  readonly isEncrypted: boolean;
}

/** What a job will do. Each of the domain's disks is planned, or excluded with a reason. */
export interface JobPlan {
  readonly name: string;
  /** Path of the socket, on the hypervisor. */
  readonly socket: string;
  /** The checkpoint to create; null: none was wanted, or no disk can be tracked. */
  readonly checkpoint: string | null;
  readonly disks: readonly PlannedDisk[];
  readonly excluded: readonly ExcludedDisk[];
  /** The disks of the domain on which the checkpoint has no bitmap, excluded ones included. */
  readonly untracked: readonly DiskName[];
}

const DEFAULT_FOLDER = '/var/tmp';
/** The size of `sockaddr_un.sun_path` less the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Decides what a job does, from what the domain is like. Asks nothing and changes nothing.
 *
 * @throws BackupPlanError with what stands in the way, or NotFoundError for a disk or checkpoint that was named
 */
export function planJob(input: PlanInput, options: PlanOptions): JobPlan {
  const { facts } = input;
  const name = options.name ?? jobName();
  const socket = socketPath(name, options.scratchDir);
  refuseDomain(input);
  const { included, excluded } = selectDisks(input.domain, facts.disks, options.disks);
  refuseCheckpoints(input, options, name);
  const scratch = scratchPaths(facts.disks, name, options.scratchDir);
  const wanted = options.checkpoint === undefined ? name : options.checkpoint;
  const disks = included.map((disk) =>
    planDisk(disk, trustOf(disk, input, options), scratch(disk), wanted !== null),
  );
  refuseDemoted(input, disks, options);
  const tracked = new Set(disks.filter((disk) => disk.isTracked).map((disk) => disk.name));
  return {
    name,
    socket,
    checkpoint: tracked.size === 0 ? null : wanted,
    disks,
    excluded,
    untracked: facts.disks.map((disk) => disk.name).filter((disk) => !tracked.has(disk)),
  };
}

/** The plan as the hypervisor takes it. */
export function jobSpecOf({ socket, checkpoint, disks, untracked }: JobPlan): JobSpec {
  const tracked = disks.filter((disk) => disk.isTracked).map((disk) => disk.name);
  return {
    socket,
    disks: disks.map(({ name, scratch, exportName, exportBitmap, reading }) => ({
      name,
      scratch,
      exportName,
      incremental:
        reading.mode === 'full' || exportBitmap === undefined
          ? undefined
          : { checkpoint: reading.checkpoint, exportBitmap },
    })),
    checkpoint: checkpoint === null ? null : { name: checkpoint, tracked, untracked },
  };
}

function socketPath(name: string, scratchDir: string | undefined): string {
  const folder = scratchDir ?? DEFAULT_FOLDER;
  if (!isAbsolute(folder))
    throw new BackupPlanError(
      'scratch',
      `the scratch folder ${folder} is not an absolute path on the hypervisor`,
    );
  const path = join(folder, `${name}.sock`);
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES)
    throw new BackupPlanError(
      'scratch',
      `the socket ${path} would have ${bytes} bytes, a unix socket has at most ${MAX_SOCKET_PATH_BYTES}: use a shorter scratch folder`,
    );
  return path;
}

function refuseDomain({ domain, facts, running }: PlanInput): void {
  const name = shown(domain.name);
  if (!facts.isActive)
    throw new BackupPlanError('domain-off', `domain ${name} is shut off: a pull backup needs it running`);
  if (running === null) return;
  // A second begin would wait for 30 s and then fail.
  const where = running.socket === undefined ? '' : `, served at ${shown(running.socket)}`;
  const disks = running.disks.map((disk) => shown(disk.name)).join(', ');
  throw new BackupPlanError('domain-busy', `domain ${name} has a backup job already: disks ${disks}${where}`);
}

function refuseCheckpoints(
  { domain, checkpoints, checkpointNames }: PlanInput,
  { incremental, checkpoint, mode, demote }: PlanOptions,
  name: string,
): void {
  const created = checkpoint === undefined ? name : checkpoint;
  if (created !== null && checkpointNames.includes(created))
    throw new BackupPlanError(
      'checkpoint-exists',
      `domain ${shown(domain.name)} has a checkpoint ${shown(created)} already`,
    );
  if (incremental === undefined || mode === 'full' || demote === true) return;
  if ((checkpoints.get(incremental) ?? null) === null)
    throw new NotFoundError(
      'checkpoint',
      `domain ${shown(domain.name)} has no checkpoint ${shown(incremental)}`,
    );
}

function trustOf(disk: DiskFacts, { checkpoints, bitmaps }: PlanInput, options: PlanOptions): Trust {
  const { incremental, mode, refused } = options;
  // First: it is the one reason that also says what is stored.
  if (options.tooOld?.has(disk.name) === true)
    return inFull('too-old', `what disk ${disk.name} shares blocks with began too long ago`);
  if (mode === 'full' || (options.earlier === undefined && incremental === undefined))
    return inFull('asked', 'a full backup was asked for');
  if (!canBeTracked(disk)) return inFull('no-bitmap', whyNotTracked(disk));
  const since: EarlierDisk | undefined =
    incremental === undefined
      ? undefined
      : { checkpoint: incremental, creationTime: undefined, image: undefined, smallestSize: undefined };
  const earlier = options.earlier?.get(disk.name) ?? since;
  const checkpoint = earlier === undefined ? null : (checkpoints.get(earlier.checkpoint) ?? null);
  const trust = trustBitmap({ disk, earlier, checkpoint, bitmaps });
  const said = refused?.get(disk.name);
  if (said === undefined || trust.reading.mode === 'full') return trust;
  return inFull(
    'bitmap-refused',
    `the hypervisor cannot use the bitmap of disk ${disk.name}: ${shown(said)}`,
  );
}

function whyNotTracked({ name, device, format, isReadOnly, isShareable }: DiskFacts): string {
  const what =
    device !== 'disk'
      ? `a ${device}`
      : isReadOnly
        ? 'read-only'
        : isShareable
          ? 'shareable'
          : `of format ${shown(format)}`;
  return `disk ${name} is ${what}: no dirty bitmap can be on it`;
}

function planDisk(disk: DiskFacts, trust: Trust, scratch: string, hasCheckpoint: boolean): PlannedDisk {
  const { name, size, format, chain, isEncrypted } = disk;
  return {
    ...trust,
    name,
    exportName: name,
    exportBitmap: trust.reading.mode === 'full' ? undefined : `backup-${name}`,
    scratch,
    isTracked: hasCheckpoint && canBeTracked(disk),
    size,
    image: { path: chain[0] ?? '', format, chain },
    isEncrypted,
  };
}

/** Names are unique by target: those of images may be alike, or too long. */
function scratchPaths(
  disks: readonly DiskFacts[],
  jobname: string,
  scratchDir: string | undefined,
): (disk: DiskFacts) => string {
  const beside = (disk: DiskFacts): string | undefined =>
    disk.source.type === 'file' && disk.device === 'disk' && !disk.isReadOnly
      ? dirname(disk.source.path)
      : undefined;
  const common = disks.map(beside).find((folder) => folder !== undefined) ?? DEFAULT_FOLDER;
  return (disk) => join(scratchDir ?? beside(disk) ?? common, `${jobname}.${disk.name}.scratch`);
}

/** What is in full without having been demoted from anything. */
const NEVER_INCREMENTAL: readonly FullReason[] = ['asked', 'no-bitmap', 'too-old'];

function refuseDemoted({ domain }: PlanInput, disks: readonly PlannedDisk[], { demote }: PlanOptions): void {
  if (demote === true) return;
  const sentences = disks.flatMap(({ reading }) =>
    reading.mode === 'full' && !NEVER_INCREMENTAL.includes(reading.reason) ? [reading.message] : [],
  );
  if (sentences.length === 0) return;
  throw new BackupPlanError(
    'no-incremental',
    `no incremental backup of domain ${shown(domain.name)}: ${sentences.join('; ')}`,
  );
}
