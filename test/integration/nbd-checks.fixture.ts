import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect } from 'vitest';
import {
  connect,
  exportInfo,
  type Extent,
  NbdCommandError,
  type NbdConnection,
  type NbdPool,
  NbdUsageError,
  parseNbdUri,
} from 'nbd-ts-client';
import { nbdinfoExport, nbdinfoMap } from '../harness/index.ts';

export const KIB = 1024;
export const MIB: number = 1024 * 1024;
export const GIB: number = 1024 * MIB;
export const ALLOCATION = 'base:allocation';
export const DEPTH = 'qemu:allocation-depth';

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The reason of a rejection; a promise that is fulfilled fails the test. */
export function rejection(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.fail('it was fulfilled'),
    (reason: unknown) => reason as Error,
  );
}

/** The reasons of several rejections. */
export function rejections(...promises: readonly Promise<unknown>[]): Promise<Error[]> {
  return Promise.all(promises.map(rejection));
}

/**
 * What became of reads that were in flight when the server went: an error of `type`, or zeroes that had
 * arrived before. At least the last one has been rejected; returns the reasons.
 */
export async function cutShort<Failure extends Error>(
  reads: readonly Promise<Buffer>[],
  type: abstract new (...args: never[]) => Failure,
): Promise<Failure[]> {
  const outcomes = await Promise.allSettled(reads);
  const reasons: Failure[] = [];
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') reasons.push(outcome.reason as Failure);
    else expect(outcome.value.equals(Buffer.alloc(outcome.value.length))).toBe(true);
  }
  expect(outcomes.at(-1)?.status).toBe('rejected');
  for (const reason of reasons) expect(reason).toBeInstanceOf(type);
  return reasons;
}

/** `exportInfo` and `connect` say of an export what nbdinfo says. */
export async function expectFacts(uri: string): Promise<void> {
  const reference = await nbdinfoExport(uri);
  const contexts = [...(reference.contexts ?? [])].sort();
  const info = await exportInfo(uri);
  expect(info).toMatchObject({ name: reference['export-name'], size: reference['export-size'] });
  expect(info.description ?? '').toBe(reference.description ?? '');
  expect([...info.metaContexts].sort()).toEqual(contexts);
  await using nbd = await connect(uri, { metaContexts: contexts });
  expect([...nbd.metaContexts].sort()).toEqual(contexts);
  expect(factsOf(nbd)).toEqual({
    exportName: parseNbdUri(uri).exportName,
    exportSize: reference['export-size'],
    isReadOnly: reference.is_read_only,
    isRotational: reference.is_rotational,
    canCache: reference.can_cache,
    canDf: reference.can_df,
    canFastZero: reference.can_fast_zero,
    canFlush: reference.can_flush,
    canFua: reference.can_fua,
    canMultiConn: reference.can_multi_conn,
    canTrim: reference.can_trim,
    canZero: reference.can_zero,
  });
  if (reference.block_size_minimum === undefined) {
    expect(info.blockSize).toBeUndefined();
    return;
  }
  expect(info.blockSize).toEqual({
    minimum: reference.block_size_minimum,
    preferred: reference.block_size_preferred,
    maximum: reference.block_size_maximum,
  });
}

function factsOf(nbd: NbdConnection): Record<string, unknown> {
  const { exportName, exportSize, isReadOnly, isRotational, canCache, canDf, canFastZero } = nbd;
  const { canFlush, canFua, canMultiConn, canTrim, canZero } = nbd;
  return {
    ...{ exportName, exportSize, isReadOnly, isRotational, canCache, canDf, canFastZero },
    ...{ canFlush, canFua, canMultiConn, canTrim, canZero },
  };
}

/** Every selected context has the extents that nbdinfo sees. */
export async function expectMaps(uri: string, nbd: NbdConnection): Promise<void> {
  for (const context of nbd.metaContexts) {
    const extents = await collect(nbd.extents(context));
    expect(extents, context).toEqual(await nbdinfoMap(uri, context));
    expectWhole(extents, nbd.exportSize);
  }
}

/** Extents without gap or overlap from 0 to `size`. */
export function expectWhole(extents: readonly Extent[], size: number): void {
  let next = 0;
  for (const { offset, length } of extents) {
    expect(offset).toBe(next);
    next += length;
  }
  expect(next).toBe(size);
}

