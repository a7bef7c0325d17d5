import { BackupUsageError } from './errors.ts';
import { checkpointName, shown } from './peer-names.ts';

/** What an option may be. */
export interface OptionCheck {
  /** For the message, such as `a string`. */
  readonly wanted: string;
  readonly accepts: (value: unknown) => boolean;
}

/** The options of a call, each with its check. */
export type OptionChecks<Options> = { readonly [Name in keyof Required<Options>]: OptionCheck };

/**
 * Checks options as they come from a program that no compiler has read. An option that is undefined is one that is
 * not given.
 *
 * @param what - whose options, such as `startPullBackup`
 * @throws BackupUsageError (`option`) with the option's name, what came and what was wanted
 */
export function checkOptions<Options extends object>(
  what: string,
  options: Options,
  checks: OptionChecks<Options>,
): void {
  const given: unknown = options;
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new BackupUsageError('option', `the options of ${what} are ${describe(given)}, not an object`);
  const table = new Map<string, OptionCheck>(Object.entries<OptionCheck>(checks));
  for (const [name, value] of Object.entries(given)) {
    const check = table.get(name);
    if (check === undefined)
      throw new BackupUsageError(
        'option',
        `${what} has no option ${shown(name)}, only ${[...table.keys()].join(', ')}`,
      );
    if (value === undefined || check.accepts(value)) continue;
    throw new BackupUsageError(
      'option',
      `the option ${name} of ${what} is ${describe(value)}, not ${check.wanted}`,
    );
  }
}

/**
 * Checks an argument that stands by itself.
 *
 * @param what - such as `the disk`
 * @throws BackupUsageError (`option`) with what came and what was wanted
 */
export function checkArgument(what: string, value: unknown, { wanted, accepts }: OptionCheck): void {
  if (!accepts(value)) throw new BackupUsageError('option', `${what} is ${describe(value)}, not ${wanted}`);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shown(value));
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? `an array of ${value.length}` : 'an object';
}

/** Text that is not empty. */
export const someText: OptionCheck = { wanted: 'a text that is not empty', accepts: isText };

/** `true` or `false`. */
export const trueOrFalse: OptionCheck = {
  wanted: 'true or false',
  accepts: (value) => typeof value === 'boolean',
};

/** An `AbortSignal`. */
export const abortSignal: OptionCheck = {
  wanted: 'an AbortSignal',
  accepts: (value) => value instanceof AbortSignal,
};

/** A function. */
export const someFunction: OptionCheck = {
  wanted: 'a function',
  accepts: (value) => typeof value === 'function',
};

/** An object that is no array. */
export const someObject: OptionCheck = {
  wanted: 'an object',
  accepts: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
};

/** Targets of disks, such as `vda`: at least one, each once. */
export const listOfDisks: OptionCheck = {
  wanted: 'an array of disks such as ["vda"], each of them once',
  accepts: (value) =>
    Array.isArray(value) && value.length > 0 && value.every(isText) && new Set(value).size === value.length,
};

/** The longest delay of a Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Milliseconds, or 0 for no limit. */
export const milliseconds: OptionCheck = {
  wanted: `a whole number of milliseconds from 0 to ${MAX_TIMER_MS}`,
  accepts: (value) => isWhole(value, 0) && value <= MAX_TIMER_MS,
};

/** A number of bytes or things, at least 1. */
export const positiveInteger: OptionCheck = {
  wanted: 'a whole number from 1 on',
  accepts: (value) => isWhole(value, 1),
};

/** Parts of a disk, in bytes. */
export const someRanges: OptionCheck = {
  wanted: 'an array of { offset, length } in bytes',
  accepts: (value) => Array.isArray(value) && value.every(isRange),
};

/** The same, in order. */
export const rangesInOrder: OptionCheck = {
  wanted: 'an array of { offset, length } in bytes, in order of their offsets',
  accepts: (value) =>
    Array.isArray(value) &&
    value.every((range, index) => isRange(range) && range.offset >= offsetOf(value[index - 1])),
};

function isRange(value: unknown): value is { readonly offset: number; readonly length: number } {
  if (typeof value !== 'object' || value === null) return false;
  const { offset, length } = value as Record<string, unknown>;
  return isWhole(offset, 0) && isWhole(length, 0);
}

function offsetOf(range: unknown): number {
  return isRange(range) ? range.offset : 0;
}

/** A name that becomes a part of file names and leaves room for the other parts. */
export const namePart: OptionCheck = {
  wanted: 'a name of at most 200 letters, digits and any of _.:+- that begins with a letter, digit or _',
  accepts: (value) => isText(value) && checkpointName(value) !== undefined,
};

/** One of several texts. */
export function oneOf(...values: readonly string[]): OptionCheck {
  return {
    wanted: `one of ${values.join(', ')}`,
    accepts: (value) => typeof value === 'string' && values.includes(value),
  };
}

/** What the check accepts, or null. */
export function orNull({ wanted, accepts }: OptionCheck): OptionCheck {
  return { wanted: `${wanted}, or null`, accepts: (value) => value === null || accepts(value) };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isWhole(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}
