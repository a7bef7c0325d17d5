import { LibvirtProtocolError, LibvirtUsageError } from '../errors.ts';
import { virTypedParameterType } from '../protocol/constants.ts';
import { REMOTE_STRING_MAX } from '../protocol/limits.ts';
import type { ScalarTypes } from './field-type.ts';
import type { Reader } from './reader.ts';
import type { TypedValue } from './typed-parameter.ts';
import { uuidToBytes, uuidToString } from './uuid.ts';
import type { Writer } from './writer.ts';

/** Both directions of one type. */
export interface Codec<T> {
  /** @throws LibvirtUsageError if the value does not fit the type */
  encode(writer: Writer, value: T): void;
  /** @throws LibvirtProtocolError if the bytes break the type */
  decode(reader: Reader): T;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function integer(value: unknown, least: number, most: number): number {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
    throw new LibvirtUsageError(`${String(value)} is not an integer from ${least} to ${most}`);
  return value as number;
}

function bigInteger(value: unknown, least: bigint, most: bigint): bigint {
  if (typeof value !== 'bigint' || value < least || value > most)
    throw new LibvirtUsageError(`${String(value)} is not a bigint from ${String(least)} to ${String(most)}`);
  return value;
}

/** A type smaller than the 4 bytes it occupies. */
function small(least: number, most: number): Codec<number> {
  return {
    encode(writer, value) {
      writer.i32(integer(value, least, most));
    },
    decode(reader) {
      const value = reader.i32();
      if (value < least || value > most)
        throw new LibvirtProtocolError(`${value} is not within ${least} to ${most}`);
      return value;
    },
  };
}

const i32: Codec<number> = {
  encode(writer, value) {
    writer.i32(integer(value, -(2 ** 31), 2 ** 31 - 1));
  },
  decode: (reader) => reader.i32(),
};

const u32: Codec<number> = {
  encode(writer, value) {
    writer.u32(integer(value, 0, 2 ** 32 - 1));
  },
  decode: (reader) => reader.u32(),
};

const i64: Codec<bigint> = {
  encode(writer, value) {
    writer.i64(bigInteger(value, -(2n ** 63n), 2n ** 63n - 1n));
  },
  decode: (reader) => reader.i64(),
};

const u64: Codec<bigint> = {
  encode(writer, value) {
    writer.u64(bigInteger(value, 0n, 2n ** 64n - 1n));
  },
  decode: (reader) => reader.u64(),
};

const f64: Codec<number> = {
  encode(writer, value) {
    if (typeof value !== 'number') throw new LibvirtUsageError(`${String(value)} is not a number`);
    writer.f64(value);
  },
  decode: (reader) => reader.f64(),
};

const bool: Codec<boolean> = {
  encode(writer, value) {
    if (typeof value !== 'boolean') throw new LibvirtUsageError(`${String(value)} is not a boolean`);
    writer.i32(value ? 1 : 0);
  },
  decode: (reader) => reader.i32() !== 0,
};

const str: Codec<string> = {
  encode(writer, value) {
    const length = typeof value === 'string' ? Buffer.byteLength(value) : 0;
    if (length > REMOTE_STRING_MAX)
      throw new LibvirtUsageError(`a string has ${length} bytes, more than ${REMOTE_STRING_MAX}`);
    // To C the string would end at the first NUL; a lone surrogate would arrive as another character.
    if (typeof value !== 'string' || /[\0\p{Cs}]/u.test(value))
      throw new LibvirtUsageError('a string is missing, holds a NUL character or is not well-formed Unicode');
    writer.u32(length);
    writer.bytes(Buffer.from(value));
  },
  decode(reader) {
    const length = reader.u32();
    if (length > REMOTE_STRING_MAX)
      throw new LibvirtProtocolError(`a string has ${length} bytes, more than ${REMOTE_STRING_MAX}`);
    const bytes = reader.bytes(length);
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw new LibvirtProtocolError(`a string of ${length} bytes is not UTF-8`, { cause });
    }
  },
};

const uuid: Codec<string> = {
  encode(writer, value) {
    const bytes = typeof value === 'string' ? uuidToBytes(value) : undefined;
    if (bytes === undefined) throw new LibvirtUsageError(`${JSON.stringify(value)} is not a UUID`);
    writer.bytes(bytes);
  },
  decode: (reader) => uuidToString(reader.bytes(16)),
};

const valueCodecs: { readonly [T in TypedValue['type']]: Codec<(TypedValue & { type: T })['value']> } = {
  [virTypedParameterType.VIR_TYPED_PARAM_INT]: i32,
  [virTypedParameterType.VIR_TYPED_PARAM_UINT]: u32,
  [virTypedParameterType.VIR_TYPED_PARAM_LLONG]: i64,
  [virTypedParameterType.VIR_TYPED_PARAM_ULLONG]: u64,
  [virTypedParameterType.VIR_TYPED_PARAM_DOUBLE]: f64,
  [virTypedParameterType.VIR_TYPED_PARAM_BOOLEAN]: bool,
  [virTypedParameterType.VIR_TYPED_PARAM_STRING]: str,
};

function valueCodec(type: number): Codec<TypedValue['value']> | undefined {
  return Object.hasOwn(valueCodecs, type) ? valueCodecs[type as TypedValue['type']] : undefined;
}

const param: Codec<ScalarTypes['param']> = {
  encode(writer, { field, value: { type, value } }) {
    const codec = valueCodec(type);
    if (codec === undefined) throw new LibvirtUsageError(`${type} is not a typed parameter's type`);
    str.encode(writer, field);
    writer.i32(type);
    codec.encode(writer, value);
  },
  decode(reader) {
    const field = str.decode(reader);
    const type = reader.i32();
    const codec = valueCodec(type);
    if (codec === undefined)
      throw new LibvirtProtocolError(`parameter ${field} has the unknown type ${type}`);
    return { field, value: { type, value: codec.decode(reader) } as TypedValue };
  },
};

/** The codecs of all scalar types. */
export const scalars: { readonly [Name in keyof ScalarTypes]: Codec<ScalarTypes[Name]> } = {
  i32,
  u32,
  i64,
  u64,
  f64,
  bool,
  char: small(-128, 127),
  uchar: small(0, 255),
  ushort: small(0, 65535),
  str,
  uuid,
  param,
};
