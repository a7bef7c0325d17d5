import { LibvirtAuthError } from '../errors.ts';

interface Entry {
  /** As it stands in the file, escapes included. */
  readonly value: string;
  readonly line: number;
}

interface Group {
  readonly line: number;
  readonly entries: Map<string, Entry>;
}

const ESCAPES: Readonly<Record<string, string>> = { s: ' ', n: '\n', t: '\t', r: '\r', '\\': '\\' };

/**
 * A key file in the format of GLib's GKeyFile, of which libvirt's `auth.conf` is one: groups in brackets, `key=value`,
 * comments with `#`. Groups of one name are one, the last of equal keys counts, white space at the end of a value
 * belongs to it. Errors name file and line and never show what stands there.
 */
export class KeyFile {
  readonly path: string;
  readonly #groups = new Map<string, Group>();

  /** @throws LibvirtAuthError if it breaks the format */
  constructor(path: string, bytes: Buffer) {
    this.path = path;
    let group: Group | undefined;
    for (const [index, line] of splitLines(bytes).entries()) {
      const number = index + 1;
      if (line === '' || line.startsWith('#')) continue;
      if (line.startsWith('[')) group = this.#addGroup(line, number);
      else if (group === undefined) throw this.error(number, 'something stands before the first [group]');
      else this.#addEntry(group, line, number);
    }
  }

  /** The line of a group's header, the last if it has several; undefined if there is no such group. */
  lineOf(group: string): number | undefined {
    return this.#groups.get(group)?.line;
  }

  /**
   * The value of a key, or undefined.
   *
   * @throws LibvirtAuthError if it is not UTF-8 or has an escape that there is not
   */
  get(group: string, key: string): string | undefined {
    const entry = this.#groups.get(group)?.entries.get(key);
    if (entry === undefined) return undefined;
    const { value, line } = entry;
    if (value.includes('\ufffd')) throw this.error(line, `the value of ${key} is not UTF-8`);
    return value.replace(/\\(.?)/gsu, (_, letter: string) => {
      const character = ESCAPES[letter];
      if (character !== undefined) return character;
      throw this.error(line, `the value of ${key} has an escape other than \\s, \\n, \\t, \\r and \\\\`);
    });
  }

  error(line: number, what: string): LibvirtAuthError {
    return new LibvirtAuthError(`${this.path}, line ${line}: ${what}`, 'credentials');
  }

  #addGroup(text: string, line: number): Group {
    const name = /^\[([^[\]\p{Cc}]+)\][ \t\r]*$/u.exec(text)?.[1];
    if (name === undefined) throw this.error(line, 'the name of the group is not one');
    const group = { line, entries: this.#groups.get(name)?.entries ?? new Map<string, Entry>() };
    this.#groups.set(name, group);
    return group;
  }

  #addEntry({ entries }: Group, text: string, line: number): void {
    const [, key, value = ''] =
      /^([^=[\]]*[^=[\] \t\f\r](?:\[[^=[\]]*\])?)[ \t\f\r]*=[ \t\f\r]*(.*)$/su.exec(text) ?? [];
    if (key === undefined) throw this.error(line, 'neither a [group] nor key=value nor a # comment');
    entries.set(key, { value, line });
  }
}

/** Without the white space before them, and the `\r` of other systems behind. What is not UTF-8 becomes U+FFFD. */
function splitLines(bytes: Buffer): string[] {
  return bytes
    .toString()
    .split('\n')
    .map((line) => line.replace(/\r$/, '').replace(/^[ \t\f\r]+/, ''));
}
