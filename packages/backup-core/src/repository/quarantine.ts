import { DamagedError, messageOf } from '../words/errors.ts';
import { shown } from '../words/peer-names.ts';
import { ulid } from '../words/ulid.ts';
import { HASH_BYTES, QUARANTINE } from './format.ts';
import { getIfPresent } from './get-if-present.ts';
import type { PieceSet } from './packs/piece-set.ts';
import { sha256Of } from './point-manifest.ts';
import type { StoredDisk } from './point.ts';
import { storageFailure } from './storage-errors.ts';
import type { TreeStore } from './tree/tree-store.ts';
import { type DamagedRange, HarmedDisks } from './verify/check-tree.ts';
import { Harm } from './verify/harm.ts';

const FORMAT = 1;
const NAME = /^damaged\/([0-7][0-9A-HJKMNP-TV-Z]{25})\.([0-9a-f]{64})$/;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const SHA256 = /^[0-9a-f]{64}$/;
/** More go into further records: each is read as a whole. */
const MAX_PIECES = 50_000;
const MAX_RECORD_BYTES: number = 64 * 1024 * 1024;

/** What is written down of pieces that must not be believed any more. */
export interface DamageRecord {
  /** ULID. */
  readonly id: string;
  /** Its object. */
  readonly name: string;
  readonly harm: Harm;
}

/** A record that cannot be read: nobody knows what must not be believed. */
export interface LostRecord {
  readonly id: string;
  readonly name: string;
  readonly reason: string;
}

type Place = Pick<TreeStore, 'storage' | 'keys'>;
interface Options {
  readonly signal?: AbortSignal | undefined;
}

/** All that a repository has written down about damage. */
export class Quarantine {
  readonly records: readonly DamageRecord[];
  readonly lost: readonly LostRecord[];

  constructor(records: readonly DamageRecord[], lost: readonly LostRecord[]) {
    this.records = records;
    this.lost = lost;
  }

  /** What a tree that is made now has nothing of; undefined: there is nothing written down. */
  get ids(): readonly string[] | undefined {
    const ids = [...this.records, ...this.lost].map(({ id }) => id);
    return ids.length === 0 ? undefined : ids;
  }

  /** What must not be believed, but for records that a tree is known to have nothing of. */
  harm(besides: readonly string[] = []): Harm {
    const all = new Harm();
    for (const { id, harm } of this.records) if (!besides.includes(id)) all.addAll(harm);
    return all;
  }

  /**
   * What of a stored disk must not be shared.
   *
   * @throws DamagedError where that is all of it, or cannot be known
   */
  async rangesOf(
    store: TreeStore,
    { root, size, freeOf }: Pick<StoredDisk, 'root' | 'size' | 'freeOf'>,
    signal?: AbortSignal,
  ): Promise<readonly DamagedRange[]> {
    const lost = this.lost.find(({ id }) => freeOf?.includes(id) !== true);
    if (lost !== undefined)
      throw new DamagedError('format', `what ${lost.name} says is damaged is not known: ${lost.reason}`);
    const harm = this.harm(freeOf);
    const reason = root === null ? undefined : harm.reasonOf(root);
    if (reason !== undefined) throw new DamagedError('hash', reason);
    return new HarmedDisks(store, harm, signal).rangesOf({ root, size });
  }
}

/** Reads what is written down. What cannot be read is said. @throws RepositoryError */
export async function readQuarantine(place: Place, options: Options = {}): Promise<Quarantine> {
  const records: DamageRecord[] = [];
  const lost: LostRecord[] = [];
  try {
    const found: { readonly name: string; readonly size: number }[] = [];
    for await (const object of place.storage.list(QUARANTINE, options)) found.push(object);
    for (const { name, size } of found) {
      const [, id = '', sha256 = ''] = NAME.exec(name) ?? [];
      if (id === '') continue;
      try {
        const harm = await readRecord(place, { id, name, sha256, size }, options);
        if (harm !== undefined) records.push({ id, name, harm });
      } catch (error) {
        if (!(error instanceof DamagedError)) throw error;
        lost.push({ id, name, reason: messageOf(error) });
      }
    }
  } catch (error) {
    throw storageFailure('read what is written down about damage', error, options.signal);
  }
  return new Quarantine(records, lost);
}

