import { harmless } from './peer-names.ts';

/**
 * What every error of this package has: a stable `code` for its class and a stable `reason` within it, both to
 * be tested for. Messages may change, codes and reasons do not.
 */
export abstract class BackupError extends Error {
  abstract readonly code: string;
  abstract readonly reason: string;

  /** @param message - may hold text from elsewhere: what a terminal would take for a command is made visible here */
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(harmless(message), options);
  }
}

/** A class of errors with reasons of its own. */
abstract class ReasonedError<Reason extends string> extends BackupError {
  readonly reason: Reason;

  /** @param reason - stable, as the message is not */
  constructor(reason: Reason, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}

/** Why a call was refused before anything was done. */
export type UsageReason =
  /** An option that is unknown, of the wrong type, out of range or at odds with another. */
  | 'option'
  /** A call that this object no longer, or not yet, allows. */
  | 'state';

/** The caller's mistake, found before anything was done. */
export class BackupUsageError extends ReasonedError<UsageReason> {
  static {
    this.prototype.name = 'BackupUsageError';
  }
  readonly code = 'ERR_BACKUP_USAGE';
}

/** What there is none of. */
export type NotFoundReason = 'domain' | 'disk' | 'point' | 'checkpoint';

/** Something that was named does not exist. */
export class NotFoundError extends ReasonedError<NotFoundReason> {
  static {
    this.prototype.name = 'NotFoundError';
  }
  readonly code = 'ERR_BACKUP_NOT_FOUND';
}

/** Why a backup cannot be taken as asked. */
export type PlanReason =
  /** The domain is shut off. */
  | 'domain-off'
  /** A job runs on the domain already. */
  | 'domain-busy'
  | 'checkpoint-exists'
  /** An incremental was insisted on, and the changes of a disk are not known. */
  | 'no-incremental'
  /** No disk of the domain is left to back up. */
  | 'no-disks'
  /** The place asked for scratch files or the socket cannot be used. */
  | 'scratch';

/** The backup cannot be taken as asked. Found before anything was started; nothing was changed. */
export class BackupPlanError extends ReasonedError<PlanReason> {
  static {
    this.prototype.name = 'BackupPlanError';
  }
  readonly code = 'ERR_BACKUP_PLAN';
}

/** What the hypervisor's answer was. */
export type HypervisorReason =
  /** The connection to its daemon ended. */
  | 'connection-lost'
  /** It answered nothing in time. */
  | 'timeout'
  /** It, or QEMU, may not do what was asked. */
  | 'denied'
  /** The domain does not exist any more. */
  | 'no-domain'
  /** A dirty bitmap, or its checkpoint, is missing, broken or at odds with another: a full backup needs none. */
  | 'bitmap'
  | 'unsupported'
  /** Anything else: see `cause`. */
  | 'failed';

/** The hypervisor refused something, or was not there to be asked. */
export class HypervisorError extends ReasonedError<HypervisorReason> {
  static {
    this.prototype.name = 'HypervisorError';
  }
  readonly code = 'ERR_BACKUP_HYPERVISOR';
  /** Target of the disk it is about, where the hypervisor says so. */
  readonly disk: string | undefined;

  constructor(
    reason: HypervisorReason,
    message: string,
    fields: { readonly disk?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(reason, message, { cause: fields.cause });
    this.disk = fields.disk;
  }
}

/** Where in its life a backup job was when it failed. */
export type JobPhase = 'begin' | 'connect' | 'transfer' | 'end';

/** Why a job failed. */
export type JobReason =
  /** QEMU's user, or ours, may not use a folder, file or socket. */
  | 'denied'
  /** The job is not there any more: the guest was destroyed, or somebody ended the job. */
  | 'job-gone'
  /** The hypervisor's daemon or the NBD server cannot be reached any more. */
  | 'connection-lost'
  /** The NBD server did not answer for longer than it may. */
  | 'timeout'
  /** The disk itself could not be read. */
  | 'media'
  /** Ended with `abort()`. */
  | 'aborted'
  /** Not everything was read, and it was not said that this is meant. */
  | 'incomplete'
  /** Somebody deleted the new checkpoint. */
  | 'checkpoint-lost'
  /** Something of the job could not be removed: see `cleanupErrors`. */
  | 'left-behind'
  /** Anything else: see `cause`. */
  | 'failed';

/** The job was started, or may have been, and failed. It was aborted and its checkpoint dropped. */
export class BackupJobError extends ReasonedError<JobReason> {
  static {
    this.prototype.name = 'BackupJobError';
  }
  readonly code = 'ERR_BACKUP_JOB';
  /** Where in its life it failed. */
  readonly phase: JobPhase;
  /** Target of the disk it failed on, such as `vda`. */
  readonly disk: string | undefined;
  /** What could not be cleaned up, and why. Empty: nothing was left behind. */
  readonly cleanupErrors: readonly Error[];

  constructor(
    reason: JobReason,
    message: string,
    fields: {
      readonly phase: JobPhase;
      readonly disk?: string | undefined;
      readonly cause?: unknown;
      readonly cleanupErrors?: readonly Error[];
    },
  ) {
    const { cleanupErrors = [] } = fields;
    const left = cleanupErrors.map((error) => `; cleaning up failed too: ${error.message}`).join('');
    super(reason, message + left, { cause: fields.cause });
    this.phase = fields.phase;
    this.disk = fields.disk;
    this.cleanupErrors = cleanupErrors;
  }
}

/** What is wrong with what was stored. */
export type DamageReason =
  /** An object is not there. */
  | 'missing'
  /** Bytes are not those that were stored. */
  | 'hash'
  /** Bytes are those of something else, or make no sense. */
  | 'format';

/** Something stored is missing, damaged or not what it should be. */
export class DamagedError extends ReasonedError<DamageReason> {
  static {
    this.prototype.name = 'DamagedError';
  }
  readonly code = 'ERR_BACKUP_DAMAGED';
}

/** Why the target of a copy or restore cannot be used. */
export type SinkReason = 'exists' | 'denied' | 'full' | 'size' | 'failed';

/** The target of a copy or restore cannot be created or written. */
export class SinkError extends ReasonedError<SinkReason> {
  static {
    this.prototype.name = 'SinkError';
  }
  readonly code = 'ERR_BACKUP_SINK';
}

/** Why a repository cannot be used. */
export type RepositoryReason =
  /** There is no repository. */
  | 'absent'
  /** The place holds something else. */
  | 'foreign'
  /** A version that this library does not know. */
  | 'format'
  /** Somebody else works on it; the message says who. */
  | 'busy'
  /** It may not be read or written. */
  | 'denied'
  /** A key is needed and missing, or is not the right one. */
  | 'key'
  /** No space is left. */
  | 'full'
  /** Anything else its storage said: see `cause`. */
  | 'storage';

/** The repository cannot be opened, read or written, or somebody else is working on it. */
export class RepositoryError extends ReasonedError<RepositoryReason> {
  static {
    this.prototype.name = 'RepositoryError';
  }
  readonly code = 'ERR_BACKUP_REPOSITORY';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
