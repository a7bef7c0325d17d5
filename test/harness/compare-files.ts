import { open, type FileHandle } from 'node:fs/promises';

const CHUNK = 1024 * 1024;
const BLOCK = 64 * 1024;

/** How two files differ over their whole length. */
export interface Comparison {
  readonly equal: boolean;
  readonly lengths: readonly [number, number];
  /** Offset of the first byte that differs or that only one of the files has; undefined when equal. */
  readonly firstDifference: number | undefined;
  /** How many blocks of 64 KiB differ; what only one file has counts as different. */
  readonly differingBlocks: number;
}

async function readFully(file: FileHandle, buffer: Buffer, offset: number): Promise<Buffer> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function firstDifferenceIn(a: Buffer, b: Buffer): number {
  const common = Math.min(a.length, b.length);
  for (let at = 0; at < common; at++) if (a[at] !== b[at]) return at;
  return common;
}

/** Compares two files byte for byte, 1 MiB at a time. */
export async function compareFiles(pathA: string, pathB: string): Promise<Comparison> {
  await using fileA = await open(pathA);
  await using fileB = await open(pathB);
  const lengths = [(await fileA.stat()).size, (await fileB.stat()).size] as const;
  const [bufferA, bufferB] = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)];
  let firstDifference: number | undefined;
  let differingBlocks = 0;
  for (let offset = 0; offset < Math.max(...lengths); offset += CHUNK) {
    const a = await readFully(fileA, bufferA, offset);
    const b = await readFully(fileB, bufferB, offset);
    if (a.equals(b)) continue;
    firstDifference ??= offset + firstDifferenceIn(a, b);
    for (let block = 0; block < Math.max(a.length, b.length); block += BLOCK) {
      if (!a.subarray(block, block + BLOCK).equals(b.subarray(block, block + BLOCK))) differingBlocks += 1;
    }
  }
  return { equal: firstDifference === undefined, lengths, firstDifference, differingBlocks };
}

/** Rejects, saying where and how much, unless both files have the same content. */
export async function assertSameContent(actual: string, expected: string): Promise<void> {
  const { equal, lengths, firstDifference, differingBlocks } = await compareFiles(actual, expected);
  if (equal) return;
  throw new Error(
    `${actual} (${lengths[0]} bytes) differs from ${expected} (${lengths[1]} bytes): ` +
      `first at offset ${firstDifference ?? '?'}, in ${differingBlocks} blocks of 64 KiB`,
  );
}
