import { LibvirtUsageError } from '../errors.ts';
import { sanitize } from '../sanitize.ts';

/** One `name=value` of a URI. */
export interface Parameter {
  /** In lower case: names are case-insensitive. */
  readonly name: string;
  readonly value: string;
  /** As it was written. */
  readonly raw: string;
}

/** @throws LibvirtUsageError for a value that is not percent-encoded */
export function parseParameters(query: string, shown: string): readonly Parameter[] {
  return query
    .split(/[&;]/)
    .filter((raw) => raw !== '')
    .map((raw) => {
      const at = raw.indexOf('=');
      const name = at < 0 ? raw : raw.slice(0, at);
      try {
        return { name: name.toLowerCase(), value: decodeURIComponent(at < 0 ? '' : raw.slice(at + 1)), raw };
      } catch (cause) {
        throw new LibvirtUsageError(`${shown}: the value of ${sanitize(name)} is not percent-encoded`, {
          cause,
        });
      }
    });
}

/** Reads parameters by name and checks their values; of two equal names the last counts. */
export class ParameterReader {
  readonly #values: ReadonlyMap<string, string>;
  readonly #shown: string;

  constructor(parameters: readonly Parameter[], shown: string) {
    this.#values = new Map(parameters.map(({ name, value }) => [name, value]));
    this.#shown = shown;
  }

  /** @throws LibvirtUsageError for control characters, which no path, program or name has */
  text(name: string): string | undefined {
    const value = this.#values.get(name);
    if (value !== undefined && /\p{Cc}/u.test(value)) this.fail(`${name} has a control character`);
    return value;
  }

  /** Text that is not empty. */
  nonEmpty(name: string): string | undefined {
    const value = this.text(name);
    if (value === '') this.fail(`${name} is empty`);
    return value;
  }

  absolutePath(name: string): string | undefined {
    const value = this.text(name);
    if (value !== undefined && !value.startsWith('/')) this.fail(`${name} is not an absolute path`);
    return value;
  }

  /** Any integer but 0 means yes. */
  flag(name: string): boolean {
    const value = this.text(name);
    if (value === undefined) return false;
    if (!/^[+-]?\d+$/.test(value)) this.fail(`${name} is not an integer such as 0 or 1`);
    return Number(value) !== 0;
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    return (
      choices.find((choice) => choice === value) ?? this.fail(`${name} is none of ${choices.join(', ')}`)
    );
  }

  fail(why: string): never {
    throw new LibvirtUsageError(`${this.#shown}: ${why}`);
  }
}
