import type { StructTypes } from './struct-types.ts';
import type { TypedParameter } from './typed-parameter.ts';

/** What a field can be, and its type in TypeScript. All but the 64-bit ones occupy multiples of 4 bytes. */
export interface ScalarTypes {
  i32: number;
  u32: number;
  i64: bigint;
  u64: bigint;
  f64: number;
  /** An int that is 0 or not 0. */
  bool: boolean;
  /** `char`, `unsigned char` and `unsigned short` occupy 4 bytes on the wire. */
  char: number;
  uchar: number;
  ushort: number;
  /** UTF-8, at most REMOTE_STRING_MAX bytes. */
  str: string;
  /** 16 bytes; the canonical string with hyphens in TypeScript. */
  uuid: string;
  /** A typed parameter: name, type and value. */
  param: TypedParameter;
}

interface BaseTypes extends ScalarTypes, StructTypes {}

type Base = keyof BaseTypes;

/** Bytes: `opaque` takes one byte each on the wire, an array of `char` four. */
type Bytes = `${'opaque' | 'char'}${`[${number}]` | `{${number}}`}`;

/** The TypeScript type of a field type. */
export type ValueOf<T extends string> = T extends Base
  ? BaseTypes[T]
  : T extends `${infer B extends Base}?`
    ? BaseTypes[B] | null
    : T extends Bytes
      ? Uint8Array
      : T extends `${infer B extends Base}[${string}`
        ? readonly BaseTypes[B][]
        : never;

/**
 * How a schema row writes a field: a scalar or a struct (`u32`, `domain`), one that may be missing (`str?`),
 * an array with its maximum (`domain[16384]`), bytes with their maximum (`opaque[65536]`) or exact number
 * (`opaque{16}`), and characters of 4 bytes each (`char[64]`, `char{32}`).
 */
export type FieldType = Base | `${Base}?` | `${Exclude<Base, 'char'>}[${number}]` | Bytes;

/** The fields of an argument or reply struct, in the order of the wire. */
export type Fields = Readonly<Record<string, FieldType>>;

/** The TypeScript type of a struct. */
export type StructOf<F extends Fields> = { readonly [Name in keyof F]: ValueOf<F[Name]> };
