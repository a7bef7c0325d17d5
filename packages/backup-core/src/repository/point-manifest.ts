import { createHash } from 'node:crypto';
import { DamagedError, messageOf } from '../words/errors.ts';
import { checkpointName, diskName, domainUuid, shown } from '../words/peer-names.ts';
import { HASH_BYTES, POINTS } from './format.ts';
import type { Point, PointReference, StoredDisk, StoredState } from './point.ts';
import { MAX_DISK_BYTES, type Reference } from './tree/page.ts';

const FORMAT = 1;
const NAME = /^points\/([0-9a-f-]{36})\/([0-7][0-9A-HJKMNP-TV-Z]{25})\.([0-9a-f]{64})$/;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const ID = 26;

/** The name of a point's manifest: it says whose, which, and what must be in it. */
export interface ManifestName extends PointReference {
  /** Of the domain. */
  readonly uuid: string;
}

/** @returns undefined unless it is the name of a manifest */
export function parseManifestName(name: string): ManifestName | undefined {
  const [, uuid = '', id = '', sha256 = ''] = NAME.exec(name) ?? [];
  return id.length === ID && domainUuid(uuid) === uuid ? { uuid, id, sha256 } : undefined;
}

/** The object that a manifest with this content is. */
export function manifestName({ uuid, id, sha256 }: ManifestName): string {
  return `${POINTS}${uuid}/${id}.${sha256}`;
}

/** SHA-256 in hexadecimal. */
export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A point as JSON; the same point gives the same bytes. */
export function encodeManifest(point: Point): Buffer {
  const disks = point.disks.map((disk) => ({ ...disk, root: disk.root && encodeReference(disk.root) }));
  const states = point.states?.map(({ name, bytes }) => ({
    name,
    base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'),
  }));
  return Buffer.from(`${JSON.stringify({ format: FORMAT, ...point, disks, states }, null, 1)}\n`);
}

/**
 * Whoever could write into the repository wrote this: each field is checked before it is used, and identity against
 * the place.
 *
 * @throws DamagedError `format`
 */
