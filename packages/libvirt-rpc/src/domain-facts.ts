import type { Readable } from 'node:stream';
import type { TypedValue } from './codec/typed-parameter.ts';
import type { backupProcedures } from './procedures/backup.ts';
import type { ReplyOf } from './procedures/row.ts';

/** What a domain does and why; `domainStateName` and `domainStateReasonName` give the numbers names. */
export interface DomainState {
  /** One of `virDomainState`. */
  readonly state: number;
  /** Its meaning depends on `state`. */
  readonly reason: number;
}

/** What a domain has and has used. */
export interface DomainInfo {
  /** One of `virDomainState`. */
  readonly state: number;
  /** What it may have, in KiB. */
  readonly maxMemoryKiB: number;
  /** What it has, in KiB. */
  readonly memoryKiB: number;
  /** How many virtual processors it has. */
  readonly virtualCpus: number;
  /** CPU time used, in nanoseconds. */
  readonly cpuTimeNs: bigint;
}

/** How the daemon's way to the hypervisor of a domain is. */
export interface DomainControlInfo {
  /** One of `virDomainControlState`. */
  readonly state: number;
  /** One of `virDomainControlErrorReason`, where `state` is an error. */
  readonly details: number;
  /** For how long it has been so, in milliseconds. */
  readonly stateTime: number;
}

/** A picture of a domain's screen. */
export interface Screenshot {
  /** Such as `image/x-portable-pixmap`. */
  readonly mimeType: string | null;
  /** The picture's file. */
  readonly data: Readable;
}

/** Sizes of a disk in bytes. */
export interface BlockInfo {
  /** In use by the domain: the highest offset written, where the format knows it. */
  readonly allocation: number;
  /** What the guest sees. */
  readonly capacity: number;
  /** Of the file or device on the host. */
  readonly physical: number;
}

/** Counts of a disk since the domain was started; -1: not known. */
export interface BlockStats {
  /** Requests to read. */
  readonly rdReq: number;
  /** Bytes read. */
  readonly rdBytes: number;
  /** Requests to write. */
  readonly wrReq: number;
  /** Bytes written. */
  readonly wrBytes: number;
  /** Errors. */
  readonly errs: number;
}

/** A block job that runs. */
export interface BlockJobInfo {
  /** One of `virDomainBlockJobType`. */
  readonly type: number;
  /** In MiB per second, or in bytes per second if asked for; 0: not limited. */
  readonly bandwidth: number;
  /** How far it is, in its own unit. */
  readonly cur: number;
  /** Where it is going; the same as `cur`: it is done, or ready to pivot. */
  readonly end: number;
}

/** Progress of the current job; times in milliseconds, the rest in bytes. */
export type JobInfo = ReplyOf<typeof backupProcedures.domainGetJobInfo>;

/** Statistics of a job of a domain. */
export interface JobStats {
  /** One of `virDomainJobType`. */
  readonly type: number;
  /** By names such as `operation`, `time_elapsed` (milliseconds) and `disk_temp_used` (bytes). */
  readonly params: Map<string, TypedValue>;
}
