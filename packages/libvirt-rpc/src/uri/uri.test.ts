import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LibvirtUsageError } from '../errors.ts';
import { parseUri } from './uri.ts';

test('a URI is taken apart', () => {
  expect(parseUri('QEMU+SSH://us%2Eer@[fe80::1%25eth0]:2222/a/b?x=%26&Y&;z=1')).toEqual({
    driver: 'QEMU',
    transport: 'ssh',
    user: 'us.er',
    host: 'fe80::1%eth0',
    port: 2222,
    path: '/a/b',
    parameters: [
      { name: 'x', value: '&', raw: 'x=%26' },
      { name: 'y', value: '', raw: 'Y' },
      { name: 'z', value: '1', raw: 'z=1' },
    ],
    shown: expect.any(String) as string,
  });
});

test.each([
  ['qemu:///system', 'unix'],
  ['qemu://host/system', 'tls'],
  ['qemu+tcp:///system', 'tcp'],
  ['qemu+LibSSH2://host/system', 'libssh2'],
  ['qemu+libssh://host', 'libssh'],
  ['qemu+ext:///system', 'ext'],
])('%s goes by %s', (uri, transport) => {
  expect(parseUri(uri).transport).toBe(transport);
});

test.each([
  ['', 'is not a libvirt URI'],
  ['/system', 'is not a libvirt URI'],
  ['qemu', 'is not a libvirt URI'],
  ['qemu:///system#fragment', 'is not a libvirt URI'],
  ['qemu\u001b:///system', 'is not a libvirt URI'],
  ['qemu+http://host/system', 'the transport http is none of unix, tcp, tls, ssh'],
  ['qemu+toString://host/system', 'is none of'],
  ['qemu+unix://host/system', 'a unix socket has no host'],
  ['qemu://system', 'lacks a slash: qemu:///system'],
  ['qemu+ssh://session/', 'lacks a slash: qemu:///session'],
  ['qemu://user:secret@host/system', 'holds no password'],
  ['qemu+ssh://-oProxyCommand=x/system', 'is not a host'],
  ['qemu+ssh://-v/system', 'is not a host'],
  ['qemu+ssh://h%6fst/system', 'is not a host'],
  ['qemu+ssh://a b/system', 'is not a host'],
  ['qemu+ssh://a$(id)/system', 'is not a host'],
  ['qemu+ssh://a`id`/system', 'is not a host'],
  ['qemu+ssh://a\nb/system', 'is not a host'],
  ['qemu+ssh://-l@host/system', 'a character that a shell'],
  ['qemu+ssh://%2DoProxyCommand@host/system', 'a character that a shell'],
  ['qemu+ssh://a%24(id)@host/system', 'a character that a shell'],
  ['qemu+ssh://a%60id%60@host/system', 'a character that a shell'],
  ["qemu+ssh://a'b@host/system", 'a character that a shell'],
  ['qemu+ssh://a%0Ab@host/system', 'a character that a shell'],
  ['qemu+ssh://a%5C@host/system', 'a character that a shell'],
  ['qemu+ssh://%zz@host/system', 'not percent-encoded'],
  ['qemu+ssh://a@b@host/system', 'is not [user@]host[:port]'],
  ['qemu+tcp://host:1:2/system', 'is not [user@]host[:port]'],
  ['qemu+tcp://::1/system', 'is not [user@]host[:port]'],
  ['qemu+tcp://host:http/system', 'is not [user@]host[:port]'],
  ['qemu+tcp://host:0/system', 'is not a port'],
  ['qemu+tcp://host:65536/system', 'is not a port'],
  ['qemu+tcp://[host]/system', 'is not an IPv6 address'],
  ['qemu+tcp://[::1$]/system', 'is not an IPv6 address'],
  ['qemu+tcp://[]/system', 'is not an IPv6 address'],
  ['qemu:///system?a=%zz', 'not percent-encoded'],
])('%j is refused', (uri, why) => {
  const parse = (): unknown => parseUri(uri);
  expect(parse).toThrow(LibvirtUsageError);
  expect(parse).toThrow(why);
  expect(parse).not.toThrow('\u001b');
  expect(parse).not.toThrow('secret');
});

test('whatever is given, what comes out is safe to stand behind ssh, or it is refused', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.tuple(fc.string(), fc.string()).map(([user, host]) => `qemu+ssh://${user}@${host}/system`),
  );
  fc.assert(
    fc.property(text, (uri) => {
      try {
        const { host = 'h', user = 'u' } = parseUri(uri);
        return !/^-|[\s'"`$;&<>|(){}\\]/.test(host) && !/^-|[\s'"`$;&<>|(){}]/.test(user);
      } catch (error) {
        return error instanceof LibvirtUsageError;
      }
    }),
    { numRuns: 300 },
  );
});
