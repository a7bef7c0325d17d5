import { describe, expect, test } from 'vitest';
import { LibvirtUsageError } from './errors.ts';
import { parseUri, type UriEnvironment, uriHost } from './uri.ts';

const root: UriEnvironment = { isRoot: true, runtimeDir: undefined, home: '/root' };
const user: UriEnvironment = { isRoot: false, runtimeDir: '/run/user/1000', home: '/home/u' };

describe('parseUri', () => {
  test.each<[string, UriEnvironment, boolean, string, string[]]>([
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
  ])('%s', (uri, environment, readOnly, remoteName, socketPaths) => {
    expect(parseUri(uri, readOnly, environment)).toEqual({ remoteName, socketPaths });
  });

  test('how to authenticate is for this side alone', () => {
    const uri = 'qemu+unix:///system?socket=/s&auth=sasl.PLAIN&AuthFile=/a%20b&x=1';
    expect(parseUri(uri, false, user)).toEqual({
      remoteName: 'qemu:///system?x=1',
      socketPaths: ['/s'],
      auth: 'sasl.PLAIN',
      authFile: '/a b',
    });
  });

  test.each([
    ['', 'is not a libvirt URI'],
    ['/system', 'is not a libvirt URI'],
    ['qemu', 'is not a libvirt URI'],
    ['qemu+ssh://host/system', 'the transport ssh is not supported yet; supported for now: unix sockets'],
    ['qemu+tls://host/system', 'tls'],
    ['qemu+tcp://host/system', 'tcp'],
    ['qemu://host/system', 'a host means TLS, which is not supported yet'],
    ['qemu+unix://host/system', 'a host'],
    ['qemu+unix:///system?socket=relative', 'socket is not an absolute path'],
    ['qemu+unix:///system?socket=%zz', 'not percent-encoded'],
    ['qemu:///system?mode=both', 'mode is none of'],
    ['qemu\u001b:///system', 'is not a libvirt URI'],
  ])('%s is refused', (uri, why) => {
    const parse = (): unknown => parseUri(uri, false, user);
    expect(parse).toThrow(LibvirtUsageError);
    expect(parse).toThrow(why);
    expect(parse).not.toThrow('\u001b');
  });
});

test.each([
  ['qemu:///system', 'localhost'],
  ['test:/default', 'localhost'],
  ['qemu+unix:///session?socket=/a//b:c', 'localhost'],
  ['qemu+tls://host1/system', 'host1'],
  ['qemu+ssh://me@host1.example:22/system', 'host1.example'],
  ['qemu+tls://[::1]:16514/system', '::1'],
  ['qemu://host1?x=1', 'host1'],
])('the host of %s', (uri, host) => {
  expect(uriHost(uri)).toBe(host);
});
