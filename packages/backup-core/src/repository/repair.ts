import { NotFoundError, RepositoryError } from '../words/errors.ts';
import type { Owners } from '../words/owner.ts';
import { ulid } from '../words/ulid.ts';
import { QUARANTINE } from './format.ts';
import { sealedObjects } from './intents.ts';
import { listPoints } from './points.ts';
import { writeQuarantine } from './quarantine.ts';
import type { TreeStore } from './tree/tree-store.ts';
import { underLease } from './under-lease.ts';
import { Harm } from './verify/harm.ts';
import {
  checkMode,
  examine,
  type Examination,
  type VerifyOptions,
  type VerifyReport,
} from './verify/verify.ts';

/** Bytes that are copied at once. */
const COPY_BYTES: number = 4 * 1024 * 1024;

export interface RepairOptions extends VerifyOptions {
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Damaged manifests, by their objects' names, that are set aside. */
  readonly manifests?: readonly string[] | undefined;
}

/** What was found, and what was done about it, or would be. */
export interface RepairReport extends VerifyReport {
  /** What was not yet written down as damaged, and is now. */
  readonly quarantined: { readonly packs: number; readonly pieces: number };
  /** Records of damage of which no point has anything any more, or that could not be read: they are removed. */
  readonly releasedRecords: readonly string[];
  /** Damaged manifests that were moved out of the way of listings and sweeps, by the names they had. */
  readonly setAside: readonly string[];
}

/**
 * Writes down what is damaged, so that nothing that is stored from now on shares it: the next backup of a domain reads
 * anew what the newest point has lost. Nothing that is stored is changed; a damaged manifest is set aside if it is
 * named.
 *
 * @throws NotFoundError for a point that is not there, or a manifest that is not damaged; RepositoryError
 */
export async function repair(
  store: TreeStore,
  owners: Owners,
  options: RepairOptions,
): Promise<RepairReport> {
  checkMode(options.mode);
  const setAside = await setManifestsAside(store, owners, options);
  return underLease(store.storage, owners, { kind: 'read' }, options, async (_, signal) => {
    const found = await examine(store.fresh(), { ...options, signal });
    const fresh = besides(found.harm, found.quarantine.harm());
    const released = releasedRecords(found);
    if (options.dryRun !== true) {
      // In this order: what a record says that cannot be read is written down again before it goes.
      await writeQuarantine(store, fresh, { signal });
      for (const name of released) await store.storage.remove(name, { signal });
    }
    return {
      ...found.report,
      quarantined: { packs: fresh.packs.size, pieces: [...fresh.pieces].length },
      releasedRecords: released,
      setAside,
    };
  });
}

/** What is damaged and not yet known to be. */
function besides(harm: Harm, known: Harm): Harm {
  const fresh = new Harm();
  for (const [pack, reason] of harm.packs) if (!known.packs.has(pack)) fresh.addPack(pack, reason);
  for (const { reference, reason } of harm.pieces)
    if (known.reasonOf(reference) === undefined && !harm.packs.has(reference.pack))
      fresh.add(reference, reason);
  return fresh;
}

/** Only who has looked at everything can say that a record is not needed. */
function releasedRecords({ harm, quarantine, isComplete }: Examination): readonly string[] {
  if (!isComplete) return [];
  const released = quarantine.records.filter((record) => {
    for (const pack of record.harm.packs.keys()) if (harm.packs.has(pack)) return false;
    for (const { reference } of record.harm.pieces) if (harm.reasonOf(reference) !== undefined) return false;
    return true;
  });
  return [...released, ...quarantine.lost].map(({ name }) => name);
}

/** Points are removed by the owner of a sweep's lease alone, and so is what is left of them. */
async function setManifestsAside(
  store: TreeStore,
  owners: Owners,
  { dryRun = false, manifests = [], ...options }: RepairOptions,
): Promise<readonly string[]> {
  if (manifests.length === 0) return [];
  const { storage, keys } = store;
  const kind = dryRun ? 'read' : 'sweep';
  await underLease(storage, owners, { kind }, options, async (lease, signal) => {
    const { damaged } = await listPoints(storage, { keys, signal });
    for (const name of manifests)
      if (!damaged.some((each) => each.name === name))
        throw new NotFoundError('point', `${name} is not among the damaged manifests`);
    const sealed = await sealedObjects(storage, { signal });
    const inUse = manifests.find((name) => sealed.has(name));
    if (inUse !== undefined)
      throw new RepositoryError('busy', `whoever stores ${inUse} is not done: try again when they are`);
    if (dryRun) return;
    await lease.confirm({ signal });
    for (const name of manifests) await setAside(store, name, signal);
  });
  return manifests;
}

/** A copy is there before the object goes. */
async function setAside({ storage }: TreeStore, name: string, signal: AbortSignal): Promise<void> {
  const size = await storage.size(name, { signal });
  if (size === undefined) return;
  const copy = await storage.create(`${QUARANTINE}${name}.${ulid()}`, { signal });
  try {
    for (let offset = 0; offset < size; offset += COPY_BYTES)
      await copy.write(await storage.read(name, offset, Math.min(COPY_BYTES, size - offset), { signal }), {
        signal,
      });
    await copy.commit({ signal });
  } catch (error) {
    await copy.discard();
    throw error;
  }
  await storage.remove(name, { signal });
}
