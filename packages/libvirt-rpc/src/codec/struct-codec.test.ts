import { describe, expect, test } from 'vitest';
import { LibvirtProtocolError, LibvirtUsageError } from '../errors.ts';
import { checkSchema } from './check-schema.fixture.ts';
import type { Fields } from './field-type.ts';
import { decodeFields, encodeFields } from './struct-codec.ts';
import { Writer } from './writer.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function encode(fields: Fields, value: Record<string, unknown>): string {
  const writer = new Writer();
  encodeFields(fields, value as never, writer);
  return writer.finish().toString('hex');
}

describe('every type', () => {
  checkSchema(
    { a: 'i64', b: 'u64', c: 'f64', d: 'bool', e: 'char', f: 'uchar', g: 'ushort', h: 'i32', i: 'u32' },
    {
      hex: 'ffffffffffffffff00000000000000023ff000000000000000000001ffffff80000000ff0000fffffffffffeffffffff',
      value: { a: -1n, b: 2n, c: 1, d: true, e: -128, f: 255, g: 65535, h: -2, i: 4294967295 },
    },
  );
  checkSchema(
    {
      fixed: 'opaque{6}',
      some: 'opaque[9]',
      wide: 'char{2}',
      list: 'char[5]',
      ids: 'uuid[3]',
      dom: 'domain?',
    },
    {
      hex: '0102030405060000 00000001ff000000 00000061ffffff80 00000000 00000000 00000000'.replaceAll(
        ' ',
        '',
      ),
      value: {
        fixed: Uint8Array.of(1, 2, 3, 4, 5, 6),
        some: Uint8Array.of(255),
        wide: Uint8Array.of(0x61, 0x80),
        list: new Uint8Array(),
        ids: [],
        dom: null,
      },
    },
  );
});

describe('what the peer may not send', () => {
  test.each<[string, Fields, string]>([
    ['an array beyond its maximum', { a: 'str[2]' }, '00000003 00000000 00000000 00000000'],
    ['a count of 4294967295', { a: 'domain[16384]' }, 'ffffffff'],
    ['a count that the payload cannot hold', { a: 'domain[16384]' }, '00004000'],
    ['bytes beyond their maximum', { a: 'opaque[4]' }, '00000005 0102030405000000'],
    ['characters beyond their maximum', { a: 'char[1]' }, '00000002 00000000 00000000'],
    ['a string beyond 4 MiB', { a: 'str' }, '00400001'],
    ['a string of 4294967295 bytes', { a: 'str' }, 'ffffffff'],
    ['a string that is not UTF-8', { a: 'str' }, '00000002 c3280000'],
    ['an optional of 2', { a: 'i32?' }, '00000002 00000000'],
    ['a wide character of 256', { a: 'char[2]' }, '00000001 00000100'],
    ['a wide character of -129', { a: 'char{1}' }, 'ffffff7f'],
    ['an unsigned char of 256', { a: 'uchar' }, '00000100'],
    ['a typed parameter of type 8', { a: 'param[1]' }, '00000001 00000000 00000008 00000000'],
    ['something behind the last field', { a: 'i32' }, '00000000 00000000'],
  ])('%s', (_, fields, payload) => {
    expect(() => decodeFields(fields, hex(payload))).toThrow(LibvirtProtocolError);
  });
});

describe('what the caller may not give', () => {
  test.each<[string, Fields, unknown]>([
    ['a fraction', { a: 'i32' }, 1.5],
    ['a number too large', { a: 'u32' }, 2 ** 32],
    ['a number for a 64-bit value', { a: 'u64' }, 1],
    ['a bigint too large', { a: 'u64' }, 2n ** 64n],
    ['no number', { a: 'f64' }, '1'],
    ['no boolean', { a: 'bool' }, 1],
    ['a string with NUL', { a: 'str' }, 'a\0b'],
    ['half a surrogate pair', { a: 'str' }, '\ud800'],
    ['nothing', { a: 'str' }, undefined],
    ['no UUID', { a: 'uuid' }, 'x'],
    ['no object', { a: 'domain' }, null],
    ['no array', { a: 'str[2]' }, 'ab'],
    ['an array too long', { a: 'str[1]' }, ['', '']],
    ['too few bytes', { a: 'opaque{2}' }, Uint8Array.of(1)],
    ['too many bytes', { a: 'opaque[1]' }, Uint8Array.of(1, 2)],
    ['no bytes', { a: 'opaque[1]' }, 'a'],
    ['an unknown parameter type', { a: 'param[1]' }, [{ field: 'f', value: { type: 9, value: 1 } }]],
  ])('%s', (_, fields, value) => {
    expect(() => encode(fields, { a: value })).toThrow(LibvirtUsageError);
    expect(() => encode(fields, { a: value })).toThrow(/^a: /);
  });

  test('more than fits in a packet', () => {
    const large = 'x'.repeat(4 * 1024 * 1024);
    expect(() => encode({ a: 'str[16]' }, { a: new Array(9).fill(large) })).toThrow(LibvirtUsageError);
  });
});

test('the message names the field and shows no control characters', () => {
  const payload = hex('00000001 00000002 1b5b0000 00000063');
  expect(() => decodeFields({ params: 'param[3]' }, payload)).toThrow(
    'params: parameter \\u{1b}[ has the unknown type 99',
  );
});
