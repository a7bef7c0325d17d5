/** What every error of this package has: a stable `code` to test for. Messages may change, codes do not. */
export abstract class BackupError extends Error {
  abstract readonly code: string;
}

/** The backup cannot be taken as asked. Found before anything was started; nothing was changed. */
export class BackupPlanError extends BackupError {
  static {
    this.prototype.name = 'BackupPlanError';
  }
  readonly code = 'ERR_BACKUP_PLAN';
}

/** Where in its life a backup job was when it failed. */
export type JobPhase = 'begin' | 'connect' | 'transfer' | 'end';

/** The job was started, or may have been, and failed. It was aborted and its checkpoint dropped. */
export class BackupJobError extends BackupError {
  static {
    this.prototype.name = 'BackupJobError';
  }
  readonly code = 'ERR_BACKUP_JOB';
  readonly phase: JobPhase;
  /** Target of the disk it failed on, such as `vda`. */
  readonly disk: string | undefined;
  /** What could not be cleaned up, and why. Empty: nothing was left behind. */
  readonly cleanupErrors: readonly Error[];

  constructor(
    message: string,
    fields: { phase: JobPhase; disk?: string; cause?: unknown; cleanupErrors?: readonly Error[] },
  ) {
    const { cleanupErrors = [] } = fields;
    const left = cleanupErrors.map((error) => `; cleaning up failed too: ${error.message}`).join('');
    super(message + left, { cause: fields.cause });
    this.phase = fields.phase;
    this.disk = fields.disk;
    this.cleanupErrors = cleanupErrors;
  }
}

/** A stored point, or one it builds on, is missing, damaged or not what its child says it is. */
export class ChainError extends BackupError {
  static {
    this.prototype.name = 'ChainError';
  }
  readonly code = 'ERR_BACKUP_CHAIN';
}

/** The target of a copy or restore cannot be created or written. */
export class SinkError extends BackupError {
  static {
    this.prototype.name = 'SinkError';
  }
  readonly code = 'ERR_BACKUP_SINK';
}

/** The repository cannot be opened or written, or somebody else is working on it. */
export class RepositoryError extends BackupError {
  static {
    this.prototype.name = 'RepositoryError';
  }
  readonly code = 'ERR_BACKUP_REPOSITORY';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
