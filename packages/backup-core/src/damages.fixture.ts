import { createHash, randomInt } from 'node:crypto';
import { expect } from 'vitest';
import type { Bench, Piece } from './damaged-repository.fixture.ts';
import { decodeEntry, ENTRY_BYTES, type PackEntry, TRAILER_BYTES } from './repository/packs/pack-format.ts';
import { packIdBytes, parsePackName } from './repository/packs/pack-name.ts';

/** Something that happens to what is stored. */
export interface Damage {
  readonly what: string;
  /** Damages of one kind are alike. */
  readonly kind: string;
  readonly do: (objects: Map<string, Buffer>) => void;
  /** Pieces that are not what they were. */
  readonly lost?: (piece: Piece) => boolean;
  /** Manifests that are no points any more. */
  readonly lostManifests?: readonly string[];
  /** Objects that `verify` names as no manifests; default: `lostManifests`. */
  readonly namedManifests?: readonly string[];
}

/** Every place, or some of each kind. */
const IS_EXHAUSTIVE: boolean = process.env.DAMAGE_MATRIX === 'all';
const RANDOM_PLACES: number = IS_EXHAUSTIVE ? 40 : 4;

/** Of the damages of each kind so many, from all over; all of them if every place is damaged. */
export function someOfEachKind(damages: Iterable<Damage>, most: number): readonly Damage[] {
  if (IS_EXHAUSTIVE) return [...damages];
  const kinds = new Map<string, Damage[]>();
  for (const damage of damages) kinds.set(damage.kind, [...(kinds.get(damage.kind) ?? []), damage]);
  return [...kinds.values()].flatMap((alike) => {
    const step = Math.max(1, alike.length / most);
    return Array.from(
      { length: Math.min(most, alike.length) },
      (_, index) => alike[Math.floor(index * step)] as Damage,
    );
  });
}

/** An object with one byte changed. */
export function flipped(bytes: Buffer, at: number, mask: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ mask, at);
  return copy;
}

export const packsOf = ({ storage }: Pick<Bench, 'storage'>): [string, Buffer][] =>
  [...storage.objects].filter(([name]) => name.startsWith('packs/'));

const ulidOf = (name: string): string => parsePackName(name)?.pack ?? expect.fail(name);

/** The end of a pack. */
interface Layout {
  readonly keySlot: number;
  readonly table: number;
  readonly trailer: number;
  readonly entries: readonly PackEntry[];
}

function layoutOf(bytes: Buffer): Layout {
  const trailer = bytes.length - TRAILER_BYTES;
  const keySlot = bytes.readUInt32BE(trailer + 20);
  const table = keySlot + bytes.readUInt32BE(trailer + 12);
  const entries: PackEntry[] = [];
  for (let at = table; at < trailer; at += ENTRY_BYTES) entries.push(decodeEntry(bytes, at));
  return { keySlot, table, trailer, entries };
}

/** One byte of a pack, wherever it is. */
export function* flipsInPacks(bench: Bench): Generator<Damage> {
  for (const [name, bytes] of packsOf(bench)) {
    const layout = layoutOf(bytes);
    for (const [kind, at] of placesIn(layout, bench)) yield flipInPack(name, bytes, layout, kind, at, 1);
    for (let count = 0; count < RANDOM_PLACES; count++)
      yield flipInPack(name, bytes, layout, 'anywhere', randomInt(bytes.length), 1 << randomInt(8));
  }
}

function flipInPack(
  name: string,
  bytes: Buffer,
  { keySlot, entries }: Layout,
  kind: string,
  at: number,
  mask: number,
): Damage {
  const pack = ulidOf(name);
  const entry = entries.find(({ offset, length }) => at >= offset && at < offset + length);
  // Of the last byte of what is deflated the high bits may mean nothing.
  const bit = entry !== undefined && at === entry.offset + entry.length - 1 ? 1 : mask;
  return {
    what: `${name}, byte ${at} ^ ${bit}: ${kind}`,
    kind: `flip: ${kind}`,
    do: (objects) => objects.set(name, flipped(bytes, at, bit)),
    lost:
      at >= keySlot || entry === undefined
        ? (piece) => piece.startsWith(`${pack}.`)
        : (piece) => piece === `${pack}.${entry.number}`,
  };
}

