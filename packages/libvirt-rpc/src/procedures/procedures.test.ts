import { describe, expect, expectTypeOf, test } from 'vitest';
import { checkMaximum, checkSchema, type Golden } from '../codec/check-schema.fixture.ts';
import type { Fields, StructOf } from '../codec/field-type.ts';
import type { CheckpointRef, DomainRef } from '../codec/struct-types.ts';
import type { TypedParameter } from '../codec/typed-parameter.ts';
import type { VirError } from '../libvirt-error.ts';
import { errorFields } from './error-fields.ts';
import { events } from './events.ts';
import { legacyEvents } from './legacy-events.ts';
import { objectEvents } from './object-events.ts';
import { procedures } from './procedures.ts';
import type { ArgsOf, MessageRow, Procedure, ReplyOf } from './row.ts';

/** Captured from a real daemon. */
const golden: Record<string, Golden> = {
  'authList reply': { hex: '0000000100000000', value: { types: [0] } },
  'connectOpen args': {
    hex: '000000010000000f746573743a2f2f2f64656661756c740000000000',
    value: { name: 'test:///default', flags: 0 },
  },
  // Made by hand: a `char` takes four bytes, and is signed.
  'authSaslStart args': {
    hex: '00000005504c41494e00000000000000000000030000000000000041ffffffff',
    value: { mech: 'PLAIN', nil: 0, data: Uint8Array.of(0, 0x41, 0xff) },
  },
  'authSaslStep reply': {
    hex: '000000010000000100000000',
    value: { complete: 1, nil: 1, data: new Uint8Array(0) },
  },
  lifecycle: {
    hex: '0000000000000004746573746695eb01f6a4830479aa97f2502e193f000000010000000300000000',
    value: {
      callbackID: 0,
      dom: { name: 'test', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 },
      event: 3,
      detail: 0,
    },
  },
};

const rows: [string, Procedure][] = Object.entries(procedures);
const eventRows: [string, MessageRow][] = Object.entries({ ...events, ...objectEvents, ...legacyEvents });

/** Rows with the same fields share a codec: it is checked once, under the name of the first. */
const schemas = new Map<
  string,
  { readonly title: string; readonly fields: Fields; golden: Golden | undefined }
>();
function add(title: string, fields: Fields): void {
  const known = schemas.get(JSON.stringify(fields));
  if (known === undefined) schemas.set(JSON.stringify(fields), { title, fields, golden: golden[title] });
  else known.golden ??= golden[title];
}
for (const [key, { args, reply }] of rows) {
  add(`${key} args`, args);
  add(`${key} reply`, reply);
}
for (const [key, { payload }] of eventRows) add(key, payload);

describe.each([...schemas.values()])('$title', ({ fields, golden }) => {
  checkSchema(fields, golden);
});

const types = new Set([...schemas.values()].flatMap(({ fields }) => Object.values(fields)));
for (const type of types) checkMaximum(type);

describe('error', () => {
  checkSchema(errorFields);
});

describe('the table', () => {
  test('names, numbers and keys are unique', () => {
    const all = [...rows.map(([, row]) => row), ...eventRows.map(([, row]) => row)];
    expect(new Set(all.map(({ program, number }) => `${program} ${number}`)).size).toBe(all.length);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    for (const { name, program } of all) expect(name.startsWith(`${program}_PROC_`)).toBe(true);
  });

  test('keys are the names in camelCase', () => {
    const camelCase = (name: string): string =>
      name
        .replace(/^REMOTE_PROC_|_PROC(?=_)/, '')
        .toLowerCase()
        .replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    const keyed = [...rows, ...Object.entries(legacyEvents)];
    expect(keyed.map(([key]) => key)).toEqual(keyed.map(([, { name }]) => camelCase(name)));
  });

  test('types come from the rows', () => {
    expectTypeOf<ArgsOf<typeof procedures.domainBackupBegin>>().toEqualTypeOf<{
      readonly dom: DomainRef;
      readonly backupXml: string;
      readonly checkpointXml: string | null;
      readonly flags: number;
    }>();
    expectTypeOf<ReplyOf<typeof procedures.domainGetBlockInfo>['capacity']>().toEqualTypeOf<bigint>();
    expectTypeOf<ReplyOf<typeof procedures.domainListAllCheckpoints>['checkpoints']>().toEqualTypeOf<
      readonly CheckpointRef[]
    >();
    expectTypeOf<ReplyOf<typeof procedures.domainGetJobStats>['params']>().toEqualTypeOf<
      readonly TypedParameter[]
    >();
    expectTypeOf<StructOf<typeof errorFields>>().toEqualTypeOf<VirError>();
    expectTypeOf<StructOf<{ a: 'opaque[9]'; b: 'char{32}' }>>().toEqualTypeOf<{
      readonly a: Uint8Array;
      readonly b: Uint8Array;
    }>();
    const rejectedByTheCompiler = (): Procedure => ({
      name: 'X',
      program: 'REMOTE',
      number: 1,
      // @ts-expect-error -- not a field type
      args: { a: 'u33' },
      reply: {},
    });
    expect(rejectedByTheCompiler).toBeTypeOf('function');
  });
});
