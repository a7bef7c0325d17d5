import { describe, expect, it } from 'vitest';
import { circles, importsOf } from './import-graph.ts';
import { layers, type Layers, reserved } from './layers.ts';

const names = Object.keys(layers);
const imports = new Map(names.map((name) => [name, importsOf(name)]));

function roomOf(path: string, { ground, rooms }: Layers): string {
  const [, , first = '', ...deeper] = path.split('/');
  if (deeper.length > 0) return first;
  if (ground.includes(first)) return 'ground';
  return first === 'diagnostics.ts' && Object.hasOwn(rooms, 'diagnostics') ? 'diagnostics' : 'doors';
}

/** Both ways: nothing new, and nothing listed that is no longer so. */
function expectOnly(found: Iterable<string>, pending: readonly string[]): void {
  const seen = [...new Set(found)].sort();
  expect(
    seen.filter((each) => !pending.includes(each)),
    'forbidden',
  ).toEqual([]);
  expect(
    pending.filter((each) => !seen.includes(each)),
    'no longer so: take it off the list',
  ).toEqual([]);
}

describe.each(names)('%s', (name) => {
  const own = imports.get(name) ?? [];
  const rules = layers[name] ?? expect.fail();

  it('has imports at all', () => {
    expect(own.length).toBeGreaterThan(20);
  });

  it('every room has a rule', () => {
    const rooms = new Set(own.map(({ file }) => roomOf(file, rules)));
    expect([...rooms].filter((room) => !Object.hasOwn(rules.rooms, room))).toEqual([]);
  });

  it('rooms import only from those below them', () => {
    const forbidden = own.flatMap(({ file, target }) => {
      if (target === undefined) return [];
      const [from, to] = [roomOf(file, rules), roomOf(target, rules)];
      return from === to || rules.rooms[from]?.includes(to) === true ? [] : [`${from} -> ${to}`];
    });
    expectOnly(forbidden, rules.pending);
  });

  it('has no circle of imports, type-only ones included', () => {
    expect(circles(own)).toEqual([]);
  });

  it('index.ts is imported by nobody inside', () => {
    expect(own.filter(({ specifier }) => /\/index\.ts$/.test(specifier))).toEqual([]);
  });
});

describe('what is reserved', () => {
  it.each(reserved)('$title', ({ specifiers, packages, allowed, pending }) => {
    const all = packages.flatMap((name) => imports.get(name) ?? []);
    const found = all
      .filter(
        ({ file, specifier, target }) =>
          target === undefined && specifiers.test(specifier) && !allowed.test(file),
      )
      .map(({ file }) => file);
    expectOnly(found, pending);
  });
});
