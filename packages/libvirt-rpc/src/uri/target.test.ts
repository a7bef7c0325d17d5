import { describe, expect, test } from 'vitest';
import { LibvirtUsageError } from '../errors.ts';
import type { Endpoint, SshEndpoint } from './endpoint.ts';
import { LibvirtConf } from './libvirt-conf.ts';
import { type Target, type TargetEnvironment, targetOf } from './target.ts';
import { parseUri } from './uri.ts';

const conf = LibvirtConf.NONE;
const root: TargetEnvironment = { isRoot: true, runtimeDir: undefined, home: '/root', conf };
const user: TargetEnvironment = { isRoot: false, runtimeDir: '/run/user/1000', home: '/home/u', conf };

const resolve = (uri: string, environment = user, readOnly = false): Target =>
  targetOf(parseUri(uri), readOnly, environment);
const codes = (uri: string): string[] => resolve(uri).warnings.map(({ code }) => code);

describe('unix sockets', () => {
  test.each<[string, TargetEnvironment, boolean, string, string[]]>([
    [
      'qemu:///system',
      user,
      false,
      'qemu:///system',
      ['/var/run/libvirt/virtqemud-sock', '/var/run/libvirt/libvirt-sock'],
    ],
    [
      'qemu:///system',
      user,
      true,
      'qemu:///system',
      ['/var/run/libvirt/virtqemud-sock-ro', '/var/run/libvirt/libvirt-sock-ro'],
    ],
    [
      'qemu:///session',
      user,
      true,
      'qemu:///session',
      ['/run/user/1000/libvirt/virtqemud-sock', '/run/user/1000/libvirt/libvirt-sock'],
    ],
    [
      'qemu:///session',
      { ...user, runtimeDir: undefined },
      false,
      'qemu:///session',
      ['/home/u/.cache/libvirt/virtqemud-sock', '/home/u/.cache/libvirt/libvirt-sock'],
    ],
    [
      'qemu:///session',
      root,
      false,
      'qemu:///session',
      ['/var/run/libvirt/virtqemud-sock', '/var/run/libvirt/libvirt-sock'],
    ],
    ['qemu+UNIX:///system?mode=direct', root, false, 'qemu:///system', ['/var/run/libvirt/virtqemud-sock']],
    ['qemu:///system?mode=legacy', root, false, 'qemu:///system', ['/var/run/libvirt/libvirt-sock']],
    [
      'qemu:///system',
      { ...root, conf: LibvirtConf.parse('remote_mode = "legacy"', 'c') },
      false,
      'qemu:///system',
      ['/var/run/libvirt/libvirt-sock'],
    ],
    [
      'xen:///system',
      root,
      false,
      'xen:///system',
      ['/var/run/libvirt/virtxend-sock', '/var/run/libvirt/libvirt-sock'],
    ],
    ['test:///default', root, false, 'test:///default', ['/var/run/libvirt/libvirt-sock']],
    ['test:///default', user, false, 'test:///default', ['/run/user/1000/libvirt/libvirt-sock']],
    ['test+unix:///default?socket=/a%20b', user, true, 'test:///default', ['/a b']],
    [
      'qemu+unix:///session?Socket=/s&other=1%26&no_verify=1',
      user,
      false,
      'qemu:///session?other=1%26',
      ['/s'],
    ],
    ['remote:///?socket=/s', user, false, '', ['/s']],
    ['remote:///?socket=/s&name=qemu%3A%2F%2F%2Fsystem', user, false, 'qemu:///system', ['/s']],
  ])('%s', (uri, environment, readOnly, remoteName, paths) => {
    const target = resolve(uri, environment, readOnly);
    expect(target.remoteName).toBe(remoteName);
    expect(target.endpoint).toEqual({ transport: 'unix', paths });
  });
});

