import type { SinkRange } from '../ports/sink.ts';
import { copyRanges } from '../transfer/copy.ts';
import { DamagedError, messageOf, NotFoundError } from '../words/errors.ts';
import type { Owners } from '../words/owner.ts';
import type { OnProgress } from '../words/progress.ts';
import { commit } from './commit.ts';
import { Intent } from './intents.ts';
import type { Lease, LeaseOptions } from './leases.ts';
import type { PackWriter } from './packs/pack-writer.ts';
import type { Point, StoredDisk } from './point.ts';
import { type ListedPoint, listPoints, placeOf, sealPoint } from './points.ts';
import { type Quarantine, readQuarantine } from './quarantine.ts';
import type { BaseTree } from './tree/builder.ts';
import { DiskReader } from './tree/disk-reader.ts';
import { DiskWriter } from './tree/disk-writer.ts';
import { differingRanges } from './tree/tree-difference.ts';
import type { TreeStore } from './tree/tree-store.ts';
import { underLease } from './under-lease.ts';

export interface CopyPointsOptions extends LeaseOptions {
  /** Ids; absent: all. */
  readonly points?: readonly string[] | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What became of a point that was to be copied. */
export interface CopiedPoint {
  /** ULID, the same in both repositories. */
  readonly id: string;
  /** Bytes that were read of its disks, out of them all. */
  readonly readBytes: number;
  /** Bytes of new blocks where it was copied to. */
  readonly storedBytes: number;
}

/** What a copy of points did. */
export interface CopyPointsReport {
  /** The oldest first. */
  readonly copied: readonly CopiedPoint[];
  /** Ids of points that were there already. */
  readonly present: readonly string[];
  /** Points that cannot be copied, as they are damaged; by id, or by object where even the manifest is. */
  readonly damaged: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Copies points into another repository, with its keys and compression: what it does not have, found by hashes. Where
 * the two name content by different keys, what was not copied here before has to be read to be compared.
 *
 * @throws NotFoundError for a point that is not there; RepositoryError, such as `busy` where a backup of the domain
 *   is made into the other repository
 */
export function copyPoints(
  from: TreeStore,
  to: TreeStore,
  owners: Owners,
  options: CopyPointsOptions = {},
): Promise<CopyPointsReport> {
  return underLease(from.storage, owners, { kind: 'read' }, options, async (_, signal) => {
    const listing = await listPoints(from.storage, { keys: from.keys, signal });
    const ids = options.points;
    const missing = ids?.find((id) => !listing.points.some(({ point }) => point.id === id));
    if (missing !== undefined) throw new NotFoundError('point', `there is no point ${missing}`);
    const points = listing.points.map(({ point }) => point).filter(({ id }) => ids?.includes(id) ?? true);
    return new PointsCopy(from, to, owners, { ...options, signal }).run(points, listing.damaged);
  });
}

class PointsCopy {
  readonly #from: TreeStore;
  readonly #to: TreeStore;
  readonly #owners: Owners;
  readonly #options: CopyPointsOptions;
  readonly #hasSameHashes: boolean;
  /** Points that were copied by this: each has the same content on both sides. */
  readonly #twins = new Map<string, Point>();
  #doneBytes = 0;
  #totalBytes = 0;

  constructor(from: TreeStore, to: TreeStore, owners: Owners, options: CopyPointsOptions) {
    this.#from = from;
    this.#to = to;
    this.#owners = owners;
    this.#options = options;
    const none = new Uint8Array(0);
    this.#hasSameHashes = Buffer.compare(from.keys?.hashKey ?? none, to.keys?.hashKey ?? none) === 0;
  }

  async run(points: readonly Point[], lost: CopyPointsReport['damaged']): Promise<CopyPointsReport> {
    const report = { copied: [] as CopiedPoint[], present: [] as string[], damaged: [...lost] };
    for (const point of points) this.#totalBytes += bytesOf(point);
    for (const point of points) {
      const before = this.#doneBytes;
      try {
        const copied = await this.#copyPoint(point);
        if (copied === undefined) report.present.push(point.id);
        else report.copied.push(copied);
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        report.damaged.push({ name: point.id, reason: messageOf(error) });
      }
      this.#doneBytes = before + bytesOf(point);
      this.#tell(undefined, 0);
    }
    return report;
  }

