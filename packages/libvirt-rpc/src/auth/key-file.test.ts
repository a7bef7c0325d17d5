import { describe, expect, test } from 'vitest';
import { LibvirtAuthError } from '../errors.ts';
import { KeyFile } from './key-file.ts';

const parse = (text: string | Buffer): KeyFile => new KeyFile('/a.conf', Buffer.from(text as string));
const get = (text: string): string | undefined => parse(text).get('g', 'k');

// What GLib 2.74 makes of the same text.
test.each([
  ['[g]\nk=v', 'v'],
  ['[g]\r\nk=v\r\n', 'v'],
  ['[g] \t\nk=v\n', 'v'],
  ['  [g]\n k \t=\t v  \n', 'v  '],
  ['\n# c\n[g]\n\t#c\n\f\nk=v # no comment\n', 'v # no comment'],
  ['[g]\nk=a=b', 'a=b'],
  ['[g]\nk=', ''],
  ['[g]\nk=\\sa\\\\s\\n\\t\\r', ' a\\s\n\t\r'],
  ['[g]\nk=1\nk=2\n', '2'],
  ['[g]\nk=1\n[h]\nk=3\n[g]\nj=2\n', '1'],
  ['[g]\nk k=1\nk[de]=2\nK=3\n', undefined],
  ['[ g ]\nk=v', undefined],
  ['[g]\nä=1\nk=ü', 'ü'],
  ['[g]\nk=v\u000bx', 'v\u000bx'],
])('%j', (text, value) => {
  expect(get(text)).toBe(value);
});

describe('errors name file and line, and do not show what stands there', () => {
  test.each([
    ['secret=secret\n[g]', 1, 'before the first [group]'],
    ['\n\n[g]\nsecret\n', 4, 'neither'],
    ['[g]\n=secret\n', 2, 'neither'],
    ['[g]\n; secret\n', 2, 'neither'],
    ['[g]\nk[=secret\n', 2, 'neither'],
    ['[g\nk=v', 1, 'the name of the group'],
    ['[g]secret\nk=v', 1, 'the name of the group'],
    ['[]\nk=v', 1, 'the name of the group'],
    ['[a[b]\nk=v', 1, 'the name of the group'],
    ['\ufeff[g]\nk=v', 1, 'before the first [group]'],
    ['[g]\n\nk=secret\\q\n', 3, 'an escape'],
    ['[g]\nk=secret\\', 2, 'an escape'],
  ])('%j', (text, line, why) => {
    const run = (): unknown => get(text);
    expect(run).toThrow(LibvirtAuthError);
    expect(run).toThrow(expect.objectContaining({ reason: 'credentials' }));
    expect(run).toThrow(`/a.conf, line ${line}: `);
    expect(run).toThrow(why);
    expect(run).not.toThrow('secret');
  });

  test('bytes that are not UTF-8 matter only where they are asked for', () => {
    const file = parse(Buffer.from('# \xff\n[g]\nk=\xff\nj=1\n', 'latin1'));
    expect(file.get('g', 'j')).toBe('1');
    expect(() => file.get('g', 'k')).toThrow('/a.conf, line 3: the value of k is not UTF-8');
  });
});