describe('other transports', () => {
  const tls = { transport: 'tls', port: 16_514, verifies: true, checksOwn: true } as const;
  const own = { kind: 'user', home: '/home/u' } as const;
  test.each<[string, string, Endpoint]>([
    ['qemu+tcp://h/system', 'qemu:///system', { transport: 'tcp', host: 'h', port: 16_509 }],
    ['qemu+tcp:///system', 'qemu:///system', { transport: 'tcp', host: 'localhost', port: 16_509 }],
    ['qemu+TCP://[::1]:1/system', 'qemu:///system', { transport: 'tcp', host: '::1', port: 1 }],
    [
      'qemu+tcp://[fe80::1%25eth0]/system',
      'qemu:///system',
      { transport: 'tcp', host: 'fe80::1%eth0', port: 16_509 },
    ],
    ['qemu://h.example/system', 'qemu:///system', { ...tls, host: 'h.example', pki: own }],
    ['qemu+tls:///session', 'qemu:///session', { ...tls, host: 'localhost', pki: own }],
    [
      'qemu+tls://h:2/system?pkipath=/p%20q&no_verify=1&no_sanity=2',
      'qemu:///system',
      {
        ...tls,
        host: 'h',
        port: 2,
        verifies: false,
        checksOwn: false,
        pki: { kind: 'folder', path: '/p q' },
      },
    ],
    [
      'test+tls://h/default?no_verify=0&a=b&c=%2F&pkipath=/p',
      'test:///default?a=b&c=%2F',
      { ...tls, host: 'h', pki: { kind: 'folder', path: '/p' } },
    ],
    ['qemu+ext:///system?command=/bin/x', 'qemu:///system', { transport: 'ext', command: '/bin/x' }],
  ])('%s', (uri, remoteName, endpoint) => {
    expect(resolve(uri)).toMatchObject({ remoteName, endpoint });
  });

  test("root's certificates are the system's", () => {
    expect(resolve('qemu://h/system', root).endpoint).toMatchObject({ pki: { kind: 'system' } });
  });

  test('what credentials are chosen by', () => {
    expect(resolve('qemu://a%40b@h/system?authfile=/f&auth=sasl').account).toEqual({
      host: 'h',
      user: 'a@b',
      authFile: '/f',
      auth: 'sasl',
    });
    expect(resolve('qemu:///system').account).toMatchObject({ host: 'localhost', user: undefined });
  });
});

describe('ssh', () => {
  const ssh = (uri: string, environment = user, readOnly = false): SshEndpoint =>
    resolve(uri, environment, readOnly).endpoint as SshEndpoint;
  const socket = '/var/run/libvirt/libvirt-sock';

  test('as little as possible is said to ssh', () => {
    expect(ssh('qemu+ssh://u@h:22/system')).toEqual({
      transport: 'ssh',
      program: 'ssh',
      host: 'h',
      port: 22,
      user: 'u',
      keyFile: undefined,
      knownHostsFile: undefined,
      hostKeys: undefined,
      methods: undefined,
      isUnattended: false,
      proxy: { kind: 'auto', uri: 'qemu:///system', program: 'nc', socket },
      readOnly: false,
    });
  });

  test.each<[string, Partial<SshEndpoint>]>([
    ['keyfile=/k&no_tty=1&command=/ssh', { keyFile: '/k', isUnattended: true, program: '/ssh' }],
    ['no_verify=1', { hostKeys: 'unchecked' }],
    ['no_verify=1&known_hosts_verify=normal', { hostKeys: 'known' }],
    ['known_hosts_verify=auto&known_hosts=/k', { hostKeys: 'accept-new', knownHostsFile: '/k' }],
    ['known_hosts_verify=ignore', { hostKeys: 'unchecked' }],
    ['sshauth=privkey,%20Password', { methods: ['privkey', 'password'] }],
    ['proxy=native&socket=/s', { proxy: { kind: 'native', uri: 'qemu:///system?socket=/s' } }],
    ['proxy=native&mode=legacy', { proxy: { kind: 'native', uri: 'qemu:///system?mode=legacy' } }],
    ['proxy=netcat', { proxy: { kind: 'netcat', program: 'nc', socket } }],
    ['netcat=/n', { proxy: { kind: 'netcat', program: '/n', socket } }],
    ['netcat=/n&proxy=auto', { proxy: { kind: 'netcat', program: '/n', socket } }],
    ['socket=/s', { proxy: { kind: 'netcat', program: 'nc', socket: '/s' } }],
    ['name=qemu:///x', { proxy: { kind: 'auto', uri: 'qemu:///x', program: 'nc', socket } }],
    ['a=b', { proxy: { kind: 'auto', uri: 'qemu:///system?a=b', program: 'nc', socket } }],
  ])('%s', (query, expected) => {
    expect(ssh(`qemu+ssh://h/system?${query}`)).toMatchObject(expected);
    expect(ssh(`qemu+libssh2://h/system?${query}`)).toMatchObject(expected);
    expect(ssh(`qemu+libssh://h/system?${query}`)).toMatchObject(expected);
  });

  test("the session's socket is found by virt-ssh-helper alone, whoever asks", () => {
    for (const environment of [user, root])
      expect(ssh('qemu+ssh://h/session', environment).proxy).toEqual({
        kind: 'native',
        uri: 'qemu:///session',
      });
  });

  test('a read-only connection has a socket of its own', () => {
    expect(ssh('qemu+ssh://h/system', user, true)).toMatchObject({
      readOnly: true,
      proxy: { socket: `${socket}-ro` },
    });
  });

  test('a daemon for all drivers is looked for as such', () => {
    expect(resolve('remote+ssh://h/').remoteName).toBe('');
    expect(ssh('remote+ssh://h/').proxy).toMatchObject({ uri: 'remote:///' });
  });

  test('remote_proxy of libvirt.conf counts unless the URI says otherwise', () => {
    const environment = { ...user, conf: LibvirtConf.parse('remote_proxy = "netcat"', 'c') };
    expect(ssh('qemu+ssh://h/system', environment).proxy.kind).toBe('netcat');
    expect(ssh('qemu+ssh://h/system?proxy=native', environment).proxy.kind).toBe('native');
  });
});

