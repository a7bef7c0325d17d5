import { LibvirtUsageError } from '../errors.ts';
import { sanitize } from '../sanitize.ts';

type Value = string | number | readonly Value[];

/** The client's settings: `uri_default`, `uri_aliases`, `remote_mode`, `remote_proxy`. */
export class LibvirtConf {
  readonly #values: ReadonlyMap<string, Value>;
  readonly #path: string;

  private constructor(values: ReadonlyMap<string, Value>, path: string) {
    this.#values = values;
    this.#path = path;
  }

  static readonly NONE: LibvirtConf = new LibvirtConf(new Map(), '');

  /**
   * @param path - for messages
   * @throws LibvirtUsageError with the line of what is not understood
   */
  static parse(text: string, path: string): LibvirtConf {
    return new LibvirtConf(new ConfParser(text, path).settings(), path);
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    if (value === undefined || typeof value === 'string') return value;
    return this.#fail(`${name} is not a string`);
  }

  choice<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    return (
      choices.find((choice) => choice === value) ?? this.#fail(`${name} is none of ${choices.join(', ')}`)
    );
  }

  /** What `uri_aliases` says that the word stands for. */
  alias(word: string): string | undefined {
    const entries = this.#values.get('uri_aliases') ?? [];
    if (!Array.isArray(entries)) return this.#fail('uri_aliases is not a list');
    for (const entry of entries as readonly Value[]) {
      const [, name, uri] = /^([\w-]+)=(.*)$/s.exec(String(entry)) ?? [];
      if (name === undefined) return this.#fail('an entry of uri_aliases is not "alias=uri"');
      if (name === word) return uri;
    }
    return undefined;
  }

  #fail(why: string): never {
    throw new LibvirtUsageError(`${sanitize(this.#path)}: ${why}`);
  }
}

/** Tokens of the file, each with the blanks and comments before it. */
const TOKENS = {
  blank: /(?:[ \t]|\\\r?\n)*/y,
  emptyLines: /(?:\s|#[^\n]*)*/y,
  name: /[A-Za-z_][\w.-]*/y,
  equals: /=/y,
  number: /[+-]?\d+/y,
  longText: /"""(.*?)"""/sy,
  text: /"([^"\n]*)"|'([^'\n]*)'/y,
  open: /\[/y,
  comma: /,/y,
  close: /\]/y,
  endOfLine: /(?:#[^\n]*)?(?:\r?\n|$)/y,
} as const;

/** libvirt's format: `name = value` a line; a value is an integer, a quoted string or a list over any lines. */
class ConfParser {
  readonly #text: string;
  readonly #path: string;
  #at = 0;

  constructor(text: string, path: string) {
    this.#text = text;
    this.#path = path;
  }

  settings(): Map<string, Value> {
    const values = new Map<string, Value>();
    this.#take('emptyLines');
    while (this.#at < this.#text.length) {
      const [name] = this.#need('name', 'a name');
      this.#take('blank');
      this.#need('equals', '=');
      this.#take('blank');
      // The first of two equal names counts.
      const value = this.#value();
      if (!values.has(name)) values.set(name, value);
      this.#take('blank');
      this.#need('endOfLine', 'the end of the line');
      this.#take('emptyLines');
    }
    return values;
  }

  #value(): Value {
    if (this.#take('open') !== undefined) return this.#list();
    const number = this.#take('number');
    if (number !== undefined) return Number(number[0]);
    const long = this.#take('longText');
    if (long !== undefined) return long[1] ?? '';
    const [, double, single] = this.#need('text', 'a number, a quoted string or a list');
    return double ?? single ?? '';
  }

  #list(): Value[] {
    const values: Value[] = [];
    for (;;) {
      this.#take('emptyLines');
      if (this.#take('close') !== undefined) return values;
      if (values.length > 0) {
        this.#need('comma', ', or ]');
        this.#take('emptyLines');
        if (this.#take('close') !== undefined) return values;
      }
      if (this.#take('open') !== undefined) this.#fail('a string and no list in a list');
      values.push(this.#value());
    }
  }

  #take(token: keyof typeof TOKENS): RegExpExecArray | undefined {
    const pattern = TOKENS[token];
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  #need(token: keyof typeof TOKENS, expected: string): RegExpExecArray {
    return this.#take(token) ?? this.#fail(expected);
  }

  #fail(expected: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    throw new LibvirtUsageError(`${sanitize(this.#path)}, line ${line}: expected ${expected}`);
  }
}
