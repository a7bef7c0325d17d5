import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { BLOCK_SIZE } from '../format.ts';
import type { HashJob } from './block-work.ts';
import { startBlockWorkers } from './worker-pool.ts';

const BLOCKS = 32;

function hashJob(more: Partial<HashJob> = {}): HashJob {
  const input = new SharedArrayBuffer(BLOCKS * BLOCK_SIZE);
  new Uint8Array(input).fill(0x5a);
  const places = Uint32Array.from({ length: BLOCKS * 2 }, (_, index) =>
    index % 2 === 0 ? (index / 2) * BLOCK_SIZE : BLOCK_SIZE,
  );
  return { type: 'hash', input, places, expected: new Uint8Array(BLOCKS * 32), packing: 0, ...more };
}

describe('the workers', () => {
  let started = 0;
  const count = (): void => {
    started++;
  };
  process.on('worker', count);
  afterEach(() => {
    started = 0;
  });

  const wanted = createHash('sha256').update(Buffer.alloc(BLOCK_SIZE, 0x5a)).digest();

  it('are not started for what is hashed before they would be there, and then they are', async () => {
    const workers = startBlockWorkers(2);
    const jobs = 96 / 2;
    for (let job = 0; job <= jobs; job++) {
      const { hashes, states } = await workers.run(hashJob());
      expect(Buffer.from(hashes.subarray(0, 32)).equals(wanted)).toBe(true);
      expect([...states]).toEqual(Array.from({ length: BLOCKS }, () => 2));
      expect(started, `job ${job}`).toBe(job < jobs ? 0 : 1);
    }
    await workers.close();
  });

  it('are started at once for what takes the thread too long', async () => {
    const workers = startBlockWorkers(2);
    const output = new SharedArrayBuffer(BLOCKS * BLOCK_SIZE);
    const { packings } = await workers.run(hashJob({ packing: 1, output }));
    expect([packings[0], started]).toEqual([1, 1]);
    await workers.close();
  });
});
