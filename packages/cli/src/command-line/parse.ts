import { parseArgs, type ParseArgsConfig } from 'node:util';
import type { Command, OptionTable, PositionalTable, Values } from './command.ts';
import { UsageError } from './usage-error.ts';

/** @throws UsageError, which says what is wrong first */
export function parseCommandLine(
  { options, positionals }: Pick<Command, 'options' | 'positionals'>,
  args: readonly string[],
): Values<OptionTable, PositionalTable> | 'help' {
  const given = split(options, args);
  if (given.options.has('help')) return 'help';
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const texts = given.options.get(name) ?? [];
    if (texts.includes('')) throw new UsageError(`--${name} is empty`);
    if (texts.length > 1 && !option.isRepeatable) throw new UsageError(`--${name} is given more than once`);
    values[name] = option.read(texts, name);
  }
  const keys = Object.keys(positionals);
  if (given.positionals.length !== keys.length) {
    const shown = Object.values(positionals).map((positional) => positional.shown);
    const expected = shown.length === 0 ? 'no arguments' : shown.join(' and ');
    throw new UsageError(`expected ${expected}, got ${given.positionals.length} argument(s)`);
  }
  for (const [index, key] of keys.entries()) values[key] = given.positionals[index];
  return values as Values<OptionTable, PositionalTable>;
}

interface Given {
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
}

function split(table: OptionTable, args: readonly string[]): Given {
  const config: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } };
  for (const [name, { value }] of Object.entries(table))
    config[name] = { type: value === undefined ? 'boolean' : 'string', multiple: true };
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: config, allowPositionals: true });
    const entries = Object.entries(values).map(
      ([name, given]) => [name, Array.isArray(given) ? given.map(String) : [String(given)]] as const,
    );
    return { options: new Map(entries), positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
