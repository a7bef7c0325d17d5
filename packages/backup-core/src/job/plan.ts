import { basename, dirname, isAbsolute, join } from 'node:path';
import { BackupPlanError, messageOf } from '../words/errors.ts';
import type { HypervisorDomain } from '../ports/hypervisor-domain.ts';
import { parseDomainBackup } from '../adapters/libvirt/xml/domain-backup.ts';
import { parseCheckpointSizes } from '../adapters/libvirt/xml/domain-checkpoint.ts';
import { type DomainDisk, parseDomainDisks } from '../adapters/libvirt/xml/domain-disks.ts';
import { jobName } from '../words/names.ts';

export interface PlanOptions {
  /** The checkpoint to take only the changes since. Absent: a full backup. */
  readonly incremental?: string;
  /** Name of the checkpoint to create with the job; default: a unique name. null: create none. */
  readonly checkpoint?: string | null;
  /**
   * Whether a disk whose changes since the checkpoint are not known is backed up in full instead.
   * Default: it is an error.
   */
  readonly demote?: boolean;
  /** Targets of the disks to back up, such as `vda`; default: every disk. */
  readonly disks?: readonly string[];
  /**
   * A folder on the hypervisor for scratch files and the socket, writable by QEMU's user. Default: each
   * scratch file beside its image, the socket in /var/tmp.
   */
  readonly scratchDir?: string;
  /** Unique base of the names of scratch files and socket; default: made by `jobName`. */
  readonly name?: string;
}

export interface PlannedDisk {
  readonly name: string;
  readonly source: string;
  readonly format: string;
  readonly scratch: string;
  /** The changes since the parent checkpoint, or everything. */
  readonly mode: 'incremental' | 'full';
  /** Why an incremental became a full. */
  readonly demoted?: string;
  /** Bytes dirty since the parent checkpoint, for an incremental. */
  readonly dirtyBytes?: number;
}

/** Nothing is left out silently: each of the domain's disks is planned or has a reason here. */
export interface ExcludedDisk {
  readonly name: string;
  readonly reason: string;
}

export interface JobPlan {
  readonly name: string;
  readonly socket: string;
  readonly checkpoint: string | null;
  readonly parent: string | null;
  readonly disks: readonly PlannedDisk[];
  readonly excluded: readonly ExcludedDisk[];
  readonly domainXml: string;
}

const DEFAULT_SOCKET_DIR = '/var/tmp';
/** The size of `sockaddr_un.sun_path` less the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_FILE_NAME_BYTES = 255;

/**
 * Decides what a job does, from what the domain is like now. Changes nothing.
 *
 * @throws BackupPlanError with what stands in the way
 */
export async function planJob(domain: HypervisorDomain, options: PlanOptions): Promise<JobPlan> {
  const name = options.name ?? jobName();
  const socket = socketPath(name, options.scratchDir);
  if (!(await domain.isActive()))
    throw new BackupPlanError(
      'domain-off',
      `domain ${domain.name} is shut off: a pull backup needs it running`,
    );
  await refuseBusyDomain(domain);
  const checkpoint = options.checkpoint === undefined ? name : options.checkpoint;
  await refuseExistingCheckpoint(domain, checkpoint);
  const domainXml = await domain.domainXml();
  const { included, excluded } = selectDisks(domain, domainXml, options.disks);
  const sizes = await dirtySizes(domain, options.incremental);
  const disks = included.map((disk) => planDisk(disk, name, options, sizes));
  if (options.demote !== true) refuseDemoted(domain, disks, options.incremental);
  return { name, socket, checkpoint, parent: options.incremental ?? null, disks, excluded, domainXml };
}

