import { readFileSync } from 'node:fs';
import { helpWidth, twoColumns, usageLine, wrap } from './command-line/help.ts';
import { commands } from './commands.ts';
import { Output } from './output.ts';
import { runCommand } from './run-command.ts';

const EXIT_USAGE = 2;

/** What the program calls itself, depending on who started it. */
export interface Door {
  /** Before a command's name in usage lines; empty: the name alone. */
  readonly program: string;
  /** The whole line, for the list of commands. */
  readonly usage: string;
  /** What one of them is called. */
  readonly noun: 'command' | 'example';
}

/** As it is installed. */
export const INSTALLED: Door = {
  program: 'libvirt-ts-backup',
  usage: 'libvirt-ts-backup COMMAND [OPTIONS]',
  noun: 'command',
};

/** Runs the command that the arguments name. Resolves with the exit status. */
export async function runProgram(args: readonly string[], door: Door = INSTALLED): Promise<number> {
  const [name, ...rest] = args;
  if (name === '--version') return print(version());
  if (name === '--help' || name === '-h') return print(overview(door));
  const entry = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (name === undefined || entry === undefined) {
    const said = name === undefined ? `No ${door.noun} named.` : `There is no ${door.noun} "${name}".`;
    process.stderr.write(`${said} ${overview(door)}\n`);
    return EXIT_USAGE;
  }
  return runCommand(name, `${door.program} ${name}`.trim(), await entry.load(), rest);
}

async function print(text: string): Promise<number> {
  await new Output(process.stdout).line(text);
  return 0;
}

function overview({ usage, noun }: Door): string {
  const width = helpWidth(process.stdout.columns);
  const rows = Object.entries(commands).map(([name, { summary }]) => [name, summary] as const);
  const hint = `${noun === 'command' ? 'COMMAND' : 'NAME'} --help explains one of them.`;
  return `${usageLine(usage.split(' '), width)}\n\n${twoColumns(rows, width)}\n\n${wrap(hint, width)}`;
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