  /** @returns undefined if it is there */
  #copyPoint(point: Point): Promise<CopiedPoint | undefined> {
    const work = { kind: 'backup', domain: point.domain.uuid } as const;
    const { storage, keys } = this.#to;
    return underLease(storage, this.#owners, work, this.#options, async (lease, signal) => {
      const { points } = await listPoints(storage, { uuid: point.domain.uuid, keys, signal });
      if (points.some(({ point: { id } }) => id === point.id)) return undefined;
      const intent = new Intent(storage, lease.id, placeOf(point.domain.uuid, point.id));
      const packs = this.#to.createPackWriter({
        signal,
        announce: (name) => intent.add([name], { signal }),
      });
      try {
        return await this.#storePoint(point, points, { lease, intent, packs, signal });
      } catch (error) {
        // What cannot be undone now is undone when the lease is over.
        await packs.discard().catch(() => undefined);
        await intent.undo().catch(() => undefined);
        throw error;
      }
    });
  }

  async #storePoint(
    point: Point,
    present: readonly ListedPoint[],
    {
      lease,
      intent,
      packs,
      signal,
    }: { lease: Lease; intent: Intent; packs: PackWriter; signal: AbortSignal },
  ): Promise<CopiedPoint> {
    // The nearest older point, or else the nearest one.
    const older = present.filter(({ point: { id } }) => id < point.id);
    const base = (older.at(-1) ?? present[0])?.point;
    const copied = { id: point.id, readBytes: 0, storedBytes: 0 };
    const quarantine = await readQuarantine(this.#to, { signal });
    const disks: StoredDisk[] = [];
    for (const disk of point.disks) {
      const shared = await this.#soundBase(base, disk, quarantine, signal);
      const { stored, readBytes, storedBytes } = await this.#copyDisk(point, disk, shared, packs, signal);
      disks.push({ ...stored, freeOf: quarantine.ids });
      copied.readBytes += readBytes;
      copied.storedBytes += storedBytes;
    }
    await packs.seal();
    const previous = present.find(({ point: { id } }) => id === point.previous?.id)?.reference;
    const sealed = sealPoint({ ...point, disks, previous: previous ?? point.previous }, this.#to.keys);
    await commit(this.#to.storage, { lease, intent }, sealed.object, sealed.bytes, { signal });
    this.#twins.set(point.id, point);
    return copied;
  }

  /** The point to share blocks of a disk with; undefined: none, since what it has is written down as damaged. */
  async #soundBase(
    base: Point | undefined,
    { name }: StoredDisk,
    quarantine: Quarantine,
    signal: AbortSignal,
  ): Promise<Point | undefined> {
    const disk = base?.disks.find((each) => each.name === name);
    if (disk === undefined || quarantine.ids === undefined) return base;
    try {
      return (await quarantine.rangesOf(this.#to, disk, signal)).length === 0 ? base : undefined;
    } catch (error) {
      if (error instanceof DamagedError) return undefined;
      throw error;
    }
  }

  async #copyDisk(
    point: Point,
    disk: StoredDisk,
    base: Point | undefined,
    packs: PackWriter,
    signal: AbortSignal,
  ): Promise<{ readonly stored: StoredDisk; readonly readBytes: number; readonly storedBytes: number }> {
    const { size, name } = disk;
    const baseDisk = base?.disks.find((each) => each.name === name);
    const reader = new DiskReader(this.#from, treeOf(disk));
    const writer = await DiskWriter.open(this.#to, {
      packs,
      size,
      base: baseDisk && treeOf(baseDisk),
      signal,
    });
    const ranges = this.#rangesToRead(reader, disk, base, baseDisk, signal);
    const onProgress = ({ dataBytes, zeroBytes }: { dataBytes: number; zeroBytes: number }): void => {
      this.#tell(disk.name, Math.min(size, dataBytes + zeroBytes));
    };
    await copyRanges([reader], ranges, writer, { signal, onProgress });
    const { root = null, counts } = await writer.finish();
    if (this.#hasSameHashes && Buffer.compare(root?.hash ?? NO_HASH, disk.root?.hash ?? NO_HASH) !== 0)
      throw new DamagedError('hash', `the copy of disk ${name} of point ${point.id} is not what it was`);
    this.#doneBytes += size;
    const stored = { ...disk, root, treeSince: baseDisk?.treeSince ?? point.id };
    return { stored, readBytes: counts.readBytes, storedBytes: counts.storedBytes };
  }

  /** What may be another in the base, or the whole disk where that cannot be known without reading it. */
  #rangesToRead(
    reader: DiskReader,
    disk: StoredDisk,
    base: Point | undefined,
    baseDisk: StoredDisk | undefined,
    signal: AbortSignal,
  ): AsyncIterable<SinkRange> {
    const own = { store: this.#from, tree: treeOf(disk) };
    if (this.#hasSameHashes && baseDisk !== undefined)
      return differingRanges(own, { store: this.#to, tree: treeOf(baseDisk) }, signal);
    const twin = this.#twins.get(base?.id ?? '')?.disks.find(({ name }) => name === disk.name);
    if (twin !== undefined) return differingRanges(own, { store: this.#from, tree: treeOf(twin) }, signal);
    return reader.extents({ signal });
  }

  #tell(disk: string | undefined, bytes: number): void {
    this.#options.onProgress?.({
      phase: 'copy',
      disk,
      done: this.#doneBytes + bytes,
      total: this.#totalBytes,
    });
  }
}

const NO_HASH: Uint8Array = new Uint8Array(0);

function treeOf({ root, size }: StoredDisk): BaseTree {
  return { root: root ?? undefined, size };
}

function bytesOf({ disks }: Point): number {
  return disks.reduce((sum, { size }) => sum + size, 0);
}
