import { channel } from 'node:diagnostics_channel';
import type { DiskReading, FullReason } from './words/disk-answers.ts';

/** What the channel `libvirt-ts-backup:job` tells whenever a job comes into another state. */
export interface JobMessage {
  /** The state it has come into. */
  readonly state: 'planned' | 'begun' | 'transferring' | 'committed' | 'ended';
  /** What its socket and scratch files are named after. */
  readonly name: string;
  /** The domain whose job it is, as libvirt names it. */
  readonly domain: { readonly name: string; readonly uuid: string };
  /** The checkpoint that is created with it, if any. */
  readonly checkpoint: string | null;
  /** The disks that are read, each with how and why. */
  readonly disks: readonly { readonly name: string; readonly reading: DiskReading }[];
  /** Of `ended`. */
  readonly outcome?: 'completed' | 'aborted' | undefined;
  /** Of `ended`: what could not be removed, as sentences. */
  readonly left?: readonly string[] | undefined;
}

/** What the channel `libvirt-ts-backup:disk` tells when the reading of a disk of a job begins, ends or fails. */
export interface DiskMessage {
  /** `JobMessage.name`. */
  readonly job: string;
  /** `<target dev>`, such as `vda`. */
  readonly disk: string;
  /** What happens to the reading. */
  readonly event: 'start' | 'end' | 'error';
  /** Whether all of it is read, or what is dirty. */
  readonly mode: 'incremental' | 'full';
  /** Why it is read in full. */
  readonly reason: FullReason | undefined;
  /** Bytes. */
  readonly size: number;
  /** Bytes dirty, of an incremental. */
  readonly dirtyBytes: number | undefined;
  /** Bytes asked for so far. */
  readonly readBytes: number;
  /** Milliseconds since the start. */
  readonly elapsedMs: number;
  /** Of `error`. */
  readonly error?: unknown;
}

/** What is done in a repository. */
export type RepositoryWork =
  'backup' | 'restore' | 'salvage' | 'verify' | 'prune' | 'forget-points' | 'copy-points';

/** What is counted, by the names that results have for it: bytes, objects, points. Never names, data or secrets. */
export type RepositoryCounts = Readonly<Record<string, number>>;

/** What the channel `libvirt-ts-backup:repository` tells of the work in repositories. */
export type RepositoryMessage =
  /** Work begins, ends, or fails. */
  | {
      readonly event: 'start' | 'end' | 'error';
      readonly work: RepositoryWork;
      /** The repository's id. Of a copy, that which is written. */
      readonly repository: string;
      /** UUID of the domain, of a backup. */
      readonly domain?: string | undefined;
      /** Id of the point, of a restore or a salvage. */
      readonly point?: string | undefined;
      /** `<target dev>`, of a restore or a salvage. */
      readonly disk?: string | undefined;
      /** Only what would be done was asked. */
      readonly dryRun?: boolean | undefined;
      /** Milliseconds since the start. */
      readonly elapsedMs: number;
      /** Of `end`: what the result counts. */
      readonly counts?: RepositoryCounts | undefined;
      /** Of `error`. */
      readonly error?: unknown;
    }
  /** A point is stored: from now on it stays, whatever becomes of the rest of the backup. */
  | {
      readonly event: 'point-stored';
      readonly repository: string;
      readonly domain: string;
      readonly point: string;
      readonly counts: RepositoryCounts;
    }
  /** A bitmap called blocks clean that had changed. The disk is read in full. */
  | {
      readonly event: 'audit-difference';
      readonly repository: string;
      readonly domain: string;
      readonly disk: string;
      readonly counts: RepositoryCounts;
    };

type WorkMessage = Extract<RepositoryMessage, { readonly work: unknown }>;

const repositoryChannel = channel('libvirt-ts-backup:repository');
const jobChannel = channel('libvirt-ts-backup:job');
const diskChannel = channel('libvirt-ts-backup:disk');

/** Tells those who listen what has become of a job. */
export function tellJob(record: JobMessage): void {
  if (jobChannel.hasSubscribers) jobChannel.publish(record);
}

/** What a disk tells of itself. */
interface TracedDisk {
  readonly name: string;
  readonly mode: 'incremental' | 'full';
  readonly reason: FullReason | undefined;
  readonly size: number;
  readonly dirtyBytes: number | undefined;
  readonly readBytesRequested: number;
}

/** Tells those who listen that a disk is being read. @returns tells how that ended */
export function traceDisk(job: string, disk: TracedDisk): (event: 'end' | 'error', error?: unknown) => void {
  const started = performance.now();
  const tell = (event: DiskMessage['event'], error?: unknown): void => {
    if (!diskChannel.hasSubscribers) return;
    const { name, mode, reason, size, dirtyBytes, readBytesRequested: readBytes } = disk;
    const elapsedMs = event === 'start' ? 0 : performance.now() - started;
    const message: DiskMessage = {
      ...{ job, disk: name, event, mode, reason, size, dirtyBytes, readBytes, elapsedMs },
      ...(error !== undefined && { error }),
    };
    diskChannel.publish(message);
  };
  tell('start');
  return tell;
}

/** Tells those who listen what has happened in a repository. */
export function tellRepository(message: RepositoryMessage): void {
  if (repositoryChannel.hasSubscribers) repositoryChannel.publish(message);
}

/** Does a piece of work, and tells those who listen that it begins and how it ends. */
export async function traceWork<Result>(
  about: Pick<WorkMessage, 'work' | 'repository' | 'domain' | 'point' | 'disk' | 'dryRun'>,
  work: () => Promise<Result>,
  countsOf: (result: Result) => RepositoryCounts,
): Promise<Result> {
  const started = performance.now();
  tellRepository({ ...about, event: 'start', elapsedMs: 0 });
  try {
    const result = await work();
    if (repositoryChannel.hasSubscribers)
      tellRepository({
        ...about,
        event: 'end',
        elapsedMs: performance.now() - started,
        counts: countsOf(result),
      });
    return result;
  } catch (error) {
    tellRepository({ ...about, event: 'error', elapsedMs: performance.now() - started, error });
    throw error;
  }
}
