import { REMOTE_STRING_MAX } from '../protocol/limits.ts';
import type { Fields } from './field-type.ts';
import { type ScalarName, type Shape, shapeOf } from './shape.ts';

/** The same thing for both directions: to encode, and as it stands on the wire. */
export interface Twofold {
  readonly value: unknown;
  readonly bytes: Buffer;
}

/** A place where a value is one more than its maximum. */
export interface Beyond extends Twofold {
  /** The names on the way there. */
  readonly where: string;
  /** Whether the wire holds a count that can be too large; with a fixed length it does not. */
  readonly hasCount: boolean;
}

const longest = 'x'.repeat(REMOTE_STRING_MAX);
const tooLong = `${longest}x`;
const none = Buffer.alloc(0);

function words(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  numbers.forEach((number, index) => bytes.writeUInt32BE(number, index * 4));
  return bytes;
}

/** The least that a type can hold, made without the codec. */
function least(shape: Shape): Twofold {
  switch (shape.kind) {
    case 'scalar':
      return leastScalar(shape.name);
    case 'struct': {
      const members = Object.entries(shape.fields).map(([name, type]) => ({ name, ...least(shapeOf(type)) }));
      return {
        value: Object.fromEntries(members.map(({ name, value }) => [name, value])),
        bytes: Buffer.concat(members.map(({ bytes }) => bytes)),
      };
    }
    case 'optional':
      return { value: null, bytes: words(0) };
    case 'array':
      return { value: [], bytes: words(0) };
    case 'bytes':
      return shape.fixed
        ? { value: new Uint8Array(shape.max), bytes: Buffer.alloc((shape.max * shape.width + 3) & ~3) }
        : { value: new Uint8Array(), bytes: words(0) };
  }
}

function leastScalar(name: ScalarName): Twofold {
  switch (name) {
    case 'i64':
    case 'u64':
      return { value: 0n, bytes: words(0, 0) };
    case 'f64':
      return { value: 0, bytes: words(0, 0) };
    case 'bool':
      return { value: false, bytes: words(0) };
    case 'str':
      return { value: '', bytes: words(0) };
    case 'uuid':
      return { value: '00000000-0000-0000-0000-000000000000', bytes: words(0, 0, 0, 0) };
    case 'param':
      return { value: { field: '', value: { type: 1, value: 0 } }, bytes: words(0, 1, 0) };
    default:
      return { value: 0, bytes: words(0) };
  }
}

/** The most that a type can hold where it has a maximum of its own, made without the codec. */
export function most(shape: Shape): Twofold | undefined {
  if (shape.kind === 'scalar' && shape.name === 'str')
    return { value: longest, bytes: Buffer.concat([words(longest.length), Buffer.from(longest)]) };
  if (shape.kind === 'array') {
    const item = least(shape.item);
    const list = Buffer.alloc(item.bytes.length * shape.max, item.bytes);
    return { value: new Array(shape.max).fill(item.value), bytes: Buffer.concat([words(shape.max), list]) };
  }
  if (shape.kind === 'bytes' && !shape.fixed) {
    const bytes = Buffer.alloc((shape.max * shape.width + 3) & ~3);
    return { value: new Uint8Array(shape.max), bytes: Buffer.concat([words(shape.max), bytes]) };
  }
  return undefined;
}

/** Every maximum within a type, broken by one; the bytes end behind the count. */
export function beyond(shape: Shape): Beyond[] {
  switch (shape.kind) {
    case 'scalar':
      return beyondScalar(shape.name);
    case 'struct':
      return beyondFields(shape.fields);
    case 'optional':
      return beyond(shape.item).map((one) => behind(words(1), one));
    case 'array': {
      const value = new Array(shape.max + 1).fill(least(shape.item).value);
      const inside = beyond(shape.item).map((one) => ({ ...behind(words(1), one), value: [one.value] }));
      return [{ where: '', value, bytes: words(shape.max + 1), hasCount: true }, ...inside];
    }
    case 'bytes':
      return [
        {
          where: '',
          value: new Uint8Array(shape.max + 1),
          bytes: words(shape.max + 1),
          hasCount: !shape.fixed,
        },
      ];
  }
}

/** The same for all fields of a row. */
export function beyondFields(fields: Fields): Beyond[] {
  const { value, bytes } = least({ kind: 'struct', fields });
  const found: Beyond[] = [];
  let before: Buffer = none;
  for (const [name, type] of Object.entries(fields)) {
    for (const one of beyond(shapeOf(type)))
      found.push({
        ...behind(before, one),
        where: `${name} ${one.where}`,
        value: { ...(value as object), [name]: one.value },
      });
    before = bytes.subarray(0, before.length + least(shapeOf(type)).bytes.length);
  }
  return found;
}

function beyondScalar(name: string): Beyond[] {
  const long = { value: tooLong, bytes: words(tooLong.length), hasCount: true };
  if (name === 'str') return [{ where: '', ...long }];
  if (name !== 'param') return [];
  return [
    { ...long, where: 'field', value: { field: tooLong, value: { type: 1, value: 0 } } },
    {
      ...long,
      where: 'value',
      value: { field: '', value: { type: 7, value: tooLong } },
      bytes: words(0, 7, tooLong.length),
    },
  ];
}

function behind(before: Buffer, one: Beyond): Beyond {
  return { ...one, bytes: Buffer.concat([before, one.bytes]) };
}
