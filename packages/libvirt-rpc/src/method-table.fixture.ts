import { expect, test } from 'vitest';
import { connect } from './connect.ts';
import type { Connection } from './connection.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';

type Struct = Record<string, unknown>;

/** A method, how it is called, what must then be sent and what it makes of the answer. */
export type MethodRow = readonly [
  method: string,
  args: readonly unknown[],
  procedure: string,
  sent: Struct,
  reply?: Struct,
  result?: unknown,
];

/** The last argument of a row where it has options of its own. */
class RowOptions {
  readonly options: Struct;

  constructor(options: Struct) {
    this.options = options;
  }
}

/** The options that a row's method is called with, besides those that the tests add. */
export function options(given: Struct): unknown {
  return new RowOptions(given);
}

/** The arguments of a row, with more options. */
function withOptions(args: readonly unknown[], more: Struct): readonly unknown[] {
  const last = args.at(-1);
  return last instanceof RowOptions ? [...args.slice(0, -1), { ...last.options, ...more }] : [...args, more];
}

/** The names of the methods of an object, those of its base classes included. */
function methodsOf(object: object): string[] {
  const prototype = Object.getPrototypeOf(object) as object;
  if (prototype === Object.prototype) return [];
  const own = Object.entries(Object.getOwnPropertyDescriptors(prototype))
    .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor')
    .map(([name]) => name);
  return [...own, ...methodsOf(prototype)];
}

/** Objects as what names them to the daemon, maps as entries. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return [...(value as Map<unknown, unknown>)];
  if (value instanceof Uint8Array) return [...value];
  if (typeof value !== 'object' || value === null) return value;
  if ('ref' in value) return value.ref;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

/**
 * Tests every row with a daemon that answers as it says, and that no method but those of `others` lacks a row.
 *
 * @param make - the object that has the methods
 */
export function testMethods(
  make: (libvirt: Connection) => object,
  rows: readonly MethodRow[],
  others: readonly string[] = [],
): void {
  const titled = rows.map((row) => ({ title: `${row[0]} calls ${row[2]}`, row }));

  test.each(titled)('$title', async ({ row: [method, args, procedure, sent, reply = {}, result] }) => {
    const calls: Struct[] = [];
    await using fake = await FakeLibvirtd.start({
      [procedure]: (call) => {
        calls.push(call.args);
        call.client.reply(call, reply);
      },
    });
    await using libvirt = await connect(fake.uri);
    const answer = await invoke(make(libvirt), method, withOptions(args, { timeoutMs: 20_000 }));
    expect(calls.map(plain)).toEqual([plain(sent)]);
    expect(plain(answer)).toEqual(result);
  });

  test.each(titled)('$title, unless given up', async ({ row: [method, args] }) => {
    await using fake = await FakeLibvirtd.start();
    await using libvirt = await connect(fake.uri);
    const reason = new Error('given up');
    const promise = invoke(make(libvirt), method, withOptions(args, { signal: AbortSignal.abort(reason) }));
    await expect(promise).rejects.toBe(reason);
  });

  test.each(titled)('$title, unless its options are none', async ({ row: [method, args] }) => {
    await using fake = await FakeLibvirtd.start();
    await using libvirt = await connect(fake.uri);
    const before = args.at(-1) instanceof RowOptions ? args.slice(0, -1) : args;
    for (const wrong of [4, null, [], 'flags', { Signal: null }, { signal: {} }, { timeoutMs: '1' }])
      await expect(invoke(make(libvirt), method, [...before, wrong])).rejects.toMatchObject({
        code: 'ERR_LIBVIRT_USAGE',
      });
  });

  test('every method has a row', async () => {
    await using fake = await FakeLibvirtd.start();
    await using libvirt = await connect(fake.uri);
    const tested = new Set([...rows.map(([method]) => method), ...others]);
    expect([...new Set(methodsOf(make(libvirt)))].sort()).toEqual([...tested].sort());
  });
}

function invoke(object: object, method: string, args: readonly unknown[]): Promise<unknown> {
  const methods = object as Record<string, (...args: readonly unknown[]) => Promise<unknown>>;
  return methods[method]?.(...args) ?? Promise.reject(new Error(`no method ${method}`));
}
