import { areNames, isBoolean, isSignal, isTimeout, type OptionChecks } from '../arguments.ts';

/** For every command. */
export interface CommandOptions {
  /** Rejects at once with the signal's reason; the late reply is dropped. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Rejects with an NbdTimeoutError; the late reply is dropped. From the call on, waiting for its turn included;
   * 0: never. Default: never, because `idleTimeoutMs` of the connection bounds the silence of a server.
   */
  readonly timeoutMs?: number | undefined;
}

/** For `read` and `readInto`. */
export interface ReadOptions extends CommandOptions {
  /**
   * Sets NBD_CMD_FLAG_DF, where the server knows it: the reply is one chunk. For ranges known to hold data.
   * QEMU answers a media error of such a READ with an error, of any other by dropping the connection.
   */
  readonly df?: boolean | undefined;
}

/** For `blockStatus`. */
export interface BlockStatusOptions extends CommandOptions {
  /** NBD_CMD_FLAG_REQ_ONE: one extent for each context. */
  readonly reqOne?: boolean | undefined;
  /** Some of the selected contexts. The server is asked for no more where it can filter. Default: all. */
  readonly contexts?: readonly string[] | undefined;
}

/** For the commands that change the export. */
export interface ChangeOptions extends CommandOptions {
  /** NBD_CMD_FLAG_FUA: on stable storage when the promise is fulfilled. */
  readonly fua?: boolean | undefined;
}

/** For `writeZeroes`. */
export interface WriteZeroesOptions extends ChangeOptions {
  /** NBD_CMD_FLAG_NO_HOLE: keeps the range allocated. */
  readonly noHole?: boolean | undefined;
  /** NBD_CMD_FLAG_FAST_ZERO: fails with ENOTSUP rather than be as slow as a write. */
  readonly fastZero?: boolean | undefined;
}

/** What each of them may hold. */
export const COMMAND_OPTIONS: OptionChecks = { signal: isSignal, timeoutMs: isTimeout };
export const READ_OPTIONS: OptionChecks = { ...COMMAND_OPTIONS, df: isBoolean };
export const STATUS_OPTIONS: OptionChecks = { ...COMMAND_OPTIONS, reqOne: isBoolean, contexts: areNames };
export const CHANGE_OPTIONS: OptionChecks = { ...COMMAND_OPTIONS, fua: isBoolean };
export const ZEROES_OPTIONS: OptionChecks = { ...CHANGE_OPTIONS, noHole: isBoolean, fastZero: isBoolean };
