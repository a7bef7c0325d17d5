import { type Storage, StorageError, type StorageOptions } from '../ports/storage.ts';
import { messageOf, RepositoryError } from '../words/errors.ts';
import type { Owners } from '../words/owner.ts';
import { shown } from '../words/peer-names.ts';
import { ulid } from '../words/ulid.ts';
import { encode, endName, leaseName, type LeaseRecord, readEnd, type Work } from './lease-records.ts';
import { removeSeal, settleOrphans } from './intents.ts';
import { LeaseWatch, type SeenLease, takeOver, untilNextLook } from './lease-watch.ts';
import { isMissing, isTaken, storageFailure } from './storage-errors.ts';

/** A lease of another machine lives so long without being renewed. */
export const LEASE_MS = 60_000;
/** Those of this process, which lives, that could not be removed when their work was over. */
const givenUp: Set<string> = new Set<string>();
/** So often is it renewed within its time. */
const RENEWALS = 6;

/** How a lease is taken. */
export interface LeaseOptions extends StorageOptions {
  /** A lease of another machine that is not renewed for so long is taken over. All machines must agree. */
  readonly leaseMs?: number | undefined;
}

/** The right to do a piece of work in a repository, for as long as it is renewed. */
export interface Lease extends AsyncDisposable {
  readonly id: string;
  /** Aborted, with a `RepositoryError`, when somebody took it over or it could not be renewed. */
  readonly lost: AbortSignal;
  /** Makes sure, now, that it was not taken over. @throws RepositoryError */
  confirm(options?: StorageOptions): Promise<void>;
  /**
   * The last step before the one `put` that commits: from here on nobody takes it over.
   *
   * @param object - what will be put
   * @throws RepositoryError if it was taken over
   */
  seal(object: string, options?: StorageOptions): Promise<void>;
  /** Gives it back; leaving an `await using` block does, too, and never fails. It was lost: does nothing. */
  release(): Promise<void>;
}

/**
 * Takes a lease. One backup of a domain at a time, and one sweep; all else goes side by side. Whoever is found dead
 * is cleaned up after. For a lease of another machine it is watched whether it is renewed, up to its time.
 *
 * @throws RepositoryError `busy` if somebody else works on the same: says who, where and since when
 */
export async function takeLease(
  storage: Storage,
  owners: Owners,
  work: Work,
  { leaseMs = LEASE_MS, signal }: LeaseOptions = {},
): Promise<Lease> {
  try {
    signal?.throwIfAborted();
    const record: LeaseRecord = {
      ...work,
      owner: await owners.self(),
      since: new Date().toISOString(),
      isAsking: true,
      renewal: 0,
    };
    const lease = new HeldLease(storage, ulid(), record, leaseMs);
    try {
      // Even one that could not be put may be there.
      await lease.begin({ signal });
      await makeWay(storage, owners, lease, work, leaseMs, signal);
      await lease.hold({ signal });
    } catch (error) {
      // The first failure is the one to tell; a lease that cannot be removed now runs out.
      await lease.release().catch(() => undefined);
      throw error;
    }
    return lease;
  } catch (error) {
    throw storageFailure(`take a lease in ${storage.description}`, error, signal);
  }
}

/** Waits until nobody is in the way, which is known at once but for other machines. */
async function makeWay(
  storage: Storage,
  owners: Owners,
  { id }: Lease,
  work: Work,
  leaseMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await settleOrphans(storage, { signal });
  const watch = new LeaseWatch(storage, owners, leaseMs);
  for (;;) {
    const others = (await watch.look({ signal })).filter((other) => other.id !== id);
    const inTheWay: SeenLease[] = [];
    for (const other of others) {
      const isDead = other.state === 'dead' || givenUp.has(other.id);
      const isOver = isDead || (other.state === 'expired' && isRival(other, work));
      const ended = isDead ? ({ ...other, state: 'dead' } as const) : other;
      if (isOver && (await takeOver(storage, ended, { signal }))) continue;
      if (isRival(other, work)) inTheWay.push(other);
    }
    for (const rival of inTheWay) if (winsOver(rival, id)) throw busy(storage, rival);
    if (inTheWay.length === 0) return;
    await untilNextLook(leaseMs, signal);
  }
}

/** Whether two pieces of work exclude each other. What makes no sense may be anything. */
function isRival({ record }: SeenLease, work: Work): boolean {
  if (record === undefined) return work.kind === 'backup' || work.kind === 'sweep';
  if (record.kind !== work.kind) return false;
  return work.kind === 'sweep' || (work.kind === 'backup' && record.domain === work.domain);
}

/**
 * Who has a lease keeps it, whatever the clocks say that its id was made from. Of those who are asking at once the
 * lowest id waits for the others to give way.
 */
