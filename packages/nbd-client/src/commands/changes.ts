import type { ChangeOptions, WriteZeroesOptions } from './command-options.ts';
import type { Command } from './command.ts';
import { PlainCommand } from './plain-command.ts';
import { NbdUsageError } from '../errors.ts';
import { NBD_CMD, NBD_CMD_FLAG, NBD_FLAG } from '../protocol/constants.ts';

/** What is known of an export when a change of it is asked for. */
export interface ChangeLimits {
  readonly transmissionFlags: number;
  /** The most that one WRITE or CACHE may cover, in bytes. */
  readonly maximumPayload: number;
  /** The most that one TRIM or WRITE_ZEROES may cover, in bytes. */
  readonly maximumLength: number;
}

/** A range cut into commands, made when they are asked for: of a large range there may be millions. */
export type Pieces = Iterable<Command<void>>;

/** @throws NbdUsageError if the export does not take such a command */
export function writePieces(
  limits: ChangeLimits,
  offset: number,
  bytes: Uint8Array,
  options: ChangeOptions,
): Pieces {
  requireWritable(limits);
  const flags = fuaFlag(limits, options);
  // The socket may hold on to the bytes after an abort, when they are the caller's again.
  const owned = options.signal === undefined ? bytes : Uint8Array.from(bytes);
  return cut(offset, bytes.length, limits.maximumPayload, (at, size) => {
    const piece = owned.subarray(at - offset, at - offset + size);
    return new PlainCommand(NBD_CMD.WRITE, at, size, flags, piece);
  });
}

/** @throws NbdUsageError if the export does not take such a command */
export function writeZeroesPieces(
  limits: ChangeLimits,
  offset: number,
  length: number,
  options: WriteZeroesOptions,
): Pieces {
  requireWritable(limits);
  require(limits, NBD_FLAG.SEND_WRITE_ZEROES, 'NBD_CMD_WRITE_ZEROES');
  let flags = fuaFlag(limits, options);
  if (options.noHole === true) flags |= NBD_CMD_FLAG.NO_HOLE;
  if (options.fastZero === true) {
    require(limits, NBD_FLAG.SEND_FAST_ZERO, 'NBD_CMD_FLAG_FAST_ZERO');
    flags |= NBD_CMD_FLAG.FAST_ZERO;
  }
  const make = (at: number, size: number): Command<void> =>
    new PlainCommand(NBD_CMD.WRITE_ZEROES, at, size, flags);
  return cut(offset, length, limits.maximumLength, make);
}

/** @throws NbdUsageError if the export does not take such a command */
export function trimPieces(
  limits: ChangeLimits,
  offset: number,
  length: number,
  options: ChangeOptions,
): Pieces {
  requireWritable(limits);
  require(limits, NBD_FLAG.SEND_TRIM, 'NBD_CMD_TRIM');
  const flags = fuaFlag(limits, options);
  const make = (at: number, size: number): Command<void> => new PlainCommand(NBD_CMD.TRIM, at, size, flags);
  return cut(offset, length, limits.maximumLength, make);
}

/** @throws NbdUsageError if the export does not take such a command */
export function cachePieces(limits: ChangeLimits, offset: number, length: number): Pieces {
  require(limits, NBD_FLAG.SEND_CACHE, 'NBD_CMD_CACHE');
  const make = (at: number, size: number): Command<void> => new PlainCommand(NBD_CMD.CACHE, at, size, 0);
  return cut(offset, length, limits.maximumPayload, make);
}

/** @throws NbdUsageError if the export does not take such a command */
export function flushPieces(limits: ChangeLimits): Pieces {
  require(limits, NBD_FLAG.SEND_FLUSH, 'NBD_CMD_FLUSH');
  return [new PlainCommand(NBD_CMD.FLUSH, 0, 0, 0)];
}

/** @param make - gives the command for `size` bytes at `at` */
export function* cut(
  offset: number,
  length: number,
  maximum: number,
  make: (at: number, size: number) => Command<void>,
): Generator<Command<void>, void, undefined> {
  const end = offset + length;
  for (let at = offset; at < end; at += maximum) yield make(at, Math.min(maximum, end - at));
}

function requireWritable({ transmissionFlags }: ChangeLimits): void {
  if ((transmissionFlags & NBD_FLAG.READ_ONLY) !== 0) throw new NbdUsageError('the export is read-only');
}

function require({ transmissionFlags }: ChangeLimits, flag: number, what: string): void {
  if ((transmissionFlags & flag) === 0) throw new NbdUsageError(`the server does not offer ${what}`);
}

function fuaFlag(limits: ChangeLimits, { fua }: ChangeOptions): number {
  if (fua !== true) return 0;
  require(limits, NBD_FLAG.SEND_FUA, 'NBD_CMD_FLAG_FUA');
  return NBD_CMD_FLAG.FUA;
}