/** Reads the export in every way there is and compares it with `truth`, byte for byte. */
export async function expectBytes(nbd: NbdConnection | NbdPool, truth: Buffer): Promise<void> {
  expect(nbd.exportSize).toBe(truth.length);
  const { minimum } = nbd.blockSize;
  // Pieces that fall on no boundary of the server's, where it lets us.
  const step = minimum === 1 ? 700_001 : 11 * minimum * Math.ceil(65_536 / minimum);
  const offsets = Array.from({ length: Math.ceil(truth.length / step) }, (_, index) => index * step);
  const pieces = offsets.map(async (offset, index) => {
    const length = Math.min(step, truth.length - offset);
    if (index % 3 !== 2) return nbd.read(offset, length, { df: index % 3 === 1 });
    const buffer = Buffer.alloc(length, 0xee);
    await nbd.readInto(buffer, offset);
    return buffer;
  });
  expectSame(await Promise.all(pieces), truth);
  expectSame(await collect(nbd.createReadStream() as AsyncIterable<Buffer>), truth);
}

function expectSame(pieces: readonly Buffer[], truth: Buffer): void {
  let offset = 0;
  for (const piece of pieces) {
    const same = piece.equals(truth.subarray(offset, offset + piece.length));
    expect(same, `${piece.length} bytes at ${offset}`).toBe(true);
    offset += piece.length;
  }
  expect(offset).toBe(truth.length);
}

/**
 * Changes an export of at least 12 MiB with every command it offers, and asks for those it does not offer.
 *
 * @param truth - its content before; the content afterwards is put into it
 */
export async function changeEverything(nbd: NbdConnection, truth: Buffer): Promise<void> {
  const unit = nbd.blockSize.minimum === 1 ? 511 : nbd.blockSize.minimum;
  const write = async (offset: number, bytes: Buffer, options = {}): Promise<void> => {
    await nbd.write(offset, bytes, options);
    bytes.copy(truth, offset);
  };
  await write(MIB + unit, randomBytes(2 * MIB + unit));
  await write(5 * MIB - unit, randomBytes(4 * unit), { signal: AbortSignal.timeout(60_000) });
  await whereOffered(nbd.canFua, () => write(6 * MIB, randomBytes(MIB), { fua: true }));
  await zero(nbd, truth, unit);
  await trim(nbd, truth, unit);
  await whereOffered(nbd.canCache, () => nbd.cache(0, 2 * MIB));
  const streamed = randomBytes(MIB + 3 * unit);
  await pipeline(
    Readable.from([streamed.subarray(0, unit), streamed.subarray(unit)]),
    nbd.createWriteStream({ start: 9 * MIB }),
  );
  streamed.copy(truth, 9 * MIB);
  const tooLong = pipeline(
    Readable.from([Buffer.alloc(2 * unit)]),
    nbd.createWriteStream({ start: nbd.exportSize - unit }),
  );
  expect((await rejection(tooLong)).message).toMatch(/beyond the export/);
  await whereOffered(nbd.canFlush, () => nbd.flush());
}

async function zero(nbd: NbdConnection, truth: Buffer, unit: number): Promise<void> {
  const zeroes = async (offset: number, length: number, options = {}): Promise<void> => {
    await nbd.writeZeroes(offset, length, options);
    truth.fill(0, offset, offset + length);
  };
  await whereOffered(nbd.canZero, () => zeroes(2 * MIB - unit, 9 * unit));
  await whereOffered(nbd.canZero, () => zeroes(2 * MIB + 64 * unit, 5 * unit, { noHole: true }));
  await whereOffered(nbd.canZero && nbd.canFua, () => zeroes(6 * MIB + unit, 3 * unit, { fua: true }));
  await whereOffered(nbd.canFastZero, async () => {
    await zeroes(7 * MIB - 65_536, 65_536, { fastZero: true }).catch((error: unknown) => {
      // A server may say that it would not be fast; then nothing may have changed.
      if (!(error instanceof NbdCommandError) || error.errnoName !== 'ENOTSUP') throw error;
    });
  });
}

/** What a trimmed range reads as is up to the server, but it is what was there or zeroes. */
async function trim(nbd: NbdConnection, truth: Buffer, unit: number): Promise<void> {
  const offset = 3 * MIB - unit * 100;
  const length = 77 * unit;
  await whereOffered(nbd.canTrim, async () => {
    await nbd.trim(offset, length, { fua: nbd.canFua });
    const now = await nbd.read(offset, length);
    for (const [at, byte] of now.entries())
      if (byte !== 0 && byte !== truth[offset + at])
        expect.fail(`byte ${byte} at ${offset + at} after a trim`);
    now.copy(truth, offset);
  });
}

/** A command that is not offered is the caller's mistake: it is found out before anything is sent. */
async function whereOffered(offered: boolean, command: () => Promise<void>): Promise<void> {
  if (offered) await command();
  else expect(await rejection(command())).toBeInstanceOf(NbdUsageError);
}
