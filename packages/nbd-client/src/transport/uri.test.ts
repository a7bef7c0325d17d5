import { describe, expect, it } from 'vitest';
import { NbdUsageError } from '../errors.ts';
import { parseNbdUri } from './uri.ts';

describe('parseNbdUri', () => {
  it.each([
    ['nbd://localhost', { host: 'localhost' }, ''],
    ['nbd://localhost/', { host: 'localhost' }, ''],
    ['NBD://example.com:10810/disk', { host: 'example.com', port: 10810 }, 'disk'],
    ['nbd:///', { host: 'localhost' }, ''],
    ['nbd://[::1]:1/a', { host: '::1', port: 1 }, 'a'],
    ['nbd://[fe80::1%25eth0]:1/', { host: 'fe80::1%eth0', port: 1 }, ''],
    ['nbd://x://disk'.replace('://disk', '//disk'), { host: 'x' }, '/disk'],
    ['nbd://x/a/../b/./c', { host: 'x' }, 'a/../b/./c'],
    ['nbd://x/%C3%A4%20%2F', { host: 'x' }, 'ä /'],
    ['nbd+unix:///?socket=/run/a+b.sock', { path: '/run/a+b.sock' }, ''],
    ['nbd+unix:///vda?socket=%2Frun%2Fx', { path: '/run/x' }, 'vda'],
    ['nbd+unix:///vda?SOCKET=/a=b', { path: '/a=b' }, 'vda'],
    ['nbd+unix:///?socket=%00abstract', { path: '\0abstract' }, ''],
  ])('%s', (uri, address, exportName) => {
    expect(parseNbdUri(uri)).toEqual({ address, exportName });
  });

  it.each([
    ['nbds://example.com/vda', { type: 'files', verifyPeer: true }],
    ['nbds://x/?tls-hostname=y&tls-verify-peer=0', { type: 'files', verifyPeer: false, hostname: 'y' }],
    ['nbds://x/?tls-certificates=/etc/pki', { type: 'files', verifyPeer: true, certificates: '/etc/pki' }],
    [
      'nbds+unix://alice@/vda?socket=/x&tls-psk-file=/keys',
      { type: 'files', verifyPeer: true, pskFile: '/keys', identity: 'alice' },
    ],
  ])('%s', (uri, tls) => {
    expect(parseNbdUri(uri).tls).toEqual(tls);
  });

  it.each([
    ['nbds://x/?tls-type=anon', /x509 or psk/],
    ['nbds://x/?tls-type=psk', /go together/],
    ['nbds://x/?tls-verify-peer=maybe', /0 or 1/],
    ['nbd://x/?tls-hostname=y', /unknown/],
    ['', /does not have the form/],
    ['nbd:localhost:10809', /does not have the form/],
    ['http://x/', /scheme http/],
    ['nbd+unix:///', /needs \?socket/],
    ['nbd+unix://host/?socket=/x', /takes no host/],
    ['nbd://x/?socket=/x', /goes with nbd\+unix/],
    ['nbd://x/?tls=1', /"tls" is unknown/],
    ['nbd+unix:///?socket=/x&socket=/y', /there twice/],
    ['nbd://x:99999/', /port 99999/],
    ['nbd://[x]/', /IPv6/],
    ['nbd+vsock://2/', /nbd\+vsock is not one of/],
    ['nbd+ssh://x/', /nbd\+ssh is not one of/],
    ['nbd://x/?x-mine=1', /"x-mine" is unknown/],
    ['nbd://x:y/', /authority/],
    ['nbd://user@x/', /user name/],
    ['nbd://x/%zz', /percent-encoding/],
    ['nbd://x/%ff', /percent-encoding/],
    ['nbd://x/a%00b', /no NUL/],
    ['nbd://x/a#b', /fragment/],
    ['nbd+unix:///?socket=', /empty/],
    [`nbd+unix:///?socket=/${'x'.repeat(107)}`, /at most 107 bytes/],
    [`nbd://x/${'x'.repeat(4097)}`, /at most 4096 bytes/],
  ])('refuses %s', (uri, why) => {
    expect(() => parseNbdUri(uri)).toThrow(NbdUsageError);
    expect(() => parseNbdUri(uri)).toThrow(why);
  });
});
