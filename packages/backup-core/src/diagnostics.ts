import { channel } from 'node:diagnostics_channel';
import type { FullReason } from './words/disk-answers.ts';
import type { JobRecord } from './job/job-record.ts';

/**
 * What the channel `libvirt-ts-backup:job` tells whenever a job comes into another state: the same value that
 * `PullBackup.record` has.
 */
export type JobMessage = JobRecord;

/** What the channel `libvirt-ts-backup:disk` tells when the reading of a disk of a job begins, ends or fails. */
export interface DiskMessage {
  /** `JobRecord.name`. */
  readonly job: string;
  /** `<target dev>`, such as `vda`. */
  readonly disk: string;
  readonly event: 'start' | 'end' | 'error';
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
