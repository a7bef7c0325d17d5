import { setTimeout as sleep } from 'node:timers/promises';
import type { Storage, StorageOptions } from '../ports/storage.ts';
import type { Owners } from '../words/owner.ts';
import { encode, endName, type FoundLease, findLeases, leaseName, readEnd } from './lease-records.ts';
import { settleIntent } from './intents.ts';
import { isTaken } from './storage-errors.ts';

const MAX_LOOK_MS = 500;
/** So often is it looked within a lease's time. */
const LOOKS = 12;

/**
 * What is known of a lease: `alive`; `dead`, for certain; `expired`: seen not to be renewed for its time; `unsure`:
 * not watched for long enough.
 */
export type LeaseState = 'alive' | 'dead' | 'expired' | 'unsure';

/** A lease and what is known of it. */
export interface SeenLease extends FoundLease {
  readonly state: LeaseState;
}

interface Sight {
  readonly bytes: Uint8Array;
  /** Of this process's monotonic clock: no two hosts' clocks are ever compared. */
  readonly at: number;
  readonly wasRenewed: boolean;
}

/** Watches leases until it is known who lives. */
export class LeaseWatch {
  readonly #storage: Storage;
  readonly #owners: Owners;
  readonly #leaseMs: number;
  #sights = new Map<string, Sight>();

  constructor(storage: Storage, owners: Owners, leaseMs: number) {
    this.#storage = storage;
    this.#owners = owners;
    this.#leaseMs = leaseMs;
  }

  /** All leases, and what is known of them by now. */
  async look(options?: StorageOptions): Promise<SeenLease[]> {
    const found = await findLeases(this.#storage, options);
    const sights = new Map<string, Sight>();
    const now = performance.now();
    for (const { id, bytes } of found) {
      const before = this.#sights.get(id);
      const isSame = before !== undefined && Buffer.compare(before.bytes, bytes) === 0;
      sights.set(id, isSame ? before : { bytes, at: now, wasRenewed: before !== undefined });
    }
    this.#sights = sights;
    return Promise.all(found.map(async (lease) => ({ ...lease, state: await this.#stateOf(lease, now) })));
  }

  async #stateOf({ id, record }: FoundLease, now: number): Promise<LeaseState> {
    const known = record === undefined ? 'elsewhere' : await this.#owners.state(record.owner);
    if (known !== 'elsewhere') return known;
    const sight = this.#sights.get(id);
    if (sight !== undefined && now - sight.at >= this.#leaseMs) return 'expired';
    return sight?.wasRenewed === true ? 'alive' : 'unsure';
  }
}

/** Waits until a lease may have been renewed. */
export async function untilNextLook(leaseMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(Math.min(MAX_LOOK_MS, leaseMs / LOOKS), undefined, { signal });
  } catch (error) {
    // The timer has an error of its own for it.
    signal?.throwIfAborted();
    throw error;
  }
}

/**
 * Ends the lease of somebody who does not live, and what that one left half done.
 *
 * @returns false if it cannot be ended: its owner may be about to commit
 */
export async function takeOver(
  storage: Storage,
  { id, state }: SeenLease,
  options?: StorageOptions,
): Promise<boolean> {
  if (state === 'expired') {
    try {
      await storage.put(endName(id), encode({ end: 'taken' }), options);
    } catch (error) {
      if (!isTaken(error)) throw error;
      if ((await readEnd(storage, id, options))?.end !== 'taken') return false;
    }
  }
  await settleIntent(storage, id, options);
  await storage.remove(leaseName(id), options);
  // That of one who is only thought to be dead stays: should it wake up, it cannot commit.
  if (state === 'dead') await storage.remove(endName(id), options);
  return true;
}

/**
 * Waits until leases have ended, and ends those of owners who do not live.
 *
 * @returns those that are still there when patience is over
 */
export async function outlast(
  storage: Storage,
  owners: Owners,
  ids: ReadonlySet<string>,
  { leaseMs, patienceMs, signal }: StorageOptions & { readonly leaseMs: number; readonly patienceMs: number },
): Promise<SeenLease[]> {
  const watch = new LeaseWatch(storage, owners, leaseMs);
  const start = performance.now();
  for (;;) {
    const left: SeenLease[] = [];
    for (const lease of await watch.look({ signal })) {
      if (!ids.has(lease.id)) continue;
      const isOver = lease.state === 'dead' || lease.state === 'expired';
      if (!isOver || !(await takeOver(storage, lease, { signal }))) left.push(lease);
    }
    if (left.length === 0 || performance.now() - start >= patienceMs) return left;
    await untilNextLook(leaseMs, signal);
  }
}