function* placesIn(
  { keySlot, table, trailer, entries }: Layout,
  { flavour }: Bench,
): Generator<[string, number]> {
  for (const { kind, offset, length } of entries) {
    const what = kind === 1 ? 'page' : 'block';
    yield [`${what}, first byte`, offset];
    yield [`${what}, last byte`, offset + length - 1];
    if (kind !== 1 || flavour === 'encrypted' || flavour === 'sealed') continue;
    yield ['page, hash of a child', offset + 128];
    yield ['page, pack of a child', offset + 128 + 32 + 9];
    yield ['page, number of a child', offset + 128 + 48 + 3];
  }
  if (table > keySlot) {
    yield ['key slot, first byte', keySlot];
    yield ['key slot, last byte', table - 1];
  }
  const rows = IS_EXHAUSTIVE ? [...entries.keys()] : [...new Set([0, entries.length - 1])];
  for (const row of rows)
    for (const [field, at] of Object.entries(ENTRY_FIELDS))
      yield [`table, ${field}`, table + row * ENTRY_BYTES + at];
  for (const [field, at] of Object.entries(TRAILER_FIELDS)) yield [`trailer, ${field}`, trailer + at];
}

const ENTRY_FIELDS = {
  number: 3,
  offset: 6,
  length: 11,
  kind: 12,
  packing: 13,
  reserved: 15,
  hash: 16,
  'end of hash': 47,
};
const TRAILER_FIELDS = {
  magic: 0,
  version: 9,
  reserved: 11,
  'bytes of the key slot': 15,
  'reserved too': 19,
  offset: 23,
  count: 27,
  'reserved at last': 31,
  hash: 32,
  'end of hash': 63,
};

/** One byte of a manifest. */
export function* flipsInManifests({ known, storage }: Bench): Generator<Damage> {
  for (const { object } of known) {
    const bytes = storage.objects.get(object) ?? expect.fail();
    const places = [
      0,
      bytes.length - 1,
      ...Array.from({ length: RANDOM_PLACES }, () => randomInt(bytes.length)),
    ];
    for (const at of places)
      yield {
        what: `${object}, byte ${at}`,
        kind: 'flip: manifest',
        do: (objects) => objects.set(object, flipped(bytes, at, 1 << randomInt(8))),
        lostManifests: [object],
      };
  }
}

/** Whole objects: cut, longer, gone, exchanged, of another repository. */
export function* changesOfPacks(bench: Bench, other: Bench): Generator<Damage> {
  const packs = packsOf(bench);
  for (const [index, [name, bytes]] of packs.entries()) {
    const pack = ulidOf(name);
    const lost = (piece: Piece): boolean => piece.startsWith(`${pack}.`);
    const as = (kind: string, put: (objects: Map<string, Buffer>) => void): Damage => ({
      what: `${name}: ${kind}`,
      kind: `pack ${kind}`,
      do: put,
      lost,
    });
    const { keySlot, trailer } = layoutOf(bytes);
    for (const length of [0, 1, 63, 64, bytes.length >> 1, keySlot, trailer, bytes.length - 1])
      yield as('cut', (objects) => objects.set(name, bytes.subarray(0, length)));
    yield as('longer', (objects) => objects.set(name, Buffer.concat([bytes, Buffer.alloc(1)])));
    yield as('without its beginning', (objects) => objects.set(name, bytes.subarray(1)));
    yield as('all zeroes', (objects) => objects.set(name, Buffer.alloc(bytes.length)));
    yield as('removed', (objects) => objects.delete(name));
    const [, foreign = expect.fail()] = packsOf(other)[index] ?? [];
    yield as('of another repository', (objects) => objects.set(name, foreign));
    yield as('of another repository, made to fit', (objects) => objects.set(name, fitted(pack, foreign)));
    const [exchanged, theirs] = packs[(index + 1) % packs.length] ?? expect.fail();
    yield {
      what: `${name} and ${exchanged} exchanged`,
      kind: 'packs exchanged',
      do: (objects) => objects.set(name, theirs).set(exchanged, bytes),
      lost: (piece) => lost(piece) || piece.startsWith(`${ulidOf(exchanged)}.`),
    };
    yield* piecesExchanged(name, bytes);
  }
}

