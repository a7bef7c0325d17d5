import { LibvirtProtocolError, LibvirtUsageError } from '../errors.ts';
import type { Fields, StructOf } from './field-type.ts';
import { Reader } from './reader.ts';
import { type Codec, scalars } from './scalars.ts';
import { type Shape, shapeOf } from './shape.ts';
import { Writer } from './writer.ts';

type Struct = Record<string, unknown>;

const structCodecs = new WeakMap<Fields, Codec<Struct>>();

/** Adds the fields to what the writer holds. */
export function encodeFields<F extends Fields>(fields: F, value: StructOf<F>, writer: Writer): void {
  structCodec(fields).encode(writer, value);
}

/**
 * Reads the fields, which must make up the whole payload.
 *
 * @throws LibvirtProtocolError
 */
export function decodeFields<F extends Fields>(fields: F, payload: Buffer): StructOf<F> {
  const reader = new Reader(payload);
  const value = structCodec(fields).decode(reader);
  if (reader.remaining > 0)
    throw new LibvirtProtocolError(`a payload of ${payload.length} bytes has ${reader.remaining} too many`);
  return value as StructOf<F>;
}

function structCodec(fields: Fields): Codec<Struct> {
  let codec = structCodecs.get(fields);
  if (codec === undefined) structCodecs.set(fields, (codec = makeStructCodec(fields)));
  return codec;
}

function makeStructCodec(fields: Fields): Codec<Struct> {
  const members = Object.entries(fields).map(([name, type]) => ({ name, codec: codecOf(shapeOf(type)) }));
  return {
    encode(writer, value) {
      for (const { name, codec } of members) {
        try {
          codec.encode(writer, value[name]);
        } catch (error) {
          throw within(name, error);
        }
      }
    },
    decode(reader) {
      const value: Struct = {};
      for (const { name, codec } of members) {
        try {
          value[name] = codec.decode(reader);
        } catch (error) {
          throw within(name, error);
        }
      }
      return value;
    },
  };
}

/** The error with the name of the field in front. */
function within(name: string, error: unknown): unknown {
  const options = { cause: error };
  if (error instanceof LibvirtUsageError) return new LibvirtUsageError(`${name}: ${error.message}`, options);
  if (error instanceof LibvirtProtocolError)
    return new LibvirtProtocolError(`${name}: ${error.message}`, options);
  return error;
}

function codecOf(shape: Shape): Codec<unknown> {
  switch (shape.kind) {
    case 'scalar':
      return scalars[shape.name];
    case 'struct':
      return nonNull(structCodec(shape.fields));
    case 'optional':
      return optional(codecOf(shape.item));
    case 'array':
      return array(codecOf(shape.item), shape.max);
    case 'bytes':
      return bytes(shape);
  }
}

function nonNull(codec: Codec<Struct>): Codec<unknown> {
  return {
    encode(writer, value) {
      if (typeof value !== 'object' || value === null) throw new LibvirtUsageError('the object is missing');
      codec.encode(writer, value as Struct);
    },
    decode: (reader) => codec.decode(reader),
  };
}

function optional(codec: Codec<unknown>): Codec<unknown> {
  return {
    encode(writer, value) {
      writer.u32(value === null ? 0 : 1);
      if (value !== null) codec.encode(writer, value);
    },
    decode(reader) {
      const present = reader.u32();
      if (present > 1)
        throw new LibvirtProtocolError(`${present} in place of 0 or 1 (RFC 4506, section 4.19)`);
      return present === 1 ? codec.decode(reader) : null;
    },
  };
}

function array(codec: Codec<unknown>, max: number): Codec<unknown> {
  return {
    encode(writer, value) {
      if (!Array.isArray(value)) throw new LibvirtUsageError('the array is missing');
      if (value.length > max) throw new LibvirtUsageError(`${value.length} elements, more than ${max}`);
      writer.u32(value.length);
      for (const item of value) codec.encode(writer, item);
    },
    decode(reader) {
      const count = reader.u32();
      if (count > max) throw new LibvirtProtocolError(`${count} elements, more than ${max}`);
      const items: unknown[] = [];
      // Grows with what is really there: every element takes at least 4 bytes of the payload.
      while (items.length < count) items.push(codec.decode(reader));
      return items;
    },
  };
}

function bytes({ width, max, fixed }: Shape & { kind: 'bytes' }): Codec<Uint8Array> {
  return {
    encode(writer, value) {
      if (!(value instanceof Uint8Array)) throw new LibvirtUsageError('the bytes are missing');
      if (fixed ? value.length !== max : value.length > max)
        throw new LibvirtUsageError(`${value.length} bytes, not ${fixed ? 'exactly' : 'at most'} ${max}`);
      if (!fixed) writer.u32(value.length);
      if (width === 1) writer.bytes(value);
      else for (const byte of value) writer.i32((byte << 24) >> 24);
    },
    decode(reader) {
      const count = fixed ? max : reader.u32();
      if (count > max) throw new LibvirtProtocolError(`${count} bytes, more than ${max}`);
      // A copy: the payload may be a view of a much larger buffer.
      if (width === 1) return Uint8Array.from(reader.bytes(count));
      const wide = reader.bytes(count * width);
      return Uint8Array.from({ length: count }, (_, index) => wideCharacter(wide.readInt32BE(index * width)));
    },
  };
}

/** `char` is signed on some machines and unsigned on others. */
function wideCharacter(value: number): number {
  if (value < -128 || value > 255)
    throw new LibvirtProtocolError(`${value} is not a character, which is within -128 to 255`);
  return value;
}
