import { expect, test } from 'vitest';
import { LibvirtError } from './libvirt-error.ts';
import { LibvirtProtocolError } from './errors.ts';
import { sanitize } from './sanitize.ts';

test('control characters are made visible', () => {
  expect(sanitize('a\n\u001b[31m\u202eb')).toBe('a\\u{a}\\u{1b}[31m\\u{202e}b');
});

test('a long text is cut, also within a character', () => {
  expect(sanitize('x'.repeat(1024))).toBe('x'.repeat(1024));
  expect(sanitize('x'.repeat(1030))).toBe(`${'x'.repeat(1024)}… (6 characters more)`);
  expect(sanitize(`${'x'.repeat(1023)}😀`)).toBe(`${'x'.repeat(1023)}\\u{d83d}… (1 characters more)`);
});

test("a daemon's 4 MiB are in serverMessage, not in message", () => {
  const message = '\u001b'.repeat(4 * 1024 * 1024);
  const none = { dom: null, str1: null, str2: null, str3: null, int1: 0, int2: 0, net: null };
  const error = new LibvirtError({ code: 1, domain: 10, level: 2, message, ...none }, 'REMOTE_PROC_X');
  expect(error.message.length).toBeLessThan(8 * 1024);
  expect(error.serverMessage).toBe(message);
  expect(new LibvirtProtocolError(message).message.length).toBeLessThan(8 * 1024);
});
