import type { FieldType } from './field-type.ts';
import type { StructTypes } from './struct-types.ts';

/** The fields of every struct, in the order of the wire. */
export const structs: {
  readonly [Name in keyof StructTypes]: { readonly [Field in keyof StructTypes[Name]]: FieldType };
} = {
  domain: { name: 'str', uuid: 'uuid', id: 'i32' },
  network: { name: 'str', uuid: 'uuid' },
  checkpoint: { name: 'str', dom: 'domain' },
  storagePool: { name: 'str', uuid: 'uuid' },
  storageVol: { pool: 'str', name: 'str', key: 'str' },
  nodeDevice: { name: 'str' },
  secret: { uuid: 'uuid', usageType: 'i32', usageID: 'str' },
  graphicsAddress: { family: 'i32', node: 'str', service: 'str' },
  graphicsIdentity: { type: 'str', name: 'str' },
};
