import { BackupUsageError } from '../words/errors.ts';

/**
 * How much of what a bitmap calls clean is read and compared: a share of the disk from 0 to 1, or bytes where it is
 * more than 1. 0: nothing.
 */
export type Audit = number;

/** A part of a disk that is audited, and where the next audit begins. */
export interface AuditWindow {
  /** In order, without overlap; two where the window goes round the end of the disk. */
  readonly ranges: readonly { readonly offset: number; readonly length: number }[];
  /** Bytes. */
  readonly next: number;
}

const LEAST_BYTES: number = 64 * 2 ** 20;
const MOST_SHARE = 0.01;

/** @throws BackupUsageError unless it is a share or a whole number of bytes */
export function checkAudit(audit: unknown): Audit {
  if (typeof audit === 'number' && audit >= 0 && (audit <= 1 || Number.isSafeInteger(audit))) return audit;
  throw new BackupUsageError(
    'option',
    `audit is ${String(audit)}, neither a share from 0 to 1 nor a whole number of bytes`,
  );
}

/**
 * Bytes of a disk to audit: as many as were dirty, at least 64 MiB, at most 1 % of the disk, unless asked for
 * otherwise.
 */
export function auditBytes(
  audit: Audit | undefined,
  disk: { readonly size: number; readonly dirtyBytes: number },
): number {
  if (audit === undefined) return Math.min(Math.max(disk.dirtyBytes, LEAST_BYTES), disk.size * MOST_SHARE);
  return Math.min(disk.size, audit <= 1 ? audit * disk.size : audit);
}

/**
 * The window that follows on the one that ended at `start`: windows go round the disk, so that every block has been
 * looked at after size / bytes backups.
 *
 * @param bytes - rounded up to whole blocks
 */
export function auditWindow(start: number, bytes: number, size: number, blockBytes: number): AuditWindow {
  const blocks = Math.ceil(size / blockBytes);
  const count = Math.min(blocks, Math.ceil(bytes / blockBytes));
  if (count === 0) return { ranges: [], next: start };
  // A disk that became smaller since.
  const first = Math.floor(start / blockBytes) % blocks;
  const end = first + count;
  const range = (from: number, to: number): { offset: number; length: number } => ({
    offset: from * blockBytes,
    length: Math.min(to * blockBytes, size) - from * blockBytes,
  });
  const ranges = end <= blocks ? [range(first, end)] : [range(0, end - blocks), range(first, blocks)];
  return { ranges, next: (end % blocks) * blockBytes };
}
