import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { BackupRepository } from './backup-repository.ts';
import { FakeHypervisor } from './fake-hypervisor.fixture.ts';
import type { Sink } from './ports/sink.ts';
import { openFor, writeBlock } from './protect/protected-domain.fixture.ts';
import { BLOCK_SIZE } from './repository/format.ts';
import { KeptSeries } from './repository/kept-series.fixture.ts';
import { TestStorage } from './repository/memory-storage.fixture.ts';
import type { Point } from './repository/point.ts';
import { UUID } from './repository/point.fixture.ts';
import { listPoints } from './repository/points.ts';
import { openRepositoryFile } from './repository/repository-file.ts';
import { generateRecipient } from './repository/seal.ts';
import type { Reference } from './repository/tree/page.ts';
import { TreeReader } from './repository/tree/tree-reader.ts';
import { TreeStore } from './repository/tree/tree-store.ts';
import type { OpenRepositoryOptions } from './repository-options.ts';
import { DamagedError } from './words/errors.ts';
import { domainUuid, type DomainUuid } from './words/peer-names.ts';

const recipient = generateRecipient();
const key = randomBytes(32);

/** How repositories are made that are damaged. */
export const FLAVOURS = {
  plain: {},
  deflate: { compression: 'deflate' },
  encrypted: { compression: 'deflate', encryption: { key } },
  sealed: { encryption: { key, recipients: [recipient.publicKey] } },
} as const satisfies Readonly<Record<string, OpenRepositoryOptions>>;

export type Flavour = keyof typeof FLAVOURS;

/** Pages of two levels, few of whose blocks are stored. */
const BIG_BLOCKS = 1030;
const SMALL_BLOCKS = 5;
const SMALL_UUID = domainUuid('0d5cf6cd-4d01-4e4b-9a8c-9a34b2ea6a1f') as DomainUuid;

/** A piece, as a pack has it. */
export type Piece = `${string}.${number}`;

export function pieceOf({ pack, number }: Pick<Reference, 'pack' | 'number'>): Piece {
  return `${pack}.${number}`;
}

/** A point, and what was known of it before anything was damaged. */
export interface KnownPoint {
  readonly point: Point;
  /** Its manifest. */
  readonly object: string;
  /** All that it consists of. */
  readonly pieces: ReadonlySet<Piece>;
  readonly truth: Truth;
}

/** A disk without its zeroes. */
export interface Truth {
  readonly size: number;
  readonly blocks: ReadonlyMap<number, Buffer>;
}

/** A repository of two domains, and the one of them that is running. */
export interface Bench {
  readonly flavour: Flavour;
  readonly storage: TestStorage;
  readonly known: readonly KnownPoint[];
  readonly domain: SmallDomain;
}

/** A domain that can be copied as it is at a moment. */
export class SmallDomain extends FakeHypervisor {
  override readonly uuid: DomainUuid = SMALL_UUID;

  clone(): SmallDomain {
    const clone = new SmallDomain();
    for (const [name, { content, facts, bitmaps }] of this.disks) {
      const copies = [...bitmaps].map(
        ([bitmap, { dirty, healthy }]) => [bitmap, { dirty: new Set(dirty), healthy }] as const,
      );
      clone.disks.set(name, { content: Buffer.from(content), facts, bitmaps: new Map(copies) });
    }
    for (const [name, checkpoint] of this.checkpoints) clone.checkpoints.set(name, { ...checkpoint });
    return clone;
  }
}

/** Opens a repository of that flavour, with all its keys. */
export function openAs(
  flavour: Flavour,
  storage: TestStorage,
  domain: FakeHypervisor,
  options: OpenRepositoryOptions = {},
): Promise<BackupRepository> {
  return openFor(domain, storage, { create: false, ...keysOf(flavour), ...options });
}

function keysOf(flavour: Flavour): Pick<OpenRepositoryOptions, 'key' | 'privateKey'> {
  const options: OpenRepositoryOptions = FLAVOURS[flavour];
  return { key: options.encryption?.key, privateKey: options.encryption && recipient.privateKey };
}

/** What is stored, seen from below. */
export async function storeAs(flavour: Flavour, storage: TestStorage): Promise<TreeStore> {
  return new TreeStore(storage, await openRepositoryFile(storage, keysOf(flavour)), { workers: 0 });
}

/** Can be deflated, but has nothing twice: a damage to what is deflated is a damage to what it is. */
function hexBlock(): Buffer {
  return Buffer.from(randomBytes(BLOCK_SIZE / 2).toString('hex'));
}

/**
 * A small domain that runs, with three points, and a big one with three points that share pages. No block of one
 * repository is in another.
 */
