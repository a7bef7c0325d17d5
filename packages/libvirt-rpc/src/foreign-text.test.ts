import { expect, test } from 'vitest';
import { failure } from './calls.fixture.ts';
import { connect } from './connect.ts';
import * as errors from './errors.ts';
import type { ConnectWarning } from './uri/warning.ts';

/** What a terminal or a reader could take for something else. */
const HOSTILE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const RAW = 'a\u001b[31m\u202e\u2066b\n';

test.each([
  ['the path of a socket', 'test+unix:///default?socket=/no%E2%80%AE/x'],
  ['a path as it stands', 'test+unix:///default?socket=/no\u202e/x'],
  ['a query parameter', `test+unix:///default?socket=/no&${RAW}=1`],
  ['a value of one', `test+unix:///default?mode=${RAW}`],
  ['the path of the URI', `test+unix:///${RAW}?socket=/no`],
  ['a file with certificates', `qemu+tls://127.0.0.1:1/x?pkipath=/no%E2%80%AE`],
  ['a user', `qemu+ssh://${encodeURIComponent('u\u202e')}@h:1/x?command=/no%E2%81%A6`],
])('%s is harmless in messages and warnings', async (_, uri) => {
  const warnings: ConnectWarning[] = [];
  const error = await failure(connect(uri, { onWarning: (warning) => warnings.push(warning) }));
  expect(error).toBeInstanceOf(errors.LibvirtFailure);
  for (const { message } of [error as Error, ...warnings]) expect(message).not.toMatch(HOSTILE);
});

test('whatever an error is made with, its message is harmless', () => {
  for (const message of [
    new errors.LibvirtUsageError(RAW).message,
    new errors.LibvirtConnectError(RAW).message,
    new errors.LibvirtTlsError('handshake', RAW).message,
    new errors.LibvirtConnectionClosedError(RAW).message,
    new errors.LibvirtTimeoutError(RAW).message,
  ])
    expect(message).toBe('a\\u{1b}[31m\\u{202e}\\u{2066}b\\u{a}');
});

test('a path that is too long for a socket says so, and nothing else is tried', async () => {
  const path = `/tmp/${'x'.repeat(110)}`;
  const error = await failure(connect(`test+unix:///default?socket=${path}`));
  expect(error).toMatchObject({ code: 'ERR_LIBVIRT_CONNECT' });
  expect((error as Error).message).toMatch(/115 bytes.*no unix socket.*more than 107/);
  const umlauts = await failure(connect(`test+unix:///default?socket=/tmp/${'ä'.repeat(52)}`));
  expect((umlauts as Error).message).toMatch(/109 bytes/);
});

test('options of connect are checked', async () => {
  for (const wrong of [7, null, [], { flags: 1 }, { readOnly: 1 }, { signal: {} }, { connectTimeoutMs: '1' }])
    expect(await failure(connect('test:///default', wrong as never))).toMatchObject({
      code: 'ERR_LIBVIRT_USAGE',
    });
});
