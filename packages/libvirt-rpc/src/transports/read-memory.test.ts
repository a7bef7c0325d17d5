import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReadMemory } from './read-memory.ts';

test('what was read stays as it is, however long reads are; room never runs out', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 60 }), (fillings) => {
      const memory = new ReadMemory();
      const taken: Buffer[] = [];
      for (const [index, filling] of fillings.entries()) {
        const room = memory.next();
        expect(room.length).toBeGreaterThanOrEqual(64 * 1024);
        expect(room.length).toBeLessThanOrEqual(1024 * 1024);
        const count = Math.max(1, Math.floor(filling * room.length));
        room.fill(index & 0xff, 0, count);
        taken.push(memory.take(count));
        expect(taken.at(-1)).toHaveLength(count);
      }
      for (const [index, bytes] of taken.entries())
        expect(bytes.every((byte) => byte === (index & 0xff))).toBe(true);
    }),
    { numRuns: 20 },
  );
});

test('few small reads take little, bulk takes large blocks', () => {
  const small = new ReadMemory();
  for (let read = 0; read < 10; read++) {
    expect(small.next().length).toBeLessThanOrEqual(128 * 1024);
    small.take(100);
  }
  const bulk = new ReadMemory();
  for (let read = 0; read < 10; read++) bulk.take(bulk.next().length);
  expect(bulk.next()).toHaveLength(1024 * 1024);
});
