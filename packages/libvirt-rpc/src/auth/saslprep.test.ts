import { expect, test } from 'vitest';
import { isPrepared } from './saslprep.ts';

test.each([
  '',
  'pencil',
  ' two  words ',
  '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~',
  'Größe',
  'пароль',
  '密码',
  '🔑',
])('%j is used as it is', (text) => {
  expect(isPrepared(text)).toBe(true);
});

test.each([
  ['a control character', 'a\u0007'],
  ['a no-break space', 'a\u00a0b'],
  ['a soft hyphen', 'I\u00adX'], // RFC 4013, section 3, example 1
  ['a compatibility character', '\u00aa'], // example 4
  ['a ligature', '\u2168'], // example 5
  ['a right-to-left letter', '\u06271'], // example 7
  ['not composed', 'e\u0301'],
  ['a variation selector', 'a\ufe0f'],
  ['private use', '\ue000'],
  ['a replacement character', '\ufffd'],
  ['half a pair', '\ud800'],
  ['not assigned', '\u0378'],
  ['a byte order mark', '\ufeffa'],
])('%s is not', (_, text) => {
  expect(isPrepared(text)).toBe(false);
});
