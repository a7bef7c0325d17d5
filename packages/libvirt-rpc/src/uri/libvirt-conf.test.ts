import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { LibvirtUsageError } from '../errors.ts';
import { chooseUri, readEnvironment } from './client-environment.ts';
import { LibvirtConf } from './libvirt-conf.ts';

const parse = (text: string): LibvirtConf => LibvirtConf.parse(text, '/etc/libvirt/libvirt.conf');

describe('libvirt.conf', () => {
  test('strings, numbers and lists, with comments anywhere between', () => {
    const conf = parse(`
# a comment
uri_aliases = [  # one more
  "hail=qemu+ssh://root@hail/system", # and here

  'sleet=qemu+ssh://sleet/system?a="b"',
]
  uri_default="qemu:///system"
remote_mode = 'direct'   # the end
text = """two
lines"""
number = -12`);
    expect(conf.alias('hail')).toBe('qemu+ssh://root@hail/system');
    expect(conf.alias('sleet')).toBe('qemu+ssh://sleet/system?a="b"');
    expect(conf.alias('rain')).toBeUndefined();
    expect(conf.alias('toString')).toBeUndefined();
    expect(conf.text('uri_default')).toBe('qemu:///system');
    expect(conf.choice('remote_mode', ['direct'])).toBe('direct');
    expect(conf.text('text')).toBe('two\nlines');
    expect(conf.text('missing')).toBeUndefined();
  });

  test.each(['', '\n\n', '# nothing', 'a = []', 'a = [ ]\r\nb = 1\r\n', 'a="x" \t# c'])(
    '%j is fine',
    (text) => {
      expect(() => parse(text)).not.toThrow();
    },
  );

  test('the first of two equal names counts', () => {
    expect(parse('a = "1"\na = "2"').text('a')).toBe('1');
  });

  test.each([
    ['a', 'line 1: expected ='],
    ['\n\na = ', 'line 3: expected a number'],
    ['a = b', 'expected a number'],
    ['a = "b', 'expected a number'],
    ['a = "b" c', 'expected the end of the line'],
    ['a = "b" b = "c"', 'expected the end of the line'],
    ['= 1', 'expected a name'],
    ['a = ["b" "c"]', 'expected , or ]'],
    ['a = ["b",\n"c"', 'line 2: expected , or ]'],
    ['a = [["b"]]', 'expected a string'],
    ['a = [,]', 'expected a number'],
  ])('%j is refused', (text, why) => {
    expect(() => parse(text)).toThrow(LibvirtUsageError);
    expect(() => parse(text)).toThrow(why);
  });

  test.each([
    ['uri_aliases = "a=b"', 'uri_aliases is not a list'],
    ['uri_aliases = ["a"]', 'is not "alias=uri"'],
    ['uri_aliases = ["a b=c"]', 'is not "alias=uri"'],
  ])('%j is refused when an alias is looked for', (text, why) => {
    expect(() => chooseUri('qemu:///system', parse(text))).toThrow(why);
  });

  test('settings of the wrong kind are refused when they are used', () => {
    expect(() => parse('a = 1').text('a')).toThrow('/etc/libvirt/libvirt.conf: a is not a string');
    expect(() => parse('a = "x"').choice('a', ['y', 'z'])).toThrow('a is none of y, z');
  });
});

describe('the URI', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });

  const conf = parse('uri_default = "a"\nuri_aliases = ["a=qemu:///a", "b=qemu:///b", "qemu=x"]');

  test('is the one given, else that of the environment, else that of libvirt.conf; aliases are replaced', () => {
    vi.stubEnv('LIBVIRT_DEFAULT_URI', 'b');
    expect(chooseUri('qemu:///c', conf)).toBe('qemu:///c');
    expect(chooseUri('a', conf)).toBe('qemu:///a');
    expect(chooseUri(undefined, conf)).toBe('qemu:///b');
    vi.stubEnv('LIBVIRT_DEFAULT_URI', '');
    expect(chooseUri(undefined, conf)).toBe('qemu:///a');
    expect(() => chooseUri('', conf)).toThrow('no URI was given');
    expect(() => chooseUri(undefined, LibvirtConf.NONE)).toThrow('no URI was given');
  });

  test("a user's libvirt.conf is in the user's folder", async () => {
    const folder = mkdtempSync(join(tmpdir(), 'conf-'));
    try {
      vi.spyOn(process, 'geteuid').mockReturnValue(1000);
      vi.stubEnv('XDG_CONFIG_HOME', folder);
      expect((await readEnvironment()).conf.text('uri_default')).toBeUndefined();
      mkdirSync(join(folder, 'libvirt'));
      writeFileSync(join(folder, 'libvirt/libvirt.conf'), 'uri_default = "mine:///"\n');
      const environment = await readEnvironment();
      expect(environment).toMatchObject({ isRoot: false });
      expect(chooseUri(undefined, environment.conf)).toBe('mine:///');
      writeFileSync(join(folder, 'libvirt/libvirt.conf'), 'uri_default = \n');
      await expect(readEnvironment()).rejects.toThrow(/libvirt\.conf, line 1/);
      rmSync(join(folder, 'libvirt/libvirt.conf'));
      mkdirSync(join(folder, 'libvirt/libvirt.conf'));
      await expect(readEnvironment()).rejects.toThrow(LibvirtUsageError);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
