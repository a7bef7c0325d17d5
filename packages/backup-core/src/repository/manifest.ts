import { DamagedError, messageOf } from '../words/errors.ts';
import { sha256 } from '../adapters/folder/durable.ts';

/** One disk of a stored point. */
export interface StoredDisk {
  /** `<target dev>`, such as `vda`. */
  readonly name: string;
  /** An incremental builds on the same disk of the parent point; a full on nothing. */
  readonly mode: 'full' | 'incremental';
  /** Why this is a full although the point is incremental. */
  readonly demoted?: string;
  /** Bytes of the virtual disk. */
  readonly size: number;
  readonly image: { readonly path: string; readonly format: string };
  /** Bytes stored, and bytes of the ranges stored as zeroes. */
  readonly dataBytes: number;
  readonly zeroBytes: number;
  /** Of the list of runs, which holds a hash of each run's bytes. */
  readonly runsSha256: string;
}

/** A stored point and the hash of what its manifest has to say. */
export interface PointReference {
  readonly id: string;
  readonly manifestSha256: string;
}

/** A stored point: what a manifest says. */
export interface Point {
  /** Unique; ids of one domain sort in the order in which the points were taken. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly mode: 'full' | 'incremental';
  readonly domain: { readonly name: string; readonly uuid: string };
  /** The libvirt checkpoint created with this point. */
  readonly checkpoint: string;
  /** Why this is a full. */
  readonly reason?: string;
  /** The point that the incremental disks of this one build on; null in a full. */
  readonly parent: PointReference | null;
  /** The point of this domain that was the newest before this one; null in the first. */
  readonly previous: PointReference | null;
  readonly disks: readonly StoredDisk[];
  /** The domain's other disks, each with the reason. */
  readonly excluded: readonly { readonly name: string; readonly reason: string }[];
  readonly domainXml: string;
}

export function encodeManifest(point: Point): string {
  return `${JSON.stringify(point, null, 2)}\n`;
}

/** @throws DamagedError unless the bytes are those that were stored */
export function decodeManifest(bytes: Buffer, id: string, expectedSha256: string): Point {
  const actual = sha256(bytes);
  if (actual !== expectedSha256)
    throw new DamagedError(
      'hash',
      `the manifest of point ${id} is damaged: SHA-256 ${actual}, expected ${expectedSha256}`,
    );
  // Whoever knows the hash wrote the content: no field needs checking again.
  const point = parseJson(bytes, `the manifest of point ${id}`) as Point;
  if (point.id !== id)
    throw new DamagedError('hash', `the manifest of point ${id} is that of point ${point.id}`);
  return point;
}

/** @throws DamagedError if it is not what was written */
export function decodeHead(bytes: Buffer, path: string): PointReference {
  const head = parseJson(bytes, path) as Partial<PointReference> | null;
  if (typeof head?.id !== 'string' || typeof head.manifestSha256 !== 'string')
    throw new DamagedError('hash', `${path} does not name a point`);
  return { id: head.id, manifestSha256: head.manifestSha256 };
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw new DamagedError('hash', `${what} is not JSON: ${messageOf(error)}`, { cause: error });
  }
}