export async function makeBench(flavour: Flavour): Promise<Bench> {
  const storage = new TestStorage();
  const domain = new SmallDomain();
  domain.addDisk('vda', Buffer.concat(Array.from({ length: SMALL_BLOCKS }, hexBlock)));
  const truths = new Map<string, Truth>();
  await using repository = await openFor(domain, storage, FLAVOURS[flavour]);
  for (const change of [[], [1, 3], [2]]) {
    for (const block of change) domain.write('vda', block * BLOCK_SIZE, randomBytes(BLOCK_SIZE));
    const { point } = await repository.backup(domain);
    truths.set(point.id, truthOf(domain.disks.get('vda')?.content ?? expect.fail()));
  }
  const file = await openRepositoryFile(storage, keysOf(flavour));
  const series = new KeptSeries(storage, {
    blocks: BIG_BLOCKS,
    file,
    fields: { domain: { name: 'big', uuid: UUID } },
  });
  await series.take([
    { first: 0, count: 2, fill: 'random' },
    { first: 1025, count: 3, fill: 'random' },
  ]);
  await series.take([{ first: 1026, count: 1, fill: 'random' }]);
  await series.take([
    { first: 1, count: 1, fill: 'random' },
    { first: 1027, count: 1, fill: 0 },
  ]);
  for (const [id, disk] of series.disks) truths.set(id, truthOf(disk));
  // Something to be read by the next backup.
  writeBlock(domain, 4, 0x44);
  return { flavour, storage, domain, known: await knownPoints(flavour, storage, truths) };
}

async function knownPoints(
  flavour: Flavour,
  storage: TestStorage,
  truths: ReadonlyMap<string, Truth>,
): Promise<KnownPoint[]> {
  const store = await storeAs(flavour, storage);
  const known: KnownPoint[] = [];
  for (const { point, object } of (await listPoints(storage, { keys: store.keys })).points)
    known.push({
      point,
      object,
      pieces: (await piecesOf(store, point)) ?? expect.fail(),
      truth: truths.get(point.id) ?? expect.fail(),
    });
  return known;
}

/** All that a point consists of; undefined: that cannot be known. */
export async function piecesOf(store: TreeStore, { disks }: Point): Promise<ReadonlySet<Piece> | undefined> {
  const pieces = new Set<Piece>();
  try {
    for (const { root, size } of disks)
      await new TreeReader(store, { root: root ?? undefined, size }).references((reference) => {
        pieces.add(pieceOf(reference));
        return true;
      });
  } catch (error) {
    if (error instanceof DamagedError) return undefined;
    throw error;
  }
  return pieces;
}

export function truthOf(disk: Buffer): Truth {
  const zeroes = Buffer.alloc(BLOCK_SIZE);
  const blocks = new Map<number, Buffer>();
  for (let at = 0; at < disk.length; at += BLOCK_SIZE) {
    const block = disk.subarray(at, at + BLOCK_SIZE);
    if (!block.equals(zeroes)) blocks.set(at / BLOCK_SIZE, Buffer.from(block));
  }
  return { size: disk.length, blocks };
}

/**
 * Restores a disk and compares it, over its whole length.
 *
 * @returns whether it could be restored; what is restored and wrong fails the test
 */
export async function isRestored(
  repository: BackupRepository,
  point: Point,
  truth: Truth,
  what: string,
): Promise<boolean> {
  const sink = new ComparingSink(truth, what);
  try {
    await repository.restore(point, 'vda', sink);
  } catch (error) {
    if (error instanceof DamagedError) return false;
    throw error;
  }
  expect(sink.seen, what).toBe(truth.size);
  return true;
}

/** Compares what it is given, and counts it. */
class ComparingSink implements Sink {
  seen = 0;
  readonly #truth: Truth;
  readonly #what: string;
  #isRight = true;

  constructor(truth: Truth, what: string) {
    this.#truth = truth;
    this.#what = what;
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    this.seen += bytes.length;
    for (let at = 0; at < bytes.length; at += BLOCK_SIZE) {
      const block = this.#truth.blocks.get((offset + at) / BLOCK_SIZE);
      const written = bytes.subarray(at, at + BLOCK_SIZE);
      this.#isRight &&= block === undefined ? written.every((byte) => byte === 0) : block.equals(written);
    }
    return Promise.resolve();
  }

  zero(offset: number, length: number): Promise<void> {
    this.seen += length;
    const isData = (block: number): boolean =>
      block * BLOCK_SIZE >= offset && block * BLOCK_SIZE < offset + length;
    this.#isRight &&= ![...this.#truth.blocks.keys()].some(isData);
    return Promise.resolve();
  }

  finish(): Promise<void> {
    expect(this.#isRight, `${this.#what}: a wrong disk was restored with success`).toBe(true);
    return Promise.resolve();
  }

  discard(): Promise<void> {
    return Promise.resolve();
  }
}