/** Writes down what must not be believed any more. @returns ids of the records */
export async function writeQuarantine(
  { storage, keys }: Place,
  harm: Harm,
  options: Options = {},
): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const fields of fieldsOf(harm)) {
    const id = ulid();
    const plain = Buffer.from(`${JSON.stringify({ format: FORMAT, ...fields })}\n`);
    const bytes = keys?.sealManifest(plain, QUARANTINE + id) ?? plain;
    try {
      await storage.put(`${QUARANTINE}${id}.${sha256Of(bytes)}`, bytes, options);
    } catch (error) {
      throw storageFailure('write down what is damaged', error, options.signal);
    }
    ids.push(id);
  }
  return ids;
}

/** Records of which no point has anything any more. */
export function unreached({ records }: Quarantine, pieces: PieceSet): readonly DamageRecord[] {
  return records.filter(({ harm }) => {
    for (const pack of harm.packs.keys()) if (pieces.hasPack(pack)) return false;
    for (const { reference } of harm.pieces) if (pieces.has(reference)) return false;
    return true;
  });
}

interface RecordFields {
  readonly packs: readonly { readonly pack: string; readonly reason: string }[];
  readonly pieces: readonly {
    readonly hash: string;
    readonly pack: string;
    readonly number: number;
    readonly reason: string;
  }[];
}

function* fieldsOf(harm: Harm): Generator<RecordFields, void, undefined> {
  let packs: RecordFields['packs'] = [...harm.packs].map(([pack, reason]) => ({ pack, reason }));
  const pieces: RecordFields['pieces'][number][] = [];
  for (const { reference, reason } of harm.pieces) {
    const { hash, pack, number } = reference;
    pieces.push({ hash: Buffer.from(hash).toString('hex'), pack, number, reason });
    if (pieces.length < MAX_PIECES) continue;
    yield { packs, pieces: pieces.splice(0) };
    packs = [];
  }
  if (packs.length + pieces.length > 0) yield { packs, pieces };
}

/** @returns undefined if it is gone */
async function readRecord(
  { storage, keys }: Place,
  object: { readonly id: string; readonly name: string; readonly sha256: string; readonly size: number },
  options: Options,
): Promise<Harm | undefined> {
  const { id, name, sha256, size } = object;
  if (size > MAX_RECORD_BYTES) throw new DamagedError('format', 'it is larger than any record');
  const bytes = await getIfPresent(storage, name, options);
  if (bytes === undefined) return undefined;
  if (sha256Of(bytes) !== sha256) throw new DamagedError('hash', 'its hash is wrong');
  const plain = keys === undefined ? bytes : keys.openManifest(Buffer.from(bytes), QUARANTINE + id);
  if (plain === undefined) throw new DamagedError('hash', 'it cannot be decrypted');
  return parseRecord(plain);
}

/** Whoever could write into the repository wrote it: what makes no sense is no record. */
function parseRecord(bytes: Uint8Array): Harm {
  const harm = new Harm();
  try {
    const fields = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<RecordFields> & {
      readonly format?: unknown;
    };
    if (fields.format !== FORMAT || !Array.isArray(fields.packs) || !Array.isArray(fields.pieces))
      throw new Error('it is none');
    for (const { pack, reason } of fields.packs as RecordFields['packs'])
      harm.addPack(matching(pack, ULID), text(reason));
    for (const { hash, pack, number, reason } of fields.pieces as RecordFields['pieces']) {
      if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${String(number)} is no number`);
      const bytesOfHash = Buffer.from(matching(hash, SHA256), 'hex').subarray(0, HASH_BYTES);
      harm.add({ hash: bytesOfHash, pack: matching(pack, ULID), number }, text(reason));
    }
  } catch (error) {
    throw new DamagedError('format', `it makes no sense: ${messageOf(error)}`, { cause: error });
  }
  return harm;
}

function matching(value: unknown, pattern: RegExp): string {
  if (typeof value !== 'string' || !pattern.test(value)) throw new Error('a field is not what it must be');
  return value;
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Error('a reason is none');
  return shown(value);
}