/** A pack whose table is right for another name. */
export function fitted(pack: string, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const trailer = copy.length - TRAILER_BYTES;
  createHash('sha256')
    .update(packIdBytes(pack))
    .update(copy.subarray(copy.readUInt32BE(trailer + 20), trailer + 32))
    .digest()
    .copy(copy, trailer + 32);
  return copy;
}

/** Two pieces under each other's numbers, in a table that is right otherwise. */
function* piecesExchanged(name: string, bytes: Buffer): Generator<Damage> {
  const { table, entries } = layoutOf(bytes);
  const [first, last] = [entries[0], entries.at(-1)];
  if (first === undefined || last === undefined || first === last) return;
  const pack = ulidOf(name);
  const copy = Buffer.from(bytes);
  const rows = [table, table + (entries.length - 1) * ENTRY_BYTES] as const;
  for (const [to, from] of [rows, [rows[1], rows[0]]] as const)
    bytes.copy(copy, to + 4, from + 4, from + ENTRY_BYTES);
  yield {
    what: `${name}: two pieces under each other's numbers`,
    kind: 'pieces exchanged',
    do: (objects) => objects.set(name, fitted(pack, copy)),
    lost: (piece) => [first, last].some(({ number }) => piece === `${pack}.${number}`),
  };
}

/** The same of manifests. */
export function* changesOfManifests({ known, storage }: Bench, other: Bench): Generator<Damage> {
  for (const [index, { object }] of known.entries()) {
    const bytes = storage.objects.get(object) ?? expect.fail();
    const as = (kind: string, put: (objects: Map<string, Buffer>) => void): Damage => ({
      what: `${object}: ${kind}`,
      kind: `manifest ${kind}`,
      do: put,
      lostManifests: [object],
    });
    for (const length of [0, 1, bytes.length >> 1, bytes.length - 1])
      yield as('cut', (objects) => objects.set(object, bytes.subarray(0, length)));
    yield { ...as('removed', (objects) => objects.delete(object)), namedManifests: [] };
    const foreign = other.storage.objects.get(other.known[index]?.object ?? '') ?? expect.fail();
    yield as('of another repository', (objects) => objects.set(object, foreign));
    const { object: next } = known[(index + 1) % known.length] ?? expect.fail();
    const theirs = storage.objects.get(next) ?? expect.fail();
    yield {
      what: `${object} and ${next} exchanged`,
      kind: 'manifests exchanged',
      do: (objects) => objects.set(object, theirs).set(next, bytes),
      lostManifests: [object, next],
    };
  }
}

/** What somebody else puts beside what is stored. Nothing is lost by it. */
export function* strays({ known, storage }: Bench, other: Bench): Generator<Damage> {
  const [first = expect.fail(), , , big = expect.fail()] = known;
  const [pack = ''] = packsOf({ storage })[0] ?? [];
  const manifest = storage.objects.get(first.object) ?? expect.fail();
  const garbage = Buffer.from('garbage');
  const names = [
    'packs/notes',
    'packs/01J00000000000000000000000.0',
    `${pack.slice(0, -1)}1`,
    'points/notes',
    'leases/notes',
    'leases/01J00000000000000000000000.end',
    'intents/notes',
    'intents/01J00000000000000000000000',
    'jobs/notes',
    'jobs/tsbackup-00000000-01J00000000000000000000000',
    'holiday.jpg',
    'restore.py',
    'README.txt',
  ];
  for (const name of names) {
    const isManifest = name.startsWith('points/');
    yield {
      what: `garbage as ${name}`,
      kind: `stray ${name}`,
      do: (objects) => objects.set(name, garbage),
      namedManifests: isManifest ? [name] : [],
    };
  }
  const elsewhere = first.object.replace(first.point.domain.uuid, big.point.domain.uuid);
  yield {
    what: 'a manifest in the folder of another domain',
    kind: 'stray manifest elsewhere',
    do: (objects) => objects.set(elsewhere, manifest),
    namedManifests: [elsewhere],
  };
  yield {
    what: 'packs of another repository',
    kind: 'stray packs',
    do: (objects) => {
      for (const [name, bytes] of packsOf(other)) objects.set(name, bytes);
    },
  };
}
