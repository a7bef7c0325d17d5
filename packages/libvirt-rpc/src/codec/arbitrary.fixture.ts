import fc from 'fast-check';
import type { Fields } from './field-type.ts';
import { type ScalarName, type Shape, shapeOf } from './shape.ts';

const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((value) => !/[\0\p{Cs}]/u.test(value));

const scalars: { readonly [Name in ScalarName]: fc.Arbitrary<unknown> } = {
  i32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  u32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  i64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  f64: fc.double(),
  bool: fc.boolean(),
  char: fc.integer({ min: -128, max: 127 }),
  uchar: fc.integer({ min: 0, max: 255 }),
  ushort: fc.integer({ min: 0, max: 65535 }),
  str: text,
  uuid: fc.uuid(),
  param: fc.record({
    field: text,
    value: fc.oneof(
      fc.record({ type: fc.constant(1), value: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) }),
      fc.record({ type: fc.constant(2), value: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
      fc.record({ type: fc.constant(3), value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
      fc.record({ type: fc.constant(4), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
      fc.record({ type: fc.constant(5), value: fc.double() }),
      fc.record({ type: fc.constant(6), value: fc.boolean() }),
      fc.record({ type: fc.constant(7), value: text }),
    ),
  }),
};

function arbitraryOf(shape: Shape): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case 'scalar':
      return scalars[shape.name];
    case 'struct':
      return arbitraryFields(shape.fields);
    case 'optional':
      return fc.option(arbitraryOf(shape.item), { nil: null });
    case 'array':
      return fc.array(arbitraryOf(shape.item), { maxLength: Math.min(shape.max, 4) });
    case 'bytes':
      return fc.uint8Array({
        minLength: shape.fixed ? shape.max : 0,
        maxLength: shape.fixed ? shape.max : Math.min(shape.max, 40),
      });
  }
}

/** Any value that the fields of a schema row can hold. */
export function arbitraryFields(fields: Fields): fc.Arbitrary<Record<string, unknown>> {
  const members = Object.entries(fields).map(([name, type]): [string, fc.Arbitrary<unknown>] => [
    name,
    arbitraryOf(shapeOf(type)),
  ]);
  return fc.record(Object.fromEntries(members), { noNullPrototype: true });
}
