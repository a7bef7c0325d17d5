import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LibvirtProtocolError, LibvirtUsageError } from '../errors.ts';
import { Framer } from '../rpc/framer.ts';
import { encodePacket, type Packet } from '../rpc/packet.ts';
import { arbitraryFields } from './arbitrary.fixture.ts';
import type { Fields, FieldType } from './field-type.ts';
import { beyondFields, most } from './maxima.fixture.ts';
import { shapeOf } from './shape.ts';
import { decodeFields, encodeFields } from './struct-codec.ts';
import { Writer } from './writer.ts';

export interface Golden {
  readonly hex: string;
  readonly value: Record<string, unknown>;
}

const HEADER = { program: 0x20008086, procedure: 7, type: 1, serial: 9, status: 0 };

function encode(fields: Fields, value: Record<string, unknown>): Buffer {
  const writer = new Writer();
  encodeFields(fields, value as never, writer);
  return writer.finish();
}

function decodeOrRefuse(fields: Fields, payload: Buffer): unknown {
  try {
    return decodeFields(fields, payload);
  } catch (error) {
    if (error instanceof LibvirtProtocolError) return undefined;
    throw error;
  }
}

/** The error that decoding gives; undefined if it gives a value. */
function refusal(fields: Fields, payload: Buffer): unknown {
  try {
    decodeFields(fields, payload);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The checks that every struct on the wire gets. */
export function checkSchema(fields: Fields, golden?: Golden): void {
  const values = arbitraryFields(fields);
  const [sample = {}] = fc.sample(values, { numRuns: 1, seed: 3 });
  if (golden !== undefined)
    test('golden bytes', () => {
      expect(encode(fields, golden.value).toString('hex')).toBe(golden.hex);
      expect(decodeFields(fields, Buffer.from(golden.hex, 'hex'))).toEqual(golden.value);
    });

  test('round trip', () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(decodeFields(fields, encode(fields, value))).toEqual(value);
      }),
      { numRuns: 15 },
    );
  });

  test('every split offset', () => {
    const packet = encodePacket(HEADER, fields, sample as never);
    const stream = Buffer.concat([packet, packet]);
    const wrong: number[] = [];
    let payloads: Buffer[] = [];
    const framer = new Framer(({ payload }: Packet) => payloads.push(payload));
    for (let at = 1; at < stream.length; at++) {
      payloads = [];
      framer.push(Buffer.from(stream.subarray(0, at)));
      framer.push(Buffer.from(stream.subarray(at)));
      const [first, second, ...more] = payloads.map((payload) => payload.equals(packet.subarray(28)));
      if (!first || !second || more.length > 0 || framer.pending > 0) wrong.push(at);
    }
    expect(wrong).toEqual([]);
    expect(payloads.map((payload) => decodeFields(fields, payload))).toEqual([sample, sample]);
  });

  test('an end at every byte, and bytes behind the end', () => {
    const bytes = encode(fields, sample);
    const accepted: number[] = [];
    for (let end = 0; end < bytes.length; end++)
      if (!(refusal(fields, bytes.subarray(0, end)) instanceof LibvirtProtocolError)) accepted.push(end);
    expect(accepted).toEqual([]);
    for (const more of [1, 4, 8])
      expect(refusal(fields, Buffer.concat([bytes, Buffer.alloc(more)]))).toBeInstanceOf(
        LibvirtProtocolError,
      );
  });

  test('random and damaged bytes give a value or a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        decodeOrRefuse(fields, Buffer.from(bytes));
      }),
      { numRuns: 30 },
    );
    fc.assert(
      fc.property(values, fc.nat(), fc.constantFrom(0x00, 0x7f, 0x80, 0xff), (value, at, byte) => {
        const bytes = encode(fields, value);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        decodeOrRefuse(fields, bytes);
      }),
      { numRuns: 15 },
    );
  });

  const limits = beyondFields(fields);
  if (limits.length > 0)
    test('every maximum, at every depth and in both directions', () => {
      for (const { where, value, bytes, hasCount } of limits) {
        expect(() => encode(fields, value as never), where).toThrow(LibvirtUsageError);
        if (!hasCount) continue;
        const error = refusal(fields, Buffer.concat([bytes, Buffer.alloc(64)]));
        expect(error, where).toBeInstanceOf(LibvirtProtocolError);
        expect((error as Error).message, where).toMatch(/, more than \d+$/);
      }
    });
}

/** The most that a type can hold passes in both directions. */
export function checkMaximum(type: FieldType): void {
  const shape = shapeOf(type);
  const limit = most(shape.kind === 'optional' ? shape.item : shape);
  if (limit === undefined) return;
  test(`${type} at its maximum`, () => {
    const optional = shape.kind === 'optional' ? Buffer.of(0, 0, 0, 1) : Buffer.alloc(0);
    const bytes = Buffer.concat([optional, limit.bytes]);
    const fields = { it: type };
    expect(encode(fields, { it: limit.value }).equals(bytes)).toBe(true);
    expect(isDeepStrictEqual(decodeFields(fields, bytes), { it: limit.value })).toBe(true);
  });
}
