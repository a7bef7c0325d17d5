import type { Command } from './command.ts';
import type { Option } from './option.ts';

const NARROW = 60;
const NARROWEST = 20;
const WIDEST = 100;

/** What every command's `--help` ends with. */
const EXIT_STATUS = `Exit status: 0 done; 1 failed; 2 the command line is wrong, nothing was done; 128 + N ended by signal N, cleaned up. Results go to stdout, everything else to stderr.`;

/** Columns to write for: those of the terminal within reason, else 80. */
export function helpWidth(columns: number | undefined): number {
  return Math.max(NARROWEST, Math.min(columns ?? 80, WIDEST));
}

/** The text of `COMMAND --help`. */
export function commandHelp(usage: string, command: Command, width: number): string {
  const rows = [
    ...Object.values(command.positionals).map(({ shown, help }) => [shown, help] as const),
    ...Object.entries(command.options).map(([name, option]) => [syntax(name, option), option.help] as const),
    ['--help', 'this text'] as const,
  ];
  const words = [
    ...Object.values(command.positionals).map(({ shown }) => shown),
    ...Object.entries(command.options).map(([name, option]) =>
      option.isRequired ? syntax(name, option) : `[${syntax(name, option)}]`,
    ),
  ];
  return [
    usageLine([...usage.split(' '), ...words], width),
    ...command.about.map((paragraph) => wrap(paragraph, width)),
    twoColumns(rows, width),
    wrap(EXIT_STATUS, width),
  ].join('\n\n');
}

/** `Usage:` and the words behind it, what does not fit on lines of its own. */
export function usageLine(words: readonly string[], width: number): string {
  return joinWords(['Usage:', ...words], width, '    ');
}

function syntax(name: string, { value }: Option<unknown>): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`;
}

/** Terms with their explanations beside them; on a narrow terminal, or where a term is long, below them. */
export function twoColumns(rows: readonly (readonly [string, string])[], width: number): string {
  const longest = Math.max(...rows.map(([term]) => term.length));
  const column = width < NARROW ? 0 : Math.min(longest, Math.floor(width / 3));
  const indent = ' '.repeat(column === 0 ? 6 : column + 4);
  return rows
    .map(([term, explanation]) => {
      const text = wrap(explanation, width, indent);
      const fits = column > 0 && term.length <= column;
      return fits ? `  ${term.padEnd(column)}  ${text.trimStart()}` : `  ${term}\n${text}`;
    })
    .join('\n');
}

/** Text in lines of at most `width`, each behind `indent`; a longer word has a line to itself. */
export function wrap(text: string, width: number, indent = ''): string {
  return indent + joinWords(text.split(' '), width - indent.length, '').replaceAll('\n', `\n${indent}`);
}

function joinWords(words: readonly string[], width: number, hanging: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of words) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = hanging + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}
