import type { FieldType } from './field-type.ts';
import type { StructTypes } from './struct-types.ts';

/** The fields of every struct, in the order of the wire. */
export const structs: {
  readonly [Name in keyof StructTypes]: { readonly [Field in keyof StructTypes[Name]]: FieldType };
} = {
  domain: { name: 'str', uuid: 'uuid', id: 'i32' },
  network: { name: 'str', uuid: 'uuid' },
  checkpoint: { name: 'str', dom: 'domain' },
};
