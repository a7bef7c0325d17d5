import { constants } from 'node:os';
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** A mistake on the command line. */
export class UsageError extends Error {
  static {
    this.prototype.name = 'UsageError';
  }
}

export interface CommandLine {
  readonly name: string;
  /** What `--help` prints behind `Usage: NAME`. */
  readonly help: string;
  /** Names of the positional arguments, all required. */
  readonly positionals: readonly string[];
  /** `--quiet` style options; each is absent or true. */
  readonly switches: readonly string[];
  /** `--to DIR` style options. */
  readonly settings: readonly string[];
}

export interface Arguments {
  readonly positionals: readonly string[];
  has(name: string): boolean;
  get(name: string): string | undefined;
  /** @throws UsageError if the option is missing */
  require(name: string): string;
  /** A whole number from 1 on. @throws UsageError */
  count(name: string, fallback: number): number;
  /** One of a few words. @throws UsageError */
  choice<Choice extends string>(name: string, choices: readonly Choice[], fallback: Choice): Choice;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const EXIT_SIGNAL = 128;

/**
 * Runs an example as a command: results on stdout, everything else on stderr, exit status 0 only on success.
 * A signal aborts `main`, which cleans up before the process ends with 128 and the signal's number.
 */
export async function runCommand(
  line: CommandLine,
  main: (args: Arguments, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interrupt = new AbortController();
  let interruptedBy: NodeJS.Signals | undefined;
  for (const signal of SIGNALS)
    process.on(signal, () => {
      // One is enough: terminals and npm send the same signal more than once.
      if (interruptedBy !== undefined) return;
      interruptedBy = signal;
      interrupt.abort(new Error(`interrupted by ${signal}`));
    });
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    interrupt.abort(error);
  });
  try {
    const args = parse(line);
    if (args === 'help') process.stdout.write(`Usage: ${line.name} ${line.help}\n`);
    else await main(args, interrupt.signal);
    if (interruptedBy !== undefined) process.exitCode = EXIT_SIGNAL + constants.signals[interruptedBy];
  } catch (error) {
    const usage = error instanceof UsageError;
    process.stderr.write(`${line.name}: ${sentence(error)}${usage ? ` (try ${line.name} --help)` : ''}\n`);
    process.exitCode = usage ? EXIT_USAGE : EXIT_FAILURE;
    if (interruptedBy !== undefined) process.exitCode = EXIT_SIGNAL + constants.signals[interruptedBy];
  }
}

/** What went wrong, on one line. */
export function sentence(error: unknown): string {
  // Leaving an `await using` block failed as well: the first error is the reason.
  if (error instanceof Error && 'suppressed' in error && 'error' in error)
    return `${sentence(error.suppressed)}; after that: ${sentence(error.error)}`;
  if (error instanceof Error && 'code' in error && error.code === 'EPIPE')
    return 'nobody reads the output any more';
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll('\n', ' ').trim();
}

function parse(line: CommandLine): Arguments | 'help' {
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  for (const name of line.switches) options[name] = { type: 'boolean' };
  for (const name of line.settings) options[name] = { type: 'string' };
  const { values, positionals } = parseOrExplain(options);
  if (values['help'] === true) return 'help';
  if (positionals.length !== line.positionals.length) {
    const expected = line.positionals.length === 0 ? 'no arguments' : line.positionals.join(' and ');
    throw new UsageError(`expected ${expected}, got ${positionals.length} argument(s)`);
  }
  return new ParsedArguments(values, positionals);
}

function parseOrExplain(options: NonNullable<ParseArgsConfig['options']>): {
  values: Record<string, unknown>;
  positionals: string[];
} {
  try {
    return parseArgs({ options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(sentence(error), { cause: error });
  }
}

class ParsedArguments implements Arguments {
  readonly positionals: readonly string[];
  readonly #values: Record<string, unknown>;

  constructor(values: Record<string, unknown>, positionals: readonly string[]) {
    this.#values = values;
    this.positionals = positionals;
  }

  has(name: string): boolean {
    return this.#values[name] === true;
  }

  get(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  require(name: string): string {
    const value = this.get(name);
    if (value === undefined || value === '') throw new UsageError(`--${name} is missing`);
    return value;
  }

  count(name: string, fallback: number): number {
    const text = this.get(name);
    if (text === undefined) return fallback;
    if (!/^[1-9][0-9]{0,2}$/.test(text))
      throw new UsageError(`--${name} takes a number from 1 to 999, not ${text}`);
    return Number(text);
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[], fallback: Choice): Choice {
    const text = this.get(name) ?? fallback;
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw new UsageError(`--${name} is one of ${choices.join(', ')}, not ${text}`);
    return found;
  }
}
