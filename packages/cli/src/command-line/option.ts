import { UsageError } from './usage-error.ts';

/** One `--name` of a command: what help says of it and what it is read as stand in one place. */
export interface Option<Value> {
  /** What stands behind the name, such as `DIR`; undefined: a switch. */
  readonly value: string | undefined;
  readonly help: string;
  readonly isRequired: boolean;
  /** May be given more than once. */
  readonly isRepeatable: boolean;
  /**
   * From what was given, never empty texts, to what the command gets.
   *
   * @param texts - none: the option is absent. A switch that is given has one.
   * @throws UsageError
   */
  read(texts: readonly string[], name: string): Value;
}

const plain = { isRequired: false, isRepeatable: false };

/** Absent or there. */
export function flag(help: string): Option<boolean> {
  return { ...plain, value: undefined, help, read: (texts) => texts.length > 0 };
}

/** Any text. */
export function text(value: string, help: string): Option<string | undefined> {
  return { ...plain, value, help, read: ([given]) => given };
}

/** Any text; the command does not run without. */
export function required(value: string, help: string): Option<string> {
  return {
    ...plain,
    value,
    help,
    isRequired: true,
    read([given], name) {
      if (given === undefined) throw new UsageError(`--${name} is missing`);
      return given;
    },
  };
}

/** One of a few words. */
export function choice<const Choices extends readonly string[]>(
  choices: Choices,
  fallback: Choices[number],
  help: string,
): Option<Choices[number]> {
  return {
    ...plain,
    value: choices.join('|'),
    help,
    read([given = fallback], name) {
      const found = choices.find((each) => each === given);
      if (found === undefined)
        throw new UsageError(`--${name} is one of ${choices.join(', ')}, not ${given}`);
      return found;
    },
  };
}

const MAX_COUNT = 86_400;

/** A whole number from 1 on. */
export function count(value: string, fallback: number, help: string): Option<number> {
  return {
    ...plain,
    value,
    help: `${help}; default ${fallback}`,
    read([given], name) {
      if (given === undefined) return fallback;
      const number = /^[1-9][0-9]{0,4}$/.test(given) ? Number(given) : Infinity;
      if (number > MAX_COUNT)
        throw new UsageError(`--${name} takes a number from 1 to ${MAX_COUNT}, not ${given}`);
      return number;
    },
  };
}

/** A whole number from 0 on, if it is given. */
export function number(value: string, help: string): Option<number | undefined> {
  return {
    ...plain,
    value,
    help,
    read([given], name) {
      if (given === undefined) return undefined;
      if (!/^[0-9]{1,9}$/.test(given)) throw new UsageError(`--${name} takes a whole number, not ${given}`);
      return Number(given);
    },
  };
}

/** Words between commas, or the option several times. */
export function list(value: string, help: string): Option<readonly string[] | undefined> {
  return {
    ...plain,
    value,
    help,
    isRepeatable: true,
    read(texts, name) {
      if (texts.length === 0) return undefined;
      const words = texts.flatMap((each) => each.split(','));
      if (words.includes('')) throw new UsageError(`--${name} ${texts.join(' ')} has an empty name in it`);
      return words;
    },
  };
}
