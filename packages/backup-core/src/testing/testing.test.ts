import { describe, expect, it } from 'vitest';
import { faultAt, faultyStorage } from './faulty-storage.ts';
import { memoryStorage } from './memory-storage.ts';
import { storageCompliance } from './storage-compliance.ts';

const BYTES = Buffer.from('0123456789');

describe('memory storage', () => {
  it.each(storageCompliance().map(({ name, run }) => [name, run] as const))('%s', async (_, run) => {
    await run(memoryStorage());
  });
});

describe('faulty storage', () => {
  it.each(storageCompliance().map(({ name, run }) => [name, run] as const))(
    'without a fault: %s',
    async (_, run) => {
      await run(faultyStorage(memoryStorage(), () => undefined));
    },
  );

  it('fails before, or after, it did what was asked', async () => {
    const inner = memoryStorage();
    await expect(faultyStorage(inner, faultAt(1, { type: 'fail' })).put('a', BYTES)).rejects.toMatchObject({
      reason: 'failed',
    });
    expect(await inner.size('a')).toBeUndefined();
    await expect(faultyStorage(inner, faultAt(1, { type: 'fail-after' })).put('a', BYTES)).rejects.toThrow();
    expect(await inner.size('a')).toBe(10);
  });

  it('does an operation twice', async () => {
    const storage = faultyStorage(memoryStorage(), faultAt(1, { type: 'repeat' }));
    await expect(storage.put('a', BYTES)).rejects.toMatchObject({ reason: 'exists' });
    expect(await storage.size('a')).toBe(10);
  });

  it('tears a listing and a write', async () => {
    const inner = memoryStorage();
    for (const name of ['a', 'b', 'c', 'd']) await inner.put(name, BYTES);
    const storage = faultyStorage(inner, ({ kind }) =>
      kind === 'list' || kind === 'write' ? { type: 'tear' } : undefined,
    );
    const seen: string[] = [];
    await expect(
      (async () => {
        for await (const { name } of storage.list('')) seen.push(name);
      })(),
    ).rejects.toThrow('broke off');
    expect(seen).toEqual(['a', 'b']);
    const writer = await storage.create('e');
    await expect(writer.write(BYTES)).rejects.toThrow('write of e was made to fail, as operation 3');
  });

  it('does nothing any more once it was killed', async () => {
    const inner = memoryStorage();
    const storage = faultyStorage(inner, faultAt(2, { type: 'kill-after' }));
    await storage.put('a', BYTES);
    await expect(storage.put('b', BYTES)).rejects.toThrow('killed');
    await expect(storage.put('c', BYTES)).rejects.toThrow('killed');
    expect([await inner.size('a'), await inner.size('b'), await inner.size('c')]).toEqual([
      10,
      10,
      undefined,
    ]);
    expect(storage.operations).toEqual([
      { number: 1, kind: 'put', name: 'a' },
      { number: 2, kind: 'put', name: 'b' },
    ]);
  });

  it('lets an operation wait', async () => {
    const storage = faultyStorage(memoryStorage(), faultAt(1, { type: 'delay', delayMs: 30 }));
    const start = performance.now();
    await storage.put('a', BYTES);
    expect(performance.now() - start).toBeGreaterThan(25);
  });
});
