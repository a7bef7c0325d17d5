import type { Storage, StorageOptions } from '../ports/storage.ts';
import { getIfPresent } from './get-if-present.ts';
import { encode, endName, findLeases, LEASES, parse, readEnd } from './lease-records.ts';

/** Where intents are: one for each lease that has put something, under the lease's id. */
export const INTENTS = 'intents/';

const END_NAME = /^leases\/([0-9A-HJKMNP-TV-Z]{26})\.end$/;
const LEASE_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const POINT = /^points\/[0-9a-f-]{36}\/[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const PACK_NAME = /^packs\/[0-9A-HJKMNP-TV-Z]{26}\.\d+$/;

/**
 * What an unfinished writer has put, or is about to: it is written down before it is put, so that whatever a crash
 * leaves is known by name. Nothing is ever removed for not being known.
 */
export class Intent {
  readonly #storage: Storage;
  readonly #lease: string;
  readonly #point: string;
  readonly #name: string;
  readonly #packs: string[] = [];
  #bytes: Uint8Array | undefined;

  /**
   * @param lease - id of the lease that it is under
   * @param point - where the point goes that the packs are for, without the hash: a file-by-file copy that was made
   * meanwhile may have the point and this, but not the lease's end
   */
  constructor(storage: Storage, lease: string, point: string) {
    this.#storage = storage;
    this.#lease = lease;
    this.#point = point;
    this.#name = `${INTENTS}${lease}`;
  }

  /** Packs that are written down. */
  get packs(): readonly string[] {
    return this.#packs;
  }

  /** Writes down that packs will be put. One call at a time. @throws StorageError */
  async add(packs: readonly string[], options?: StorageOptions): Promise<void> {
    const next = encode({ packs: [...this.#packs, ...packs], point: this.#point });
    if (this.#bytes === undefined) await this.#storage.put(this.#name, next, options);
    else await this.#storage.replace(this.#name, next, this.#bytes, options);
    this.#bytes = next;
    this.#packs.push(...packs);
  }

  /** The packs belong to a point now. */
  async finish(options?: StorageOptions): Promise<void> {
    if (this.#bytes !== undefined) await this.#storage.remove(this.#name, options);
  }

  /** Removes the packs that were put, and nothing else; none if the lease's commit was done after all. */
  undo(options?: StorageOptions): Promise<void> {
    return settleIntent(this.#storage, this.#lease, options);
  }
}

/**
 * Finishes or undoes what the owner of a lease left half done. Only for one who cannot go on: who is dead, or whose
 * lease was taken.
 */
export async function settleIntent(storage: Storage, lease: string, options?: StorageOptions): Promise<void> {
  const name = `${INTENTS}${lease}`;
  const bytes = await getIfPresent(storage, name, options);
  if (bytes === undefined) return;
  const { packs, point } = parseIntent(bytes);
  if (!(await isCommitted(storage, lease, point, options)))
    for (const pack of packs) await storage.remove(pack, options);
  await storage.remove(name, options);
}

/** Settles the intents whose leases are gone. */
export async function settleOrphans(storage: Storage, options?: StorageOptions): Promise<void> {
  // In this order: the intent of one who gives back its lease in between is gone before.
  const intents: string[] = [];
  for await (const { name } of storage.list(INTENTS, options)) {
    const id = name.slice(INTENTS.length);
    if (LEASE_ID.test(id)) intents.push(id);
  }
  if (intents.length === 0) return;
  const living = new Set((await findLeases(storage, options)).map(({ id }) => id));
  for (const id of intents) {
    if (living.has(id)) continue;
    await settleIntent(storage, id, options);
    await removeSeal(storage, id, options);
  }
}

/** Removes what says that a lease ends with a commit, unless there is an intent that has to know. */
export async function removeSeal(storage: Storage, lease: string, options?: StorageOptions): Promise<void> {
  if ((await readEnd(storage, lease, options))?.end !== 'commit') return;
  if ((await storage.size(`${INTENTS}${lease}`, options)) === undefined)
    await storage.remove(endName(lease), options);
}

/**
 * The objects of commits that are not over. They are not to be removed: whether they are there decides what becomes
 * of their packs should their writer be dead. Asked after the objects were listed.
 */
export async function sealedObjects(storage: Storage, options?: StorageOptions): Promise<Set<string>> {
  const objects = new Set<string>();
  for await (const { name } of storage.list(LEASES, options)) {
    const id = END_NAME.exec(name)?.[1];
    const end = id === undefined ? undefined : await readEnd(storage, id, options);
    if (end?.end === 'commit') objects.add(end.object);
  }
  return objects;
}

/** Whether there is what a lease ended with, or may be, or the point that the packs are for. */
async function isCommitted(
  storage: Storage,
  lease: string,
  point: string | undefined,
  options?: StorageOptions,
): Promise<boolean> {
  if (point !== undefined) for await (const _ of storage.list(`${point}.`, options)) return true;
  const end = await readEnd(storage, lease, options);
  if (end?.end !== 'commit') return false;
  // One that cannot be read says nothing: a sweep finds what is left.
  return end.object === '' || (await storage.size(end.object, options)) !== undefined;
}

/** Of an intent that makes no sense nothing is removed: a sweep finds what is left. */
function parseIntent(bytes: Uint8Array): {
  readonly packs: readonly string[];
  readonly point: string | undefined;
} {
  const { packs, point } = parse(bytes) ?? {};
  return {
    packs: Array.isArray(packs)
      ? packs.filter((pack): pack is string => typeof pack === 'string' && PACK_NAME.test(pack))
      : [],
    point: typeof point === 'string' && POINT.test(point) ? point : undefined,
  };
}