export function decodeManifest(bytes: Uint8Array, { id, uuid }: ManifestName): Point {
  try {
    const fields = record(JSON.parse(Buffer.from(bytes).toString('utf8')), 'it');
    if (fields.format !== FORMAT) throw new Error(`its format is not ${FORMAT}`);
    const point = pointOf(fields);
    if (point.id !== id) throw new Error(`it is that of point ${shown(point.id)}`);
    if (point.domain.uuid !== uuid) throw new Error(`it is that of domain ${point.domain.uuid}`);
    return point;
  } catch (error) {
    throw new DamagedError('format', `the manifest of point ${id} makes no sense: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function pointOf(fields: Fields): Point {
  const { domain, checkpoint, previous, definition, versions, states } = fields;
  const named = record(domain, 'domain');
  const uuid = domainUuid(text(named.uuid, 'domain.uuid'));
  if (uuid === undefined) throw new Error('domain.uuid is none');
  const defined = record(definition, 'definition');
  const version = record(versions, 'versions');
  return {
    id: matching(fields.id, ULID, 'id'),
    createdAt: text(fields.createdAt, 'createdAt'),
    domain: { name: text(named.name, 'domain.name'), uuid },
    checkpoint: checkpoint === null ? null : checkpointOf(record(checkpoint, 'checkpoint')),
    previous: previous === null ? null : referenceOfPoint(record(previous, 'previous')),
    disks: disksOf(fields.disks),
    excluded: list(fields.excluded, 'excluded').map((each) => {
      const { name, reason, message } = record(each, 'excluded');
      return {
        name: text(name, 'excluded.name'),
        reason: text(reason, 'excluded.reason') as Point['excluded'][number]['reason'],
        message: text(message, 'excluded.message'),
      };
    }),
    definition: {
      live: text(defined.live, 'definition.live'),
      inactive: defined.inactive === null ? null : text(defined.inactive, 'definition.inactive'),
    },
    versions: {
      libvirt: text(version.libvirt, 'versions.libvirt'),
      hypervisor: text(version.hypervisor, 'versions.hypervisor'),
    },
    ...(states === undefined ? {} : { states: list(states, 'states').map(stateOf) }),
  };
}

function checkpointOf({ name, creationTime }: Fields): NonNullable<Point['checkpoint']> {
  const checked = checkpointName(text(name, 'checkpoint.name'));
  if (checked === undefined) throw new Error('checkpoint.name is none');
  return { name: checked, creationTime: count(creationTime, 'checkpoint.creationTime') };
}

function referenceOfPoint({ id, sha256 }: Fields): PointReference {
  return { id: matching(id, ULID, 'previous.id'), sha256: matching(sha256, SHA256, 'previous.sha256') };
}

function disksOf(value: unknown): readonly StoredDisk[] {
  const disks = list(value, 'disks').map((each) => diskOf(record(each, 'disk')));
  if (new Set(disks.map(({ name }) => name)).size < disks.length) throw new Error('two disks have one name');
  return disks;
}

function diskOf(fields: Fields): StoredDisk {
  const name = diskName(text(fields.name, 'disk.name'));
  if (name === undefined) throw new Error('disk.name is none');
  const size = count(fields.size, 'disk.size');
  if (size > MAX_DISK_BYTES) throw new Error(`a disk cannot have ${size} bytes`);
  const image = record(fields.image, 'disk.image');
  const { dirtyBytes, healedBytes, freeOf } = fields;
  return {
    name,
    size,
    image: {
      path: text(image.path, 'disk.image.path'),
      format: text(image.format, 'disk.image.format'),
      chain: list(image.chain, 'disk.image.chain').map((each) => text(each, 'disk.image.chain')),
    },
    reading: readingOf(record(fields.reading, 'disk.reading')),
    ...(dirtyBytes === undefined ? {} : { dirtyBytes: count(dirtyBytes, 'disk.dirtyBytes') }),
    root: fields.root === null ? null : decodeReference(record(fields.root, 'disk.root')),
    treeSince: matching(fields.treeSince, ULID, 'disk.treeSince'),
    nextAudit: count(fields.nextAudit, 'disk.nextAudit'),
    ...(healedBytes === undefined ? {} : { healedBytes: count(healedBytes, 'disk.healedBytes') }),
    ...(freeOf === undefined
      ? {}
      : { freeOf: list(freeOf, 'disk.freeOf').map((each) => matching(each, ULID, 'disk.freeOf')) }),
    readBytes: count(fields.readBytes, 'disk.readBytes'),
    auditedBytes: count(fields.auditedBytes, 'disk.auditedBytes'),
    changedBytes: count(fields.changedBytes, 'disk.changedBytes'),
    storedRawBytes: count(fields.storedRawBytes, 'disk.storedRawBytes'),
    storedBytes: count(fields.storedBytes, 'disk.storedBytes'),
    reusedBytes: count(fields.reusedBytes, 'disk.reusedBytes'),
    zeroBytes: count(fields.zeroBytes, 'disk.zeroBytes'),
  };
}

function readingOf({ mode, checkpoint, reason, message }: Fields): StoredDisk['reading'] {
  if (mode === 'incremental') return { mode, checkpoint: text(checkpoint, 'disk.reading.checkpoint') };
  if (mode !== 'full') throw new Error('disk.reading.mode is unknown');
  return {
    mode,
    reason: text(reason, 'disk.reading.reason') as Extract<StoredDisk['reading'], { mode: 'full' }>['reason'],
    message: text(message, 'disk.reading.message'),
  };
}

function stateOf(value: unknown): StoredState {
  const { name, base64 } = record(value, 'state');
  return { name: text(name, 'state.name'), bytes: Buffer.from(text(base64, 'state.base64'), 'base64') };
}

function encodeReference({ hash, pack, number }: Reference): Record<string, string | number> {
  return { hash: Buffer.from(hash).toString('hex'), pack, number };
}

function decodeReference({ hash, pack, number }: Fields): Reference {
  return {
    hash: Buffer.from(matching(hash, SHA256, 'root.hash'), 'hex').subarray(0, HASH_BYTES),
    pack: matching(pack, ULID, 'root.pack'),
    number: count(number, 'root.number'),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function record(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${what} is not an object`);
  return value as Fields;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${what} is not a list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Error(`${what} is not a text`);
  return value;
}

function matching(value: unknown, pattern: RegExp, what: string): string {
  const checked = text(value, what);
  if (!pattern.test(checked)) throw new Error(`${what} is none`);
  return checked;
}

function count(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new Error(`${what} is not a count`);
  return value as number;
}
