import type { ObjectWriter, Storage, StorageOptions } from '../../ports/storage.ts';
import { DamagedError } from '../../words/errors.ts';
import { PACKS } from '../format.ts';
import { decodeEntry, ENTRY_BYTES, encodeEntry, encodeTable, type PackTable } from './pack-format.ts';
import { packName, parsePackName } from './pack-name.ts';
import type { PackReader } from './pack-reader.ts';
import type { PieceSet } from './piece-set.ts';

/** Bytes that are copied at once. */
const COPY_BYTES: number = 4 * 1024 * 1024;

/** One generation of a pack, as a listing shows it. */
export interface StoredPack {
  readonly name: string;
  readonly pack: string;
  readonly generation: number;
  /** Bytes. */
  readonly size: number;
}

/** Every pack that is there, with its generations, the newest of them first. */
export async function listPacks(
  storage: Storage,
  options?: StorageOptions,
): Promise<ReadonlyMap<string, readonly StoredPack[]>> {
  const packs = new Map<string, StoredPack[]>();
  for await (const { name, size } of storage.list(PACKS, options)) {
    const parsed = parsePackName(name);
    if (parsed === undefined) continue;
    const stored = { name, size, ...parsed };
    const known = packs.get(stored.pack);
    if (known === undefined) packs.set(stored.pack, [stored]);
    else known.push(stored);
  }
  for (const generations of packs.values()) generations.sort((a, b) => b.generation - a.generation);
  return packs;
}

/** What of a pack is in use. */
export interface PackUse {
  /** Bytes of pieces, used or not. */
  readonly bytes: number;
  /** Of these, of pieces that are used. */
  readonly usedBytes: number;
  /** How many pieces are used. */
  readonly used: number;
}

/** Looks up what of a pack is in use. */
export function packUse(pack: string, { entries }: PackTable, pieces: PieceSet): PackUse {
  const use = { bytes: 0, usedBytes: 0, used: 0 };
  for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
    const { number, length } = decodeEntry(entries, at);
    use.bytes += length;
    if (!pieces.has({ pack, number })) continue;
    use.usedBytes += length;
    use.used++;
  }
  return use;
}

/**
 * Puts the next generation of a pack: the pieces that are used, as they are and under their numbers.
 *
 * @returns its size in bytes
 */
export async function putNextGeneration(
  storage: Storage,
  reader: PackReader,
  old: StoredPack,
  table: PackTable,
  pieces: PieceSet,
  options: StorageOptions = {},
): Promise<number> {
  const next = await storage.create(packName(old.pack, old.generation + 1), options);
  try {
    const { entries, end } = await copyUsed(next, reader, old, table, pieces, options.signal);
    const tail = encodeTable(old.pack, end, { keySlot: table.keySlot, entries });
    await next.write(tail, options);
    await next.commit(options);
    return end + tail.length;
  } catch (error) {
    await next.discard();
    throw error;
  }
}

async function copyUsed(
  to: ObjectWriter,
  reader: PackReader,
  old: StoredPack,
  table: PackTable,
  pieces: PieceSet,
  signal: AbortSignal | undefined,
): Promise<{ readonly entries: Buffer; readonly end: number }> {
  const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, old.size));
  const rows = Buffer.alloc(table.entries.length);
  const run = { from: 0, length: 0 };
  let end = 0;
  let rowBytes = 0;
  const flush = async (): Promise<void> => {
    if (run.length === 0) return;
    const bytes = buffer.subarray(0, run.length);
    await reader.readInto({ object: old.name, offset: run.from }, bytes, signal);
    await to.write(bytes, { signal });
  };
  for (let at = 0; at < table.entries.length; at += ENTRY_BYTES) {
    const entry = decodeEntry(table.entries, at);
    if (!pieces.has({ pack: old.pack, number: entry.number })) continue;
    if (entry.length > buffer.length)
      throw new DamagedError('format', `number ${entry.number} of pack ${old.name} is too long`);
    const follows = entry.offset === run.from + run.length && run.length + entry.length <= buffer.length;
    if (!follows) {
      await flush();
      run.from = entry.offset;
      run.length = 0;
    }
    run.length += entry.length;
    encodeEntry(entry, { number: entry.number, offset: end }, rows, rowBytes);
    rowBytes += ENTRY_BYTES;
    end += entry.length;
  }
  await flush();
  return { entries: rows.subarray(0, rowBytes), end };
}
