import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { DamagedError } from '../words/errors.ts';
import { readDisk, storeDisk } from './disk-copies.fixture.ts';
import { BLOCK_SIZE } from './format.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { decodeEntry, ENTRY_BYTES, TRAILER_BYTES } from './packs/pack-format.ts';
import { parsePackName } from './packs/pack-name.ts';
import type { BaseTree } from './tree/builder.ts';
import { TreeReader } from './tree/tree-reader.ts';
import { TreeStore } from './tree/tree-store.ts';

const stores: TreeStore[] = [];
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

function open(storage: TestStorage): TreeStore {
  const file = {
    format: 2,
    id: '00000000',
    blockSize: BLOCK_SIZE,
    compression: 'none',
    keys: undefined,
  } as const;
  const store = new TreeStore(storage, file, { workers: 0 });
  stores.push(store);
  return store;
}

interface Stored {
  readonly tree: BaseTree;
  readonly disk: Buffer;
  /** `pack.number` of all that it consists of. */
  readonly pieces: Set<string>;
}

/** Three points: two that share most of what they have, and one of another disk. */
async function series(storage: TestStorage): Promise<readonly Stored[]> {
  const store = open(storage);
  const first = randomBytes(1030 * BLOCK_SIZE);
  first.fill(0, 4 * BLOCK_SIZE, 1020 * BLOCK_SIZE);
  const second = Buffer.from(first);
  second.fill(3, BLOCK_SIZE, 2 * BLOCK_SIZE);
  const stored: Stored[] = [];
  let base: BaseTree | undefined;
  for (const disk of [first, second, randomBytes(2 * BLOCK_SIZE)]) {
    const ranges = [{ type: 'data', offset: 0, length: disk.length }] as const;
    const { root } = await storeDisk(store, disk, ranges, { base });
    const tree = { root, size: disk.length };
    const pieces = new Set<string>();
    await new TreeReader(store, tree).references(({ pack, number }) => {
      pieces.add(`${pack}.${number}`);
      return true;
    });
    stored.push({ tree, disk, pieces });
    base = stored.length === 1 ? tree : undefined;
  }
  return stored;
}

/** The indexes of the points that cannot be read; whatever is read must be right. */
async function harmed(storage: TestStorage, points: readonly Stored[]): Promise<readonly number[]> {
  const indexes: number[] = [];
  for (const [index, { tree, disk }] of points.entries())
    try {
      expect((await readDisk(open(storage), tree)).equals(disk), `point ${index} is wrong`).toBe(true);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      indexes.push(index);
    }
  return indexes;
}

/** Every place of a pack that is worth damaging, and the pieces that are lost with it. */
function* places(name: string, bytes: Buffer): Generator<{ at: number; lost: (piece: string) => boolean }> {
  const pack = parsePackName(name)?.pack ?? expect.fail();
  const table = bytes.readUInt32BE(bytes.length - TRAILER_BYTES + 20);
  for (let at = table; at < bytes.length; at += 29) yield { at, lost: (piece) => piece.startsWith(pack) };
  for (let row = table; row < bytes.length - TRAILER_BYTES; row += ENTRY_BYTES) {
    const { number, offset, length } = decodeEntry(bytes, row);
    for (const at of [offset, offset + length - 1])
      yield { at, lost: (piece) => piece === `${pack}.${number}` };
  }
}

describe('damage', () => {
  it('of any byte harms exactly the points that consist of it', { timeout: 120_000 }, async () => {
    const storage = new TestStorage();
    const points = await series(storage);
    expect(await harmed(storage, points)).toEqual([]);
    for (const [name, bytes] of storage.objects)
      for (const { at, lost } of places(name, bytes)) {
        bytes[at] = (bytes[at] as number) ^ 0x10;
        const expected = points.flatMap(({ pieces }, index) => ([...pieces].some(lost) ? [index] : []));
        expect(await harmed(storage, points), `${name} at ${at}`).toEqual(expected);
        bytes[at] = bytes[at] ^ 0x10;
      }
  });

  it('of a whole pack, removed, cut or exchanged, is found, too', async () => {
    const storage = new TestStorage();
    const points = await series(storage);
    const [name = '', other = ''] = [...storage.objects.keys()];
    const bytes = storage.objects.get(name) as Buffer;
    const exchanged = storage.objects.get(other) as Buffer;
    for (const instead of [
      undefined,
      Buffer.alloc(0),
      bytes.subarray(0, 1000),
      bytes.subarray(1),
      exchanged,
    ]) {
      if (instead === undefined) storage.objects.delete(name);
      else storage.objects.set(name, instead);
      expect(await harmed(storage, points)).toEqual([0, 1]);
    }
  });
});
