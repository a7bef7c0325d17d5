/**
 * What only a compiler checks elsewhere: a program in plain JavaScript has none, and here a wrong type would end on
 * the wire as a length that its bytes do not have, or address memory.
 *
 * @module
 */
import { isUint8Array } from 'node:util/types';
import { NbdUsageError } from './errors.ts';

/** The options of a method by name, and what tells of a value whether it may be given. */
export type OptionChecks = Readonly<Record<string, (value: unknown) => boolean>>;

/** A value of any kind, for a message. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  return `a value of type ${Object.prototype.toString.call(value).slice(8, -1)}`;
}

/** What is wrong with memory to write from or to read into; `what` names it. */
export function bytesProblem(what: string, bytes: unknown): NbdUsageError | undefined {
  if (!isUint8Array(bytes))
    return new NbdUsageError(`${what} is ${shown(bytes)}, not a Uint8Array or Buffer`);
  if (isResizable(bytes.buffer)) return new NbdUsageError(`${what} may change its length while it is in use`);
  if (bytes.length === 0 && isDetached(bytes.buffer)) return new NbdUsageError(`${what} is detached`);
  return undefined;
}

/** The same memory without anything that a caller has made of its view: its length is what is sent. */
export function plainView(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** ArrayBuffers that may be resized, and SharedArrayBuffers that may grow: in Node since 20, their types came later. */
function isResizable(memory: ArrayBufferLike): boolean {
  const { resizable, growable } = memory as { readonly resizable?: boolean; readonly growable?: boolean };
  return resizable === true || growable === true;
}

/** What `detached` tells from Node 22 on. */
function isDetached(memory: ArrayBufferLike): boolean {
  try {
    new Uint8Array(memory);
    return false;
  } catch {
    return true;
  }
}

/** What ranges are compared with, in bytes. */
export interface RangeLimits {
  readonly exportSize: number;
  readonly blockSize: { readonly minimum: number };
}

/** What is wrong with a range of an export. */
export function rangeProblem(
  { exportSize, blockSize: { minimum } }: RangeLimits,
  offset: unknown,
  length: unknown,
): NbdUsageError | undefined {
  if (!isOffset(offset) || !isOffset(length))
    return new NbdUsageError(
      `offset ${shown(offset)} and length ${shown(length)} are not non-negative safe integers`,
    );
  if (length > exportSize - offset)
    return new NbdUsageError(`${length} bytes at ${offset} reach beyond the export of ${exportSize} bytes`);
  if (offset % minimum !== 0 || length % minimum !== 0)
    return new NbdUsageError(
      `offset ${offset} and length ${length} are not multiples of the block size ${minimum}`,
    );
  return undefined;
}

/** What is wrong with the options of `what`: an unknown one, or a value of the wrong type. */
export function optionsProblem(
  what: string,
  options: unknown,
  checks: OptionChecks,
): NbdUsageError | undefined {
  if (!isRecord(options))
    return new NbdUsageError(`the options of ${what} are ${shown(options)}, not an object`);
  // Not Object.entries: this is asked for every read.
  for (const name in options) {
    const value: unknown = (options as Readonly<Record<string, unknown>>)[name];
    if (!Object.hasOwn(checks, name)) return new NbdUsageError(`${what} has no option ${shown(name)}`);
    if (value !== undefined && checks[name]?.(value) !== true)
      return new NbdUsageError(`the option ${name} of ${what} is ${shown(value)}`);
  }
  return undefined;
}

/** Bytes from the start of an export, or a number of bytes. */
export function isOffset(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Not what only counts as true or false. */
export function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

export function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

export function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** The longest delay of a Node timer. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

/** Milliseconds that a timer can wait; 0: never. */
export function isTimeout(value: unknown): value is number {
  return isOffset(value) && value <= MAX_TIMER_MS;
}

/** Something with fields, which have checks of their own. */
export function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An AbortSignal, also one of another realm or of a library. */
export function isSignal(value: unknown): boolean {
  const signal = value as Partial<AbortSignal> | null;
  return (
    typeof signal === 'object' &&
    typeof signal?.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function' &&
    typeof signal.removeEventListener === 'function'
  );
}

/** A list of strings, such as names of metadata contexts. */
export function areNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

/** @throws the problem, if there is one */
export function refuse(problem: NbdUsageError | undefined): void {
  if (problem !== undefined) throw problem;
}