function socketPath(name: string, scratchDir: string | undefined): string {
  const folder = scratchDir ?? DEFAULT_SOCKET_DIR;
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

/** A second begin would wait for 30 s and then fail. */
async function refuseBusyDomain(domain: HypervisorDomain): Promise<void> {
  const running = await domain.backupXml();
  if (running === null) return;
  const { socket, disks } = parseDomainBackup(running);
  const where = socket === undefined ? '' : `, served at ${socket}`;
  throw new BackupPlanError(
    'domain-busy',
    `domain ${domain.name} has a backup job already: disks ${disks.join(', ')}${where}`,
  );
}

async function refuseExistingCheckpoint(domain: HypervisorDomain, checkpoint: string | null): Promise<void> {
  if (checkpoint !== null && (await domain.checkpointNames()).includes(checkpoint))
    throw new BackupPlanError(
      'checkpoint-exists',
      `domain ${domain.name} has a checkpoint ${checkpoint} already`,
    );
}

interface Selection {
  readonly included: readonly (DomainDisk & { readonly path: string })[];
  readonly excluded: readonly ExcludedDisk[];
}

function selectDisks(
  domain: HypervisorDomain,
  domainXml: string,
  wanted: readonly string[] | undefined,
): Selection {
  const disks = parseDomainDisks(domainXml);
  for (const name of wanted ?? [])
    if (!disks.some((disk) => disk.name === name))
      throw new BackupPlanError(
        'no-incremental',
        `domain ${domain.name} has no disk ${name}, only ${disks.map((disk) => disk.name).join(', ')}`,
      );
  const included: (DomainDisk & { path: string })[] = [];
  const excluded: ExcludedDisk[] = [];
  for (const disk of disks) {
    const { name, source } = disk;
    const reason = reasonToLeaveOut(disk, wanted);
    if (reason !== undefined) {
      excluded.push({ name, reason });
    } else if (disk.format !== 'qcow2') {
      throw new BackupPlanError(
        'no-incremental',
        `disk ${name} of domain ${domain.name} is ${disk.format}, which holds no dirty bitmap: only qcow2 does; name the disks to back up to leave it out`,
      );
    } else if (source.type === 'file' || source.type === 'block') {
      included.push({ ...disk, path: source.path });
    } else {
      const kind = source.type === 'other' ? source.kind : 'without source';
      throw new BackupPlanError(
        'no-incremental',
        `disk ${name} of domain ${domain.name} is ${kind}: only file and block are supported`,
      );
    }
  }
  if (included.length === 0)
    throw new BackupPlanError('no-disks', `domain ${domain.name} has no disk to back up`);
  return { included, excluded };
}

function reasonToLeaveOut(disk: DomainDisk, wanted: readonly string[] | undefined): string | undefined {
  if (wanted !== undefined) return wanted.includes(disk.name) ? undefined : 'not selected';
  if (disk.device !== 'disk') return `is a ${disk.device}`;
  if (disk.source.type === 'none') return 'has no medium';
  return disk.isReadOnly ? 'is read-only' : undefined;
}

/** Sizes of the healthy bitmaps of the parent checkpoint. */
async function dirtySizes(
  domain: HypervisorDomain,
  checkpoint: string | undefined,
): Promise<ReadonlyMap<string, number> | undefined> {
  if (checkpoint === undefined) return undefined;
  const xml = await domain.checkpointXml(checkpoint);
  if (xml === null)
    throw new BackupPlanError('no-incremental', `domain ${domain.name} has no checkpoint ${checkpoint}`);
  try {
    return parseCheckpointSizes(xml);
  } catch (error) {
    throw new BackupPlanError('no-incremental', `checkpoint ${checkpoint}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function planDisk(
  disk: DomainDisk & { readonly path: string },
  jobname: string,
  { scratchDir, incremental }: PlanOptions,
  sizes: ReadonlyMap<string, number> | undefined,
): PlannedDisk {
  const { name, format, path: source } = disk;
  const scratch = scratchPath(disk, jobname, scratchDir);
  const common = { name, source, format, scratch };
  if (sizes === undefined) return { ...common, mode: 'full' };
  const dirtyBytes = sizes.get(name);
  if (dirtyBytes !== undefined) return { ...common, mode: 'incremental', dirtyBytes };
  return {
    ...common,
    mode: 'full',
    demoted: `checkpoint ${incremental ?? ''} has no usable bitmap on disk ${name}`,
  };
}

function scratchPath(
  disk: DomainDisk & { readonly path: string },
  jobname: string,
  scratchDir: string | undefined,
): string {
  if (scratchDir !== undefined) return join(scratchDir, `${jobname}.${disk.name}.scratch`);
  if (disk.source.type !== 'file')
    throw new BackupPlanError(
      'no-incremental',
      `disk ${disk.name} is a block device: its scratch file needs a scratch folder`,
    );
  const suffix = `.${jobname}.scratch`;
  const image = Buffer.from(basename(disk.path))
    .subarray(0, MAX_FILE_NAME_BYTES - suffix.length)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
  return join(dirname(disk.path), image + suffix);
}

function refuseDemoted(
  domain: HypervisorDomain,
  disks: readonly PlannedDisk[],
  incremental: string | undefined,
): void {
  const demoted = disks.filter((disk) => disk.demoted !== undefined).map((disk) => disk.name);
  if (demoted.length === 0) return;
  throw new BackupPlanError(
    'no-incremental',
    `no incremental backup of domain ${domain.name} since ${incremental ?? ''}: its bitmap is missing or inconsistent on ${demoted.join(', ')}`,
  );
}
