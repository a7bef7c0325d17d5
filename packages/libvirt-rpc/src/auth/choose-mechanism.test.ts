import { expect, test } from 'vitest';
import { LibvirtAuthError, LibvirtUsageError } from '../errors.ts';
import { checkedMechanisms, chooseMechanism } from './choose-mechanism.ts';
import { SASL_MECHANISMS } from './sasl-exchange.ts';

test.each([
  ['SCRAM-SHA-1,PLAIN,SCRAM-SHA-256', 'SCRAM-SHA-256'],
  ['DIGEST-MD5,plain,scram-sha-1', 'SCRAM-SHA-1'],
  ['PLAIN', 'PLAIN'],
  ['SCRAM-SHA-256-PLUS,SCRAM-SHA-1', 'SCRAM-SHA-1'],
])('of %s the strongest', (offered, chosen) => {
  expect(chooseMechanism(offered, SASL_MECHANISMS)).toBe(chosen);
});

test('in the order that is wanted', () => {
  const offered = 'SCRAM-SHA-256,SCRAM-SHA-1,PLAIN';
  expect(chooseMechanism(offered, ['PLAIN', 'SCRAM-SHA-256'])).toBe('PLAIN');
});

test('others are refused, with the reason and all that was offered', () => {
  const choose = (offered: string): (() => unknown) => {
    return () => chooseMechanism(offered, SASL_MECHANISMS);
  };
  expect(choose('GSSAPI,DIGEST-MD5,ANONYMOUS,X\u001b')).toThrow(LibvirtAuthError);
  expect(choose('GSSAPI,DIGEST-MD5,ANONYMOUS,X\u001b')).toThrow(
    "it offers GSSAPI (needs the system's Kerberos library), DIGEST-MD5 (broken and obsolete, RFC 6331), " +
      'ANONYMOUS (proves nothing), X\\u{1b}; this side may use SCRAM-SHA-256, SCRAM-SHA-1, PLAIN',
  );
  expect(choose('')).toThrow('it offers none');
  expect(choose('GSSAPI')).toThrow(expect.objectContaining({ reason: 'unsupported' }));
  expect(() => chooseMechanism('PLAIN', ['SCRAM-SHA-256'])).toThrow('this side may use SCRAM-SHA-256');
});

test('a choice of mechanisms', () => {
  expect(checkedMechanisms(['plain', 'SCRAM-SHA-1'], 'x')).toEqual(['PLAIN', 'SCRAM-SHA-1']);
  for (const wrong of [[], ['GSSAPI'], ['PLAIN', 'DIGEST-MD5'], ['']])
    expect(() => checkedMechanisms(wrong, 'x')).toThrow(LibvirtUsageError);
});
