import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DamagedError } from '../words/errors.ts';
import { readIfPresent, replaceFile, sha256, syncFolder } from '../adapters/folder/durable.ts';
import { decodeHead, decodeManifest, encodeManifest, type Point, type PointReference } from './manifest.ts';

const HEAD = 'head.json';
const POINTS = 'points';
const MANIFEST = 'manifest.json';
const PARTIAL_SUFFIX = '.partial';

/**
 * The folder of one domain: its points, each in a folder, and the head that names the newest. What the head
 * does not lead to does not exist.
 */
export class DomainStore {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  dataFile(pointId: string, disk: string): string {
    return join(this.path, POINTS, pointId, `${disk}.data`);
  }

  runsFile(pointId: string, disk: string): string {
    return join(this.path, POINTS, pointId, `${disk}.runs`);
  }

  /** The newest point; undefined if there is none. */
  async head(): Promise<{ readonly head: PointReference; readonly point: Point } | undefined> {
    const path = join(this.path, HEAD);
    const bytes = await readIfPresent(path);
    if (bytes === undefined) return undefined;
    const head = decodeHead(bytes, path);
    return { head, point: await this.#point(head) };
  }

  /** The points from the newest to the first, each checked against the hash that the next one has of it. */
  async *chain(): AsyncGenerator<Point, void, undefined> {
    let point = (await this.head())?.point;
    const seen = new Set<string>();
    while (point !== undefined) {
      if (seen.has(point.id)) throw new DamagedError('hash', `point ${point.id} is its own ancestor`);
      seen.add(point.id);
      yield point;
      point = point.previous === null ? undefined : await this.#point(point.previous);
    }
  }

  /** A new folder for a point that does not exist yet. */
  async createPartial(id: string): Promise<PartialPoint> {
    const path = join(this.path, POINTS, id + PARTIAL_SUFFIX);
    await mkdir(path, { recursive: true });
    return {
      path,
      dataFile: (disk) => join(path, `${disk}.data`),
      runsFile: (disk) => join(path, `${disk}.runs`),
    };
  }

  /** Makes a point whose files are complete and durable the newest one. */
  async commit(partial: PartialPoint, point: Point): Promise<void> {
    const manifest = encodeManifest(point);
    await replaceFile(join(partial.path, MANIFEST), manifest); // also makes the folder's other names durable
    await rename(partial.path, join(this.path, POINTS, point.id));
    await syncFolder(join(this.path, POINTS));
    const head: PointReference = { id: point.id, manifestSha256: sha256(manifest) };
    await replaceFile(join(this.path, HEAD), `${JSON.stringify(head)}\n`);
  }

  /** Removes a point that was not committed, and folders that are empty without it. */
  async discard(partial: PartialPoint): Promise<void> {
    await rm(partial.path, { recursive: true, force: true });
    for (const folder of [join(this.path, POINTS), this.path]) await rmdir(folder).catch(() => undefined);
  }

  /** Removes what no head leads to: what an interrupted backup left. */
  async removeUnreachable(): Promise<void> {
    const reachable = new Set<string>();
    for await (const { id } of this.chain()) reachable.add(id);
    for (const name of await readdir(join(this.path, POINTS)).catch(() => []))
      if (!reachable.has(name)) await rm(join(this.path, POINTS, name), { recursive: true, force: true });
  }

  async #point({ id, manifestSha256 }: PointReference): Promise<Point> {
    const path = join(this.path, POINTS, id, MANIFEST);
    const bytes = await readIfPresent(path);
    if (bytes === undefined) throw new DamagedError('hash', `point ${id} is missing: there is no ${path}`);
    return decodeManifest(bytes, id, manifestSha256);
  }
}

/** The files of a point while they are written. */
export interface PartialPoint {
  readonly path: string;
  dataFile(disk: string): string;
  runsFile(disk: string): string;
}
