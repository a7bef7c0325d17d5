import type { Storage, StorageOptions } from '../ports/storage.ts';
import type { DomainUuid } from '../words/peer-names.ts';
import type { Owner } from '../words/owner.ts';
import { getIfPresent } from './get-if-present.ts';

/** Where leases are. */
export const LEASES = 'leases/';

const LEASE_NAME = /^leases\/([0-9A-HJKMNP-TV-Z]{26})$/;

/** What somebody does in a repository. */
export type LeaseKind = 'backup' | 'restore' | 'read' | 'sweep';

/** What a lease is for. */
export interface Work {
  readonly kind: LeaseKind;
  /** The domain a backup is of: only one at a time. */
  readonly domain?: DomainUuid | undefined;
  /** Points that are read, or shared from: they are not removed meanwhile. */
  readonly points?: readonly string[] | undefined;
}

/** A lease as it is stored. */
export interface LeaseRecord extends Work {
  readonly owner: Owner;
  /** By its owner's clock, for messages only. */
  readonly since: string;
  /** Not yet had: its owner is looking whether somebody else is in the way. */
  readonly isAsking: boolean;
  /** Goes up while its owner lives. */
  readonly renewal: number;
}

/** A lease that was found. */
export interface FoundLease {
  readonly id: string;
  readonly bytes: Uint8Array;
  /** undefined: it makes no sense. Whoever wrote it may live all the same. */
  readonly record: LeaseRecord | undefined;
}

/** The name of a lease's object. */
export function leaseName(id: string): string {
  return `${LEASES}${id}`;
}

/**
 * The name of the object that ends a lease: its owner puts it before a commit, somebody else to take it over; only
 * one of them can.
 */
export function endName(id: string): string {
  return `${LEASES}${id}.end`;
}

/** How a lease ended: taken over, or with the commit of the object that is named. */
export type LeaseEnd = { readonly end: 'taken' } | { readonly end: 'commit'; readonly object: string };

/** How a lease ended; undefined: it did not. What makes no sense is taken for a commit of nothing. */
export async function readEnd(
  storage: Storage,
  id: string,
  options?: StorageOptions,
): Promise<LeaseEnd | undefined> {
  const bytes = await getIfPresent(storage, endName(id), options);
  if (bytes === undefined) return undefined;
  const { end, object } = parse(bytes) ?? {};
  if (end === 'taken') return { end };
  return { end: 'commit', object: typeof object === 'string' ? object : '' };
}

/** Every lease there is. */
export async function findLeases(storage: Storage, options?: StorageOptions): Promise<FoundLease[]> {
  // A renewal may move an object past a listing; twice in a row would take two renewals within milliseconds.
  const ids = new Set([...(await listIds(storage, options)), ...(await listIds(storage, options))]);
  const found: FoundLease[] = [];
  for (const id of [...ids].sort()) {
    const bytes = await getIfPresent(storage, leaseName(id), options);
    if (bytes !== undefined) found.push({ id, bytes, record: parseLease(bytes) });
  }
  return found;
}

async function listIds(storage: Storage, options?: StorageOptions): Promise<string[]> {
  const ids: string[] = [];
  for await (const { name } of storage.list(LEASES, options)) {
    const id = LEASE_NAME.exec(name)?.[1];
    if (id !== undefined) ids.push(id);
  }
  return ids;
}

/** JSON of an object as it is stored. */
export function encode(value: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

/** The fields of a JSON object; undefined: it is none. */
export function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const KINDS: readonly unknown[] = ['backup', 'restore', 'read', 'sweep'];

function parseLease(bytes: Uint8Array): LeaseRecord | undefined {
  const value = parse(bytes);
  if (value === undefined || !KINDS.includes(value.kind) || !isOwner(value.owner)) return undefined;
  return value as unknown as LeaseRecord;
}

function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false;
  const { host, machine, boot, pidNamespace, pid, startTime } = value as Record<string, unknown>;
  return (
    [host, machine, boot, pidNamespace, startTime].every((text) => typeof text === 'string') &&
    Number.isSafeInteger(pid)
  );
}
