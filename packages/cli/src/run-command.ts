import { constants } from 'node:os';
import type { Command, Surroundings } from './command-line/command.ts';
import { commandHelp, helpWidth } from './command-line/help.ts';
import { parseCommandLine } from './command-line/parse.ts';
import { UsageError } from './command-line/usage-error.ts';
import { errorJson, firstOf, sentence } from './explain.ts';
import { Output, remark } from './output.ts';
import { startProgress } from './progress.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
const EXIT_SIGNAL = 128;

/** Somebody asked the command to end. */
class InterruptedError extends Error {
  static {
    this.prototype.name = 'InterruptedError';
  }
  readonly code = 'ERR_INTERRUPTED';
  readonly reason: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.reason = signal;
  }
}

/**
 * Runs a command to its end. A signal aborts it, and it cleans up before the process ends with 128 and the
 * signal's number; if everything was done when the signal came, that is success.
 *
 * @param usage - how it was called, for its help
 * @returns the exit status
 */
export async function runCommand(
  name: string,
  usage: string,
  command: Command,
  args: readonly string[],
): Promise<number> {
  const interrupt = interruption();
  const output = new Output(process.stdout);
  const end = { status: 0 };
  // Whoever reads the complaints may leave as well.
  process.stderr.on('error', () => undefined);
  try {
    const values = parseCommandLine(command, args);
    if (values === 'help') await output.line(commandHelp(usage, command, helpWidth(process.stdout.columns)));
    else await command.run(values, surroundings(values, output, interrupt, end));
    return end.status;
  } catch (error) {
    return failed(error, { name, usage, interrupt, isJson: args.includes('--json') });
  }
}

/** Aborted by the first signal. One is enough: terminals and npm send the same one more than once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of SIGNALS)
    process.on(signal, () => {
      if (!controller.signal.aborted) controller.abort(new InterruptedError(signal));
    });
  return controller.signal;
}

function surroundings(
  values: Readonly<Record<string, unknown>>,
  output: Output,
  signal: AbortSignal,
  end: { status: number },
): Surroundings {
  const isQuiet = values['quiet'] === true || values['json'] === true;
  return {
    signal,
    output,
    startProgress: () => startProgress(isQuiet),
    endBadly: () => {
      end.status = EXIT_FAILURE;
    },
  };
}

function failed(
  error: unknown,
  {
    name,
    usage,
    interrupt,
    isJson,
  }: {
    readonly name: string;
    readonly usage: string;
    readonly interrupt: AbortSignal;
    readonly isJson: boolean;
  },
): number {
  const isUsage = error instanceof UsageError || firstOf(error).code === 'ERR_BACKUP_USAGE';
  const hint = isUsage ? ` (try ${usage} --help)` : '';
  remark(isJson ? errorJson(error) : `${name}: ${sentence(error)}${hint}`);
  const reason: unknown = interrupt.reason;
  if (reason instanceof InterruptedError) return EXIT_SIGNAL + constants.signals[reason.reason];
  return isUsage ? EXIT_USAGE : EXIT_FAILURE;
}
