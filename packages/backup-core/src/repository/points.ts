import type { Storage } from '../ports/storage.ts';
import { DamagedError, messageOf } from '../words/errors.ts';
import { shown } from '../words/peer-names.ts';
import { POINTS } from './format.ts';
import { getIfPresent } from './get-if-present.ts';
import type { Point, PointReference } from './point.ts';
import {
  decodeManifest,
  encodeManifest,
  type ManifestName,
  manifestName,
  parseManifestName,
  sha256Of,
} from './point-manifest.ts';
import type { RepositoryKeys } from './seal.ts';
import { isTaken, storageFailure } from './storage-errors.ts';

/** No manifest is larger: a domain's XML is small. */
const MAX_MANIFEST_BYTES: number = 64 * 1024 * 1024;

/** A point and what it is found and referred to by. */
export interface ListedPoint {
  /** What its manifest says. */
  readonly point: Point;
  /** Its id and the hash of its manifest. */
  readonly reference: PointReference;
  /** Of its manifest. */
  readonly object: string;
}

/** What is in a repository. */
export interface PointListing {
  /** Oldest first. */
  readonly points: readonly ListedPoint[];
  /** Objects where points are that are none, or none any more. Each harms itself alone. */
  readonly damaged: readonly { readonly name: string; readonly reason: string }[];
}

interface PointsOptions {
  /** Of the domain; absent: of all. */
  readonly uuid?: string | undefined;
  readonly keys?: RepositoryKeys | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Lists points. A manifest counts only if its content has the hash that its name says. */
export async function listPoints(storage: Storage, options: PointsOptions = {}): Promise<PointListing> {
  return readPoints(storage, await objectsIn(storage, options), options);
}

/** The newest points of a domain, and the names of all. */
export interface RecentPoints extends PointListing {
  /** Of every point that has the name of one, read or not. */
  readonly ids: readonly string[];
}

/**
 * Reads the manifests of a domain's points, the newest first, as far as it is wanted.
 *
 * @param isEnough - asked with what was read so far, the newest first
 */
export async function listRecentPoints(
  storage: Storage,
  options: PointsOptions & { readonly isEnough: (points: readonly ListedPoint[]) => boolean },
): Promise<RecentPoints> {
  const objects = await objectsIn(storage, options);
  const newestFirst = [...objects].sort((a, b) => (a.name > b.name ? -1 : 1));
  const { points, damaged } = await readPoints(storage, newestFirst, options);
  return { points, damaged, ids: objects.flatMap(({ name }) => parseManifestName(name)?.id ?? []) };
}

async function readPoints(
  storage: Storage,
  objects: readonly StoredObject[],
  options: PointsOptions & { readonly isEnough?: ((points: readonly ListedPoint[]) => boolean) | undefined },
): Promise<PointListing> {
  const points: ListedPoint[] = [];
  const damaged: { name: string; reason: string }[] = [];
  for (const { name, size } of objects)
    try {
      if (options.isEnough?.(points) === true) break;
      const named = parseManifestName(name);
      if (named === undefined) throw new DamagedError('format', 'it has not the name of a manifest');
      if (size > MAX_MANIFEST_BYTES) throw new DamagedError('format', 'it is larger than any manifest');
      const point = await readManifest(storage, named, options);
      // Removed since it was listed.
      if (point === undefined) continue;
      points.push({ point, reference: { id: named.id, sha256: named.sha256 }, object: name });
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      damaged.push({ name: shown(name), reason: messageOf(error) });
    }
  points.sort((a, b) => (a.point.id < b.point.id ? -1 : 1));
  return { points, damaged };
}

/** A point as it is stored, before it is. */
export interface SealedPoint extends ListedPoint {
  readonly bytes: Uint8Array;
}

/** Makes the object that commits a point. What the manifest refers to must be durable before it is put. */
export function sealPoint(point: Point, keys: RepositoryKeys | undefined): SealedPoint {
  const plain = encodeManifest(point);
  const bytes = keys?.sealManifest(plain, placeOf(point.domain.uuid, point.id)) ?? plain;
  const reference = { id: point.id, sha256: sha256Of(bytes) };
  return { point, reference, object: manifestName({ uuid: point.domain.uuid, ...reference }), bytes };
}

/**
 * Puts a point's manifest, without the lease that `commit` wants.
 *
 * @throws RepositoryError; the point may be there all the same, see `hasPoint`
 */
export async function putPoint(
  storage: Storage,
  point: Point,
  options: Omit<PointsOptions, 'uuid'> = {},
): Promise<ListedPoint> {
  const { bytes, reference, object } = sealPoint(point, options.keys);
  try {
    await storage.put(object, bytes, { signal: options.signal });
  } catch (error) {
    // A name that holds its content's hash can only be taken by that content.
    if (!isTaken(error)) throw storageFailure(`store point ${point.id}`, error, options.signal);
  }
  return { point, reference, object };
}

/** Whether a point's manifest is there: what became of a `putPoint` that failed. */
export async function hasPoint(storage: Storage, uuid: string, id: string): Promise<boolean> {
  for (const { name } of await objectsIn(storage, { uuid }))
    if (parseManifestName(name)?.id === id) return true;
  return false;
}

/** Removes a point. Its blocks stay until a sweep finds that no other point has them. */
export async function removePoint(
  storage: Storage,
  { object }: Pick<ListedPoint, 'object'>,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  try {
    await storage.remove(object, options);
  } catch (error) {
    throw storageFailure(`remove ${object}`, error, options.signal);
  }
}

interface StoredObject {
  readonly name: string;
  readonly size: number;
}

async function objectsIn(
  storage: Storage,
  { uuid, signal }: PointsOptions,
): Promise<readonly StoredObject[]> {
  const objects = [];
  try {
    for await (const object of storage.list(uuid === undefined ? POINTS : `${POINTS}${uuid}/`, { signal }))
      objects.push(object);
  } catch (error) {
    throw storageFailure('list the points', error, signal);
  }
  return objects;
}

/** @returns undefined where there is none */
async function readManifest(
  storage: Storage,
  name: ManifestName,
  { keys, signal }: PointsOptions,
): Promise<Point | undefined> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = await getIfPresent(storage, manifestName(name), { signal });
  } catch (error) {
    throw storageFailure(`read the manifest of point ${name.id}`, error, signal);
  }
  if (bytes === undefined) return undefined;
  if (sha256Of(bytes) !== name.sha256)
    throw new DamagedError('hash', `the manifest of point ${name.id} is damaged: its hash is wrong`);
  if (keys === undefined) return decodeManifest(bytes, name);
  const plain = keys.openManifest(Buffer.from(bytes), placeOf(name.uuid, name.id));
  if (plain === undefined)
    throw new DamagedError('hash', `the manifest of point ${name.id} cannot be decrypted`);
  return decodeManifest(plain, name);
}

/** Where the manifest of a point is, but for the hash of its content. */
export function placeOf(uuid: string, id: string): string {
  return `${POINTS}${uuid}/${id}`;
}
