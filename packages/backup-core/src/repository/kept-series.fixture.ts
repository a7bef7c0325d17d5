import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { SinkRange } from '../ports/sink.ts';
import type { Storage } from '../ports/storage.ts';
import type { Owner, Owners, OwnerState } from '../words/owner.ts';
import { ulid } from '../words/ulid.ts';
import { readDisk, storeDisk } from './disk-copies.fixture.ts';
import { BLOCK_SIZE } from './format.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import type { Point } from './point.ts';
import { diskOf, pointOf } from './point.fixture.ts';
import { type ListedPoint, listPoints, putPoint } from './points.ts';
import type { OpenRepositoryFile } from './repository-file.ts';
import { TreeStore } from './tree/tree-store.ts';

const PLAIN: OpenRepositoryFile = {
  format: 2,
  id: '00000000',
  blockSize: BLOCK_SIZE,
  compression: 'none',
  keys: undefined,
};
const DAY_MS = 86_400_000;
const START_MS: number = Date.parse('2026-01-01T00:00:00Z');

/** A store without threads. */
export function openStore(storage: Storage, file: OpenRepositoryFile = PLAIN): TreeStore {
  return new TreeStore(storage, file, { workers: 0 });
}

/** Owners as process `pid` sees them; all others of this host are dead. */
export function lonelyProcess(pid: number): Owners {
  const owner: Owner = { host: 'here', machine: 'm', boot: 'b', pidNamespace: '1', pid, startTime: '1' };
  const stateOf = (other: Owner): OwnerState => (other.pid === pid ? 'alive' : 'dead');
  return { self: () => Promise.resolve(owner), state: (other) => Promise.resolve(stateOf(other)) };
}

/** What to do to some blocks of a disk; `fill` 0 makes zeroes of them. */
export interface BlockChange {
  readonly first: number;
  readonly count: number;
  readonly fill: number | 'random';
}

/** A series of points of one domain, a day apart, and what their disks must be. */
export class KeptSeries {
  readonly storage: TestStorage;
  readonly disks: Map<string, Buffer> = new Map<string, Buffer>();
  readonly #store: TreeStore;
  readonly #fields: Partial<Point>;
  #last: ListedPoint | undefined;
  #disk: Buffer;
  #taken = 0;

  constructor(
    storage: TestStorage,
    options: {
      readonly blocks?: number;
      readonly file?: OpenRepositoryFile;
      readonly fields?: Partial<Point>;
    } = {},
  ) {
    this.storage = storage;
    this.#store = openStore(storage, options.file);
    this.#fields = options.fields ?? {};
    this.#disk = Buffer.alloc((options.blocks ?? 40) * BLOCK_SIZE);
  }

  /** Takes a point of the disk after changes. */
  async take(changes: readonly BlockChange[]): Promise<string> {
    const disk = Buffer.from(this.#disk);
    const dirty = new Map<number, SinkRange>();
    for (const { first, count, fill } of changes)
      for (let block = first; block < first + count; block++) {
        const range: SinkRange = { type: 'data', offset: block * BLOCK_SIZE, length: BLOCK_SIZE };
        const content = fill === 'random' ? randomBytes(BLOCK_SIZE) : Buffer.alloc(BLOCK_SIZE, fill);
        disk.set(content, range.offset);
        dirty.set(block, range);
      }
    const base = this.#last?.point.disks[0];
    const ranges = [...dirty.values()].sort((a, b) => a.offset - b.offset);
    const { root } = await storeDisk(this.#store, disk, ranges, {
      base: base && { root: base.root ?? undefined, size: base.size },
    });
    const id = ulid(this.#last?.point.id);
    const point = pointOf({
      ...this.#fields,
      id,
      createdAt: new Date(START_MS + this.#taken++ * DAY_MS).toISOString(),
      previous: this.#last?.reference ?? null,
      disks: [diskOf({ size: disk.length, root: root ?? null, treeSince: base?.treeSince ?? id })],
    });
    this.#last = await putPoint(this.storage, point, { keys: this.#store.keys });
    this.#disk = disk;
    this.disks.set(id, disk);
    return id;
  }
}

/** Every point of a storage is exactly its disk. @returns ids */
export async function checkPoints(
  storage: Storage,
  disks: ReadonlyMap<string, Buffer>,
  file?: OpenRepositoryFile,
): Promise<string[]> {
  const store = openStore(storage, file);
  const { points, damaged } = await listPoints(storage, { keys: store.keys });
  expect(damaged).toEqual([]);
  for (const { point } of points)
    for (const { root, size } of point.disks) {
      const disk = await readDisk(store, { root: root ?? undefined, size });
      expect(disk.equals(disks.get(point.id) ?? Buffer.alloc(1)), `point ${point.id}`).toBe(true);
    }
  return points.map(({ point }) => point.id);
}

/** A copy of a storage, to try something on. */
export function cloneOf(storage: TestStorage): TestStorage {
  const clone = new TestStorage();
  for (const [name, bytes] of storage.objects) clone.objects.set(name, Buffer.from(bytes));
  return clone;
}
