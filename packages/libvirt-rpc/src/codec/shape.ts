import type { Fields, FieldType, ScalarTypes } from './field-type.ts';
import { structs } from './structs.ts';

export type ScalarName = keyof ScalarTypes;

/** A field type taken apart. */
export type Shape =
  | { readonly kind: 'scalar'; readonly name: ScalarName }
  | { readonly kind: 'struct'; readonly fields: Fields }
  | { readonly kind: 'optional'; readonly item: Shape }
  | { readonly kind: 'array'; readonly item: Shape; readonly max: number }
  | {
      readonly kind: 'bytes';
      /** Bytes that each element occupies on the wire: opaque 1, char 4. */
      readonly width: 1 | 4;
      readonly max: number;
      /** Whether there are exactly `max`, and no count on the wire. */
      readonly fixed: boolean;
    };

const shapes = new Map<string, Shape>();

/** Takes a field type of a schema row apart. */
export function shapeOf(type: FieldType): Shape {
  let shape = shapes.get(type);
  if (shape === undefined) shapes.set(type, (shape = parse(type)));
  return shape;
}

function parse(type: string): Shape {
  const [, base, suffix = '', digits = ''] =
    /^([a-z0-9A-Z]+)(\?|\[(?=\d+\])|\{(?=\d+\}))?(\d+)?[\]}]?$/.exec(type) ?? [];
  if (base === undefined) throw new TypeError(`not a field type: ${type}`);
  const max = Number(digits);
  if (suffix !== '' && suffix !== '?' && (base === 'opaque' || base === 'char'))
    return { kind: 'bytes', width: base === 'char' ? 4 : 1, max, fixed: suffix === '{' };
  const item = baseShape(base);
  if (suffix === '?') return { kind: 'optional', item };
  if (suffix === '[') return { kind: 'array', item, max };
  return item;
}

function baseShape(base: string): Shape {
  if (Object.hasOwn(structs, base)) return { kind: 'struct', fields: structs[base as keyof typeof structs] };
  return { kind: 'scalar', name: base as ScalarName };
}
