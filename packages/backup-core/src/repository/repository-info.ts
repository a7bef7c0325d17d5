import type { ObjectInfo, Storage, StorageOptions } from '../ports/storage.ts';
import type { Owners } from '../words/owner.ts';
import { shown } from '../words/peer-names.ts';
import { QUARANTINE } from './format.ts';
import { INTENTS } from './intents.ts';
import type { EncryptionFields } from './key-envelope.ts';
import { type KeyType, typeOfSlot } from './key-slot.ts';
import type { LeaseKind } from './lease-records.ts';
import { type LeaseState, LeaseWatch } from './lease-watch.ts';
import { LEASE_MS } from './leases.ts';
import { parsePackName } from './packs/pack-name.ts';
import { parseManifestName } from './point-manifest.ts';
import { listPoints, type PointListing } from './points.ts';
import type { Compression, RepositoryFields } from './repository-file.ts';
import type { RepositoryKeys } from './seal.ts';
import { storageFailure } from './storage-errors.ts';

/** A key that opens a repository. */
export interface KeyInfo {
  /** 8 hexadecimal digits: by it the key is removed. */
  readonly id: string;
  /** What one needs to open with it. */
  readonly type: KeyType;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}

/** How a repository is encrypted. Nothing of it is secret. */
export interface EncryptionInfo {
  /** Always `aes-256-gcm` today. */
  readonly cipher: string;
  /** Each of them opens it. */
  readonly keys: readonly KeyInfo[];
  /** X25519 public keys in base64, of whose owners one has to read what is stored; null: whoever opens it can. */
  readonly recipients: readonly string[] | null;
}

/** A domain that has points. */
export interface RepositoryDomain {
  /** As libvirt knows it. */
  readonly uuid: string;
  /** What it was called, the newest name first; null: not known without the key. */
  readonly names: readonly string[] | null;
  /** How many. */
  readonly points: number;
  /** Id of the oldest point. */
  readonly oldest: string;
  /** Id of the newest point. */
  readonly newest: string;
}

/** Somebody who works in a repository, or did. */
export interface LeaseInfo {
  /** ULID. */
  readonly id: string;
  /** null: the lease cannot be read. */
  readonly kind: LeaseKind | null;
  /** UUID of the domain that is backed up. */
  readonly domain: string | null;
  /** Where its process runs. */
  readonly host: string | null;
  /** Its process, in that host's or container's own numbers. */
  readonly pid: number | null;
  /** By its owner's clock; ISO 8601, UTC. */
  readonly since: string | null;
  /** `unsure`: on another host. */
  readonly state: LeaseState;
}

/** What is to be said of a repository without reading what is stored. */
export interface RepositoryInfo {
  /** Where it is. */
  readonly description: string;
  /** 8 hexadecimal digits, part of the names of jobs and checkpoints. */
  readonly id: string;
  /** Version of the format. */
  readonly format: number;
  /** ISO 8601, UTC; null: it was not written down. */
  readonly createdAt: string | null;
  /** Bytes. */
  readonly blockSize: number;
  /** How new blocks are packed. */
  readonly compression: Compression;
  /** null: nothing is encrypted. */
  readonly encryption: EncryptionInfo | null;
  /** In the order of their UUIDs. */
  readonly domains: readonly RepositoryDomain[];
  /** Of all domains. */
  readonly points: number;
  /** Objects with blocks and pages, and their bytes. */
  readonly packs: { readonly count: number; readonly bytes: number };
  /** Everything there is, in bytes. */
  readonly bytes: number;
  /** Who works in it, and whom death has kept from saying that it is over. */
  readonly leases: readonly LeaseInfo[];
  /** Ids of writers that are not done; the next backup or sweep settles those whose leases are dead or gone. */
  readonly intents: readonly string[];
  /** Names of jobs that have not ended, or have not been seen to end. */
  readonly jobs: readonly string[];
  /** Points that are none, or none any more; null: not known without the key. `verify` looks deeper. */
  readonly damaged: PointListing['damaged'] | null;
  /** What was found damaged before and put aside. */
  readonly quarantined: { readonly count: number; readonly bytes: number };
  /** What could not be told, and why: sentences. */
  readonly unknown: readonly string[];
}

