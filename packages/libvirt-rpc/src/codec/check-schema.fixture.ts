import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LibvirtProtocolError, LibvirtUsageError } from '../errors.ts';
import { Framer } from '../rpc/framer.ts';
import { encodePacket, type Packet } from '../rpc/packet.ts';
import { arbitraryFields, overMaximum } from './arbitrary.fixture.ts';
import type { Fields } from './field-type.ts';
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

/** The checks that every struct on the wire gets. */
export function checkSchema(fields: Fields, golden?: Golden): void {
  const values = arbitraryFields(fields);
  if (golden !== undefined)
    test('golden bytes', () => {
      expect(encode(fields, golden.value).toString('hex')).toBe(golden.hex);
      expect(decodeFields(fields, Buffer.from(golden.hex, 'hex'))).toEqual(golden.value);
    });

  test('round trip, and every truncation is noticed', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encode(fields, value);
        expect(decodeFields(fields, bytes)).toEqual(value);
        if (bytes.length === 0) return;
        const cut = bytes.subarray(0, bytes.length - 4);
        expect(() => decodeFields(fields, cut)).toThrow(LibvirtProtocolError);
      }),
      { numRuns: 25 },
    );
  });

  test('every split offset', () => {
    const [value = {}] = fc.sample(values, { numRuns: 1, seed: 3 });
    const packet = encodePacket(HEADER, fields, value as never);
    const stream = Buffer.concat([packet, packet]);
    for (let at = 1; at < stream.length; at++) {
      const decoded: unknown[] = [];
      const framer = new Framer(({ payload }: Packet) => decoded.push(decodeFields(fields, payload)));
      framer.push(Buffer.from(stream.subarray(0, at)));
      framer.push(Buffer.from(stream.subarray(at)));
      expect(decoded).toEqual([value, value]);
      expect(framer.pending).toBe(0);
    }
  });

  test('random and damaged bytes give a value or a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        decodeOrRefuse(fields, Buffer.from(bytes));
      }),
      { numRuns: 50 },
    );
    fc.assert(
      fc.property(values, fc.nat(), fc.constantFrom(0x00, 0x7f, 0x80, 0xff), (value, at, byte) => {
        const bytes = encode(fields, value);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        decodeOrRefuse(fields, bytes);
      }),
      { numRuns: 25 },
    );
  });

  for (const [name, type] of Object.entries(fields)) {
    const tooMuch = overMaximum(type);
    if (tooMuch === undefined) continue;
    test(`${name} beyond its maximum is not encoded`, () => {
      const [value = {}] = fc.sample(values, { numRuns: 1, seed: 5 });
      expect(() => encode(fields, { ...value, [name]: tooMuch })).toThrow(LibvirtUsageError);
    });
  }
}
