import type { Output } from '../output.ts';
import type { Progress } from '../progress.ts';
import type { Option } from './option.ts';

/** Options by their names, without `--`. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** An argument by its place. All of them are required. */
export interface Positional {
  /** As usage shows it, such as `<nbd-uri>`. */
  readonly shown: string;
  readonly help: string;
}

/** Positional arguments by their keys, in the order of the command line. */
export type PositionalTable = Readonly<Record<string, Positional>>;

/** What a command is handed. */
export type Values<Options extends OptionTable, Positionals extends PositionalTable> = {
  readonly [Name in keyof Options]: Options[Name] extends Option<infer Value> ? Value : never;
} & { readonly [Name in keyof Positionals]: string };

/** What a command works with besides its arguments. */
export interface Surroundings {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** For results; anything else goes to stderr. */
  readonly output: Output;
  /** Shows nothing where that is wanted, or where nobody would see it. */
  readonly startProgress: () => Promise<Progress>;
  /** The work is done, and its result is bad news: the exit status is 1. */
  readonly endBadly: () => void;
}

/** A command with its command line; `--help` is written from the same table that the parser reads. */
export interface Command<
  Options extends OptionTable = OptionTable,
  Positionals extends PositionalTable = PositionalTable,
> {
  readonly positionals: Positionals;
  readonly options: Options;
  /** What it does and prints: paragraphs. */
  readonly about: readonly string[];
  /** Resolves when the work is done, rejects if it is not. */
  run(values: Values<Options, Positionals>, surroundings: Surroundings): Promise<void>;
}

/** Infers what `run` is handed, and forgets it again: a caller has only texts to give. */
export function defineCommand<Options extends OptionTable, Positionals extends PositionalTable>(
  command: Command<Options, Positionals>,
): Command {
  return command;
}