const JOBS = 'jobs/';
/** Where what was found damaged is kept, out of the way. */
const LEASE_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** Describes a repository. Reads only, under no lease: what is at work meanwhile may be seen half. */
export async function describeRepository(
  storage: Storage,
  owners: Owners,
  fields: RepositoryFields,
  { keys, signal }: StorageOptions & { readonly keys: RepositoryKeys | undefined },
): Promise<RepositoryInfo> {
  const { id, format, createdAt = null, blockSize, compression, encryption } = fields;
  const isReadable = encryption === undefined || keys !== undefined;
  try {
    const objects = await collect(storage, signal);
    const listing = isReadable ? await listPoints(storage, { keys, signal }) : undefined;
    const packs = objects.filter(({ name }) => parsePackName(name) !== undefined);
    const domains = domainsOf(objects, listing);
    const quarantined = objects.filter(({ name }) => name.startsWith(QUARANTINE));
    return {
      description: storage.description,
      ...{ id, format, createdAt, blockSize, compression },
      encryption: encryption === undefined ? null : describeEncryption(encryption),
      domains,
      points: domains.reduce((sum, { points }) => sum + points, 0),
      packs: { count: packs.length, bytes: bytesOf(packs) },
      bytes: bytesOf(objects),
      leases: await leasesOf(storage, owners, signal),
      intents: below(objects, INTENTS).filter((name) => LEASE_ID.test(name)),
      jobs: below(objects, JOBS).map(shown),
      damaged: listing === undefined ? null : listing.damaged,
      quarantined: { count: quarantined.length, bytes: bytesOf(quarantined) },
      unknown: isReadable
        ? []
        : ['without a key it cannot be told what the domains are called, and which points are damaged'],
    };
  } catch (error) {
    throw storageFailure(`describe ${storage.description}`, error, signal);
  }
}

/** What of an encryption is for everybody to know. */
export function describeEncryption({ cipher, keys, data }: EncryptionFields): EncryptionInfo {
  return {
    cipher,
    keys: keys.map((slot) => ({ id: slot.id, type: typeOfSlot(slot), createdAt: shown(slot.createdAt) })),
    recipients: data === undefined ? null : data.recipients.map(({ publicKey }) => shown(publicKey)),
  };
}

async function collect(storage: Storage, signal: AbortSignal | undefined): Promise<readonly ObjectInfo[]> {
  const objects: ObjectInfo[] = [];
  for await (const object of storage.list('', { signal })) objects.push(object);
  return objects;
}

function domainsOf(
  objects: readonly ObjectInfo[],
  listing: PointListing | undefined,
): readonly RepositoryDomain[] {
  const ids = new Map<string, string[]>();
  for (const { name } of objects) {
    const manifest = parseManifestName(name);
    if (manifest !== undefined) ids.set(manifest.uuid, [...(ids.get(manifest.uuid) ?? []), manifest.id]);
  }
  return [...ids].sort().map(([uuid, all]) => {
    const sorted = all.sort();
    const named = listing?.points.filter(({ point }) => point.domain.uuid === uuid).reverse();
    const names = named === undefined ? null : [...new Set(named.map(({ point }) => point.domain.name))];
    return { uuid, names, points: all.length, oldest: sorted[0] ?? '', newest: sorted.at(-1) ?? '' };
  });
}

async function leasesOf(
  storage: Storage,
  owners: Owners,
  signal: AbortSignal | undefined,
): Promise<readonly LeaseInfo[]> {
  const seen = await new LeaseWatch(storage, owners, LEASE_MS).look({ signal });
  return seen.map(({ id, record, state }) => ({
    id,
    kind: record?.kind ?? null,
    domain: textOf(record?.domain),
    host: textOf(record?.owner.host),
    pid: record?.owner.pid ?? null,
    since: textOf(record?.since),
    state,
  }));
}

/** What somebody else wrote may be anything. */
function textOf(value: unknown): string | null {
  return typeof value === 'string' ? shown(value) : null;
}

function bytesOf(objects: readonly ObjectInfo[]): number {
  return objects.reduce((sum, { size }) => sum + size, 0);
}

function below(objects: readonly ObjectInfo[], prefix: string): string[] {
  return objects.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name.slice(prefix.length));
}