describe('warnings', () => {
  test('of what anybody can read or nobody checks', () => {
    expect(codes('qemu+tcp://h/system')).toEqual(['LIBVIRT_CLEARTEXT']);
    expect(codes('qemu+tls://h/system?no_verify=1')).toEqual(['LIBVIRT_UNVERIFIED']);
    expect(codes('qemu+ssh://h/system?no_verify=1')).toEqual(['LIBVIRT_UNVERIFIED']);
    expect(codes('qemu+ssh://h/system?known_hosts_verify=auto')).toEqual([]);
    expect(codes('qemu+tls://h/system')).toEqual([]);
    expect(codes('qemu:///system')).toEqual([]);
  });

  test('of parameters that do nothing here, or that are not known', () => {
    expect(codes('qemu+tcp://h/system?pkipath=/p')).toEqual(['LIBVIRT_URI_PARAMETER', 'LIBVIRT_CLEARTEXT']);
    const [slip] = resolve('qemu+tls://h/system?no-verify=1').warnings;
    expect(slip).toEqual({
      code: 'LIBVIRT_URI_PARAMETER',
      message: 'no-verify is not known here: it is passed on to the daemon',
    });
    expect(codes('qemu:///system?toString=1')).toEqual(['LIBVIRT_URI_PARAMETER']);
  });

  test('of a setting of libvirt.conf that is for GnuTLS', () => {
    const environment = { ...user, conf: LibvirtConf.parse('tls_priority = "NORMAL"', 'c') };
    expect(resolve('qemu://h/system', environment).warnings).toMatchObject([{ code: 'LIBVIRT_CONF' }]);
    expect(resolve('qemu:///system', environment).warnings).toEqual([]);
  });
});

test.each([
  ['qemu+unix:///system?socket=relative', 'socket is not an absolute path'],
  ['qemu+unix:///system?socket=%zz', 'not percent-encoded'],
  ['qemu:///system?mode=both', 'mode is none of'],
  ['test:///default?mode=direct', 'there is no daemon for test alone'],
  ['qemu+tls://h/system?tls_priority=NORMAL', 'tls_priority is in the language of GnuTLS'],
  ['qemu+tls://h/system?pkipath=', 'pkipath is empty'],
  ['qemu+tls://h/system?no_verify=yes', 'no_verify is not an integer'],
  ['qemu+tls://h/system?no_verify=', 'no_verify is not an integer'],
  ['qemu+ext:///system', 'ext needs a command'],
  ['qemu+ext:///system?command=', 'command is empty'],
  ['qemu+ssh://h/system?proxy=socat', 'proxy is none of'],
  ['qemu+ssh://h/system?proxy=native&netcat=/n', 'netcat has no place'],
  ['qemu+ssh://h/session?proxy=netcat', 'netcat cannot find the socket of a session'],
  ['qemu+ssh://h/system?mode=direct', 'mode=direct reaches only a local daemon'],
  ['qemu+ssh://h/system?sshauth=privkey,magic', 'sshauth is none of'],
  ['qemu+ssh://h/system?known_hosts_verify=maybe', 'known_hosts_verify is none of'],
  ['qemu+ssh://h/system?known_hosts=/a%22b', 'quotation mark'],
  ['qemu+ssh://h/system?socket=/a%0Ab', 'socket has a control character'],
  ['qemu+ssh://h/system?netcat=%00', 'netcat has a control character'],
  ['qemu+ssh://h/system?name=%1b', 'name has a control character'],
])('%s is refused', (uri, why) => {
  expect(() => resolve(uri)).toThrow(LibvirtUsageError);
  expect(() => resolve(uri)).toThrow(why);
});
