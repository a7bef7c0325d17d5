import type { Sink } from '../ports/sink.ts';
import { BLOCK_SIZE } from '../repository/format.ts';
import type { DiskReader } from '../repository/tree/disk-reader.ts';
import { type CopySource, copyRanges } from '../transfer/copy.ts';
import { joinedRanges } from '../transfer/joined-ranges.ts';
import { BackupError, DamagedError, type DamageReason, RepositoryError } from '../words/errors.ts';
import { copyOptionsFor, inPieces, intoSink, type RestoreOptions } from './restore-disk.ts';

/** What of a disk is lost. */
export interface BadRange {
  /** Bytes, as is the length. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** What is wrong with what was stored; `unreadable`: the storage could not read it. */
  readonly reason: DamageReason | 'unreadable';
  /** Which object it is, and how it is damaged; of the first block. */
  readonly message: string;
}

/** What is left of a disk. Whoever gets one has no whole disk, unless there are no bad ranges. */
export interface SalvageReport {
  /** Bytes that are as they were, zeroes included. */
  readonly goodBytes: number;
  /** Bytes that are lost. */
  readonly badBytes: number;
  /** In order. They are zeroes in what was written. */
  readonly badRanges: readonly BadRange[];
}

/**
 * Writes what is left of a damaged disk: all that is as it was, zeroes for what is not, and says which. The sink
 * should have a name that nobody takes for a whole disk's.
 *
 * @throws SinkError; RepositoryError if the storage cannot be used at all; or the signal's reason
 */
export async function salvageDisk(
  reader: DiskReader,
  sink: Sink,
  options: RestoreOptions = {},
): Promise<SalvageReport> {
  const bad: BadRange[] = [];
  const lose = (offset: number, length: number, error: unknown): void => {
    bad.push({ offset, length, ...lossOf(error) });
  };
  const source: CopySource = {
    readInto: (buffer, offset) => readGood(reader, buffer, offset, lose),
    destroy: (reason) => {
      reader.destroy(reason);
    },
    prefersSharedMemory: true,
  };
  return await intoSink(sink, { ...options, onInterruption: 'discard' }, async () => {
    const extents = reader.extents({
      signal: options.signal,
      onLost: ({ offset, length }, error) => {
        lose(offset, length, error);
      },
    });
    await copyRanges([source], inPieces(extents), sink, copyOptionsFor(reader.size, options));
    const badRanges = joinedRanges(bad);
    const badBytes = badRanges.reduce((sum, { length }) => sum + length, 0);
    return { goodBytes: reader.size - badBytes, badBytes, badRanges };
  });
}

/** As `reader.readInto`, with zeroes for the blocks that are lost. */
async function readGood(
  reader: DiskReader,
  buffer: Uint8Array,
  offset: number,
  lose: (offset: number, length: number, error: unknown) => void,
): Promise<void> {
  try {
    await reader.readInto(buffer, offset);
  } catch (error) {
    if (!isLoss(error)) throw error;
    for (let at = 0; at < buffer.length; at += BLOCK_SIZE) {
      const block = buffer.subarray(at, at + BLOCK_SIZE);
      try {
        await reader.readInto(block, offset + at);
      } catch (reason) {
        lose(offset + at, block.length, reason);
        block.fill(0);
      }
    }
  }
}

function isLoss(error: unknown): error is BackupError {
  // A disk that cannot be read in one place may be read in others.
  return error instanceof DamagedError || (error instanceof RepositoryError && error.reason === 'storage');
}

/** @throws what is no loss of a part of the disk */
function lossOf(error: unknown): Pick<BadRange, 'reason' | 'message'> {
  if (!isLoss(error)) throw error;
  const reason = error instanceof DamagedError ? error.reason : 'unreadable';
  return { reason, message: error.message };
}