function winsOver(rival: SeenLease, id: string): boolean {
  if (rival.state === 'expired') return true;
  return rival.state === 'alive' && (rival.record?.isAsking !== true || rival.id < id);
}

function busy(storage: Storage, { id, record, state }: SeenLease): RepositoryError {
  const who =
    record === undefined
      ? `somebody whose lease cannot be read`
      : `process ${record.owner.pid} on ${shown(record.owner.host)} (${record.kind}, since ${shown(record.since)})`;
  const hint =
    state === 'expired'
      ? `; it may be in the middle of its commit: run it again there, or remove ${leaseName(id)}`
      : '';
  return new RepositoryError('busy', `${storage.description} is being worked on by ${who}${hint}`);
}

class HeldLease implements Lease {
  readonly id: string;
  readonly #storage: Storage;
  readonly #leaseMs: number;
  readonly #lost = new AbortController();
  #record: LeaseRecord;
  #bytes: Uint8Array;
  #renewedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Renewals one after another. */
  #renewing: Promise<void> = Promise.resolve();
  #isReleased = false;
  #isSealed = false;

  constructor(storage: Storage, id: string, record: LeaseRecord, leaseMs: number) {
    this.#storage = storage;
    this.id = id;
    this.#leaseMs = leaseMs;
    this.#record = record;
    this.#bytes = encode(record);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async begin(options: StorageOptions): Promise<void> {
    await this.#storage.put(leaseName(this.id), this.#bytes, options);
    this.#renewedAt = performance.now();
    this.#timer = setInterval(() => void this.#renewOnTime(), this.#leaseMs / RENEWALS).unref();
  }

  async hold(options: StorageOptions): Promise<void> {
    this.#record = { ...this.#record, isAsking: false };
    await this.confirm(options);
  }

  confirm(options?: StorageOptions): Promise<void> {
    const renewal = this.#renewing.then(() => this.#renew(options));
    // The next one does not fail for this one.
    this.#renewing = renewal.catch(() => undefined);
    return renewal;
  }

  async seal(object: string, options?: StorageOptions): Promise<void> {
    await this.confirm(options);
    this.#isSealed = true;
    try {
      await this.#storage.put(endName(this.id), encode({ end: 'commit', object }), options);
    } catch (error) {
      throw isTaken(error) ? this.#lose(error) : storageFailure('seal a lease', error, options?.signal);
    }
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#renewing;
    try {
      if (this.#lost.signal.aborted) return;
      if (this.#isSealed) await removeSeal(this.#storage, this.id);
      await this.#storage.remove(leaseName(this.id));
    } catch (error) {
      givenUp.add(this.id);
      throw storageFailure(`give back the lease ${this.id}`, error);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    // What was done under it is done: the next one to come takes it over.
    return this.release().catch(() => undefined);
  }

  async #renew(options: StorageOptions | undefined): Promise<void> {
    if (this.#lost.signal.aborted) throw this.#lost.signal.reason;
    const begun = performance.now();
    const record = { ...this.#record, renewal: this.#record.renewal + 1 };
    const bytes = encode(record);
    try {
      await this.#replace(bytes, options);
      const end = await readEnd(this.#storage, this.id, options);
      // A renewal that crossed a takeover would bring the lease back.
      if (end?.end === 'taken') await this.#storage.remove(leaseName(this.id), options);
      if (end?.end === 'taken') throw this.#lose(undefined);
    } catch (error) {
      throw isMissing(error) ? this.#lose(error) : storageFailure('renew a lease', error, options?.signal);
    }
    this.#record = record;
    this.#bytes = bytes;
    this.#renewedAt = begun;
  }

  async #replace(bytes: Uint8Array, options: StorageOptions | undefined): Promise<void> {
    const name = leaseName(this.id);
    try {
      await this.#storage.replace(name, bytes, this.#bytes, options);
    } catch (error) {
      if (!(error instanceof StorageError) || error.reason !== 'changed') throw error;
      // Nobody else writes it: an earlier renewal was reported as failed, and was none.
      await this.#storage.replace(name, bytes, await this.#storage.get(name, options), options);
    }
  }

  async #renewOnTime(): Promise<void> {
    try {
      await this.confirm();
    } catch (error) {
      // Once may be bad luck; when its time is nearly over it has to be given up.
      const age = performance.now() - this.#renewedAt;
      if (age > (this.#leaseMs * (RENEWALS - 1)) / RENEWALS) this.#lose(error);
    }
  }

  #lose(cause: unknown): RepositoryError {
    clearInterval(this.#timer);
    const why = cause === undefined ? 'somebody took it over' : messageOf(cause);
    const error = new RepositoryError('busy', `the lease in ${this.#storage.description} was lost: ${why}`, {
      cause,
    });
    if (!this.#lost.signal.aborted) this.#lost.abort(error);
    return error;
  }
}
