import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { connect, type ConnectOptions, type Credentials, type CredentialsRequest } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  leftovers,
  makeSaslSetup,
  type PrivateLibvirtd,
  requireServers,
  type SaslSetup,
  startLibvirtd,
  virsh,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'virsh', 'saslpasswd2', 'sasl2/libscram.so', 'sasl2/libsasldb.so');

const ALL = 'scram-sha-256 scram-sha-1 plain digest-md5';
const MECHANISMS = ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'] as const;
const FRED = { username: 'fred', password: 'top secret' };

describe.skipIf(servers.skip)(servers.title('libvirtd that wants SASL'), () => {
  let sasl: SaslSetup;
  let libvirtd: PrivateLibvirtd;
  let uri: string;

  beforeAll(async () => {
    sasl = makeSaslSetup(ALL);
    await sasl.setPassword(FRED.username, FRED.password);
    libvirtd = await startLibvirtd(sasl.libvirtd);
    uri = `test+unix:///default?socket=${libvirtd.socketPath}`;
  });

  afterEach(() => {
    vi.unstubAllEnvs();
  });

  afterAll(async () => {
    await libvirtd.stop();
    await sasl[Symbol.asyncDispose]();
    expect(leftovers()).toEqual([]);
  });

  const authFile = (text: string): string => {
    const path = join(libvirtd.workDir, 'auth.conf');
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const giving = (credentials: Credentials): ConnectOptions => ({ credentials: () => credentials });
  const hostname = async (at: string, options: ConnectOptions = {}): Promise<string> => {
    await using libvirt = await connect(at, options);
    return await libvirt.getHostname();
  };

  test('the strongest mechanism is taken; streams authenticate too', async () => {
    const asked: CredentialsRequest[] = [];
    await using libvirt = await connect(uri, {
      credentials: (request) => {
        asked.push(request);
        return FRED;
      },
    });
    expect(asked).toMatchObject([{ mechanism: 'SCRAM-SHA-256', host: 'localhost' }]);
    const { data } = await (await libvirt.lookupDomainByName('test')).screenshot();
    await finished(data.resume());
    expect(asked).toHaveLength(2);
  });

  test.each(MECHANISMS)('%s: what virsh gets, and its refusals', async (mechanism) => {
    const at = `${uri}&auth=sasl.${mechanism}`;
    const good =
      '[auth-libvirt-localhost]\ncredentials=c\n[credentials-c]\nauthname=fred\npassword=top secret\n';
    const withFile = `${at}&authfile=${authFile(good)}`;
    const expected = (await virsh(withFile, 'hostname')).trim();
    expect(expected).not.toBe('');
    expect(await hostname(withFile)).toBe(expected);
    expect(await hostname(at, giving(FRED))).toBe(expected);
    for (const wrong of [
      { ...FRED, password: 'top secreT' },
      { ...FRED, username: 'nobody' },
    ])
      await expect(hostname(at, giving(wrong))).rejects.toMatchObject({
        code: 'ERR_LIBVIRT_AUTH',
        reason: 'denied',
        cause: { code: 'ERR_LIBVIRT_AUTH_FAILED' },
      });
    expect(await hostname(at, giving(FRED))).toBe(expected);
  });

  test.each(MECHANISMS)('%s: names and passwords with odd characters', async (mechanism) => {
    const at = `${uri}&auth=sasl.${mechanism}`;
    for (const odd of [
      { username: 'a=b,c', password: 'p=,"\\ x' },
      { username: 'jürgen', password: 'Größe 密码' },
    ]) {
      await sasl.setPassword(odd.username, odd.password);
      expect(await hostname(at, giving(odd))).not.toBe('');
    }
  });

  const credentials = (lines: string): string =>
    `[auth-libvirt-localhost]\ncredentials=c\n[credentials-c]\n${lines}\n`;
  test.each([
    ['as it should be', credentials('authname=fred\npassword=top secret'), true],
    [
      'default host',
      '[auth-libvirt-default]\ncredentials=c\n[credentials-c]\nauthname=fred\npassword=top secret',
      true,
    ],
    ['spaces and comments', credentials('# c\n\n  authname =  fred\npassword\t=top\\ssecret'), true],
    ['the last key counts', credentials('authname=x\nauthname=fred\npassword=top secret'), true],
    ['another name to act as', credentials('username=joe\nauthname=fred\npassword=top secret'), true],
    ['a group in two parts', credentials('authname=fred\n[x]\n[credentials-c]\npassword=top secret'), true],
    ['DOS line ends', credentials('authname=fred\r\npassword=top secret\r'), true],
    ['a space behind the password', credentials('authname=fred\npassword=top secret '), false],
    ['a comment behind it', credentials('authname=fred\npassword=top secret # it is'), false],
    ['the wrong password', credentials('authname=fred\npassword=wrong'), false],
    ['an escape that there is not', credentials('authname=fred\npassword=top\\qsecret'), false],
    [
      'another host',
      '[auth-libvirt-x]\ncredentials=c\n[credentials-c]\nauthname=fred\npassword=top secret',
      false,
    ],
    ['no such credentials', '[auth-libvirt-localhost]\ncredentials=d\n', false],
    ['no credentials', '[auth-libvirt-localhost]\n[credentials-c]\n', false],
    ['a line that is none', credentials('authname=fred\npassword=top secret\nnonsense'), false],
    ['a semicolon', credentials('; c\nauthname=fred\npassword=top secret'), false],
  ])('auth.conf, %s: virsh says the same', async (_, text, isGood) => {
    const at = `${uri}&authfile=${authFile(text)}`;
    const [ours, theirs] = await Promise.allSettled([hostname(at), virsh(at, 'hostname')]);
    expect(theirs.status).toBe(isGood ? 'fulfilled' : 'rejected');
    expect(ours.status).toBe(theirs.status);
    if (ours.status === 'fulfilled') return;
    expect(ours.reason).toMatchObject({ code: 'ERR_LIBVIRT_AUTH' });
    expect((ours.reason as Error).message).not.toContain('secret');
  });

  test('LIBVIRT_AUTH_FILE goes before authfile=, as for virsh', async () => {
    const good = authFile(credentials('authname=fred\npassword=top secret'));
    vi.stubEnv('LIBVIRT_AUTH_FILE', good);
    const named = `${uri}&authfile=/nonexistent`;
    expect(await hostname(named)).toBe((await virsh(named, 'hostname')).trim());
    vi.stubEnv('LIBVIRT_AUTH_FILE', '/nonexistent');
    await expect(virsh(`${uri}&authfile=${good}`, 'hostname')).rejects.toThrow('exit status 1');
    await expect(hostname(`${uri}&authfile=${good}`)).rejects.toThrow('/nonexistent cannot be read (ENOENT)');
  });

  test('the file of the user', async () => {
    const folder = join(libvirtd.workDir, 'config');
    mkdirSync(join(folder, 'libvirt'), { recursive: true });
    const text = credentials('authname=fred\npassword=top secret');
    writeFileSync(join(folder, 'libvirt', 'auth.conf'), text, { mode: 0o600 });
    vi.stubEnv('LIBVIRT_AUTH_FILE', undefined);
    vi.stubEnv('XDG_CONFIG_HOME', folder);
    expect(await hostname(uri)).toBe((await virsh(uri, 'hostname')).trim());
  });

  test('mechanisms that are not supported are named', async () => {
    sasl.setMechanisms('digest-md5');
    await libvirtd.restart();
    const good = authFile(credentials('authname=fred\npassword=top secret'));
    expect(await virsh(`${uri}&authfile=${good}`, 'hostname')).not.toBe('');
    await expect(hostname(uri, giving(FRED))).rejects.toMatchObject({
      reason: 'unsupported',
      message: expect.stringContaining('it offers DIGEST-MD5 (') as string,
    });
    await expect(hostname(`${uri}&auth=polkit`)).rejects.toMatchObject({ reason: 'unsupported' });
    sasl.setMechanisms('plain');
    await libvirtd.restart();
    const options = { ...giving(FRED), saslMechanisms: ['SCRAM-SHA-256', 'SCRAM-SHA-1'] } as const;
    await expect(hostname(uri, options)).rejects.toMatchObject({ reason: 'unsupported' });
    expect(await hostname(uri, giving(FRED))).not.toBe('');
  });
});
