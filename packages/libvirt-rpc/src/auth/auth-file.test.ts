import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type AuthFileEnvironment, type AuthFiles, authFiles, lookUp, readAuthFile } from './auth-file.ts';
import { KeyFile } from './key-file.ts';

const FILE = `# passwords
[auth-libvirt-host1]
credentials=one
[auth-libvirt-default]
credentials=other
[auth-esx-host2]
credentials=esx

[credentials-one]
authname=fred
username=somebody
password=secret
[credentials-other]
username=joe@realm
password= with\\sspace\\s
`;

describe('where it is looked for', () => {
  const home = '/home/u';
  test.each<[AuthFileEnvironment, string[], boolean]>([
    [{ variables: { LIBVIRT_AUTH_FILE: '/v' }, home, fromUri: '/u' }, ['/v'], true],
    [{ variables: { LIBVIRT_AUTH_FILE: '' }, home, fromUri: '/u' }, ['/u'], true],
    [
      { variables: {}, home, fromUri: undefined },
      ['/home/u/.config/libvirt/auth.conf', '/etc/libvirt/auth.conf'],
      false,
    ],
    [
      { variables: { XDG_CONFIG_HOME: '/x' }, home, fromUri: '' },
      ['/x/libvirt/auth.conf', '/etc/libvirt/auth.conf'],
      false,
    ],
  ])('%j', (environment, paths, isNamed) => {
    expect(authFiles(environment)).toEqual({ paths, isNamed });
  });
});

describe('what is in it', () => {
  const look = (text: string, host = 'host1'): unknown => lookUp(new KeyFile('/a', Buffer.from(text)), host);

  test('a host, and the default', () => {
    expect(look(FILE)).toEqual({ username: 'fred', password: 'secret' });
    expect(look(FILE, 'host2')).toEqual({ username: 'joe@realm', password: 'with space ' });
  });

  test.each([
    ['[auth-libvirt-host2]\ncredentials=x', '/a has no group [auth-libvirt-host1] or [auth-libvirt-default]'],
    ['\n[auth-libvirt-host1]\n', '/a, line 2: [auth-libvirt-host1] has no credentials='],
    [
      '[auth-libvirt-host1]\ncredentials=x',
      '/a, line 1: [auth-libvirt-host1] refers to [credentials-x], which is not there',
    ],
    [
      '[auth-libvirt-host1]\ncredentials=x\n[credentials-x]\npassword=secret',
      '/a, line 3: [credentials-x] has no authname=',
    ],
    [
      '[auth-libvirt-host1]\ncredentials=x\n[credentials-x]\nauthname=fred',
      '/a, line 3: [credentials-x] has no password=',
    ],
  ])('%j', (text, message) => {
    expect(() => look(text)).toThrow(message);
    expect(() => look(text)).toThrow(expect.objectContaining({ reason: 'credentials' }));
    expect(() => look(text)).not.toThrow('secret');
  });
});

describe('reading it', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'auth-file-'));
    path = join(folder, 'auth.conf');
    writeFileSync(path, FILE, { mode: 0o600 });
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
    vi.restoreAllMocks();
  });
  const named = (name: string): AuthFiles => ({ paths: [name], isNamed: true });

  test('a named one, and the first that is there', async () => {
    const fred = { username: 'fred', password: 'secret' };
    expect(await readAuthFile('host1', named(path))).toEqual(fred);
    const paths = [`${path}x`, `${path}/x`, path, folder];
    expect(await readAuthFile('host1', { paths, isNamed: false })).toEqual(fred);
  });

  test('one that is not there, is a folder or is huge', async () => {
    const huge = join(folder, 'huge');
    writeFileSync(huge, Buffer.alloc(1024 * 1024 + 1));
    const failing: [AuthFiles, string][] = [
      [named(`${path}x`), 'auth.confx cannot be read (ENOENT)'],
      [named(folder), 'cannot be read (EISDIR)'],
      [{ paths: [folder, path], isNamed: false }, 'cannot be read (EISDIR)'],
      [named(huge), 'has 1048577 bytes'],
      [
        { paths: [`${path}x`, `${path}y`], isNamed: false },
        `the option credentials was not given, and none of ${path}x, ${path}y can be read`,
      ],
    ];
    for (const [files, why] of failing) {
      const reading = readAuthFile('host1', files);
      await expect(reading).rejects.toMatchObject({ code: 'ERR_LIBVIRT_AUTH', reason: 'credentials' });
      await expect(reading).rejects.toThrow(why);
    }
  });

  test('one that everybody can read is used, with a warning, once', async () => {
    const emitWarning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    await readAuthFile('host1', named(path));
    expect(emitWarning).not.toHaveBeenCalled();
    chmodSync(path, 0o644);
    await readAuthFile('host1', named(path));
    await readAuthFile('host1', named(path));
    expect(emitWarning).toHaveBeenCalledOnce();
    expect(emitWarning).toHaveBeenCalledWith(expect.stringContaining(path), {
      type: 'LibvirtWarning',
      code: 'LIBVIRT_AUTH_FILE_READABLE',
    });
  });
});
