import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventQueue } from './events/event-queue.ts';
import { Line } from './line.ts';
import { CallQueue } from './rpc/call-queue.ts';

test('as an array, whatever is put in, taken out and stepped out', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1, max: 20 })), (steps) => {
      const line = new Line<{ readonly step: number }>();
      const array: { readonly step: number }[] = [];
      for (const step of steps) {
        if (step === -1) expect(line.shift()).toBe(array.shift());
        else if (step < array.length) expect(line.delete(array.splice(step, 1)[0] ?? { step })).toBe(true);
        else {
          array.push({ step });
          line.push(array.at(-1) ?? { step });
        }
        expect([line.size, line.first]).toEqual([array.length, array[0]]);
      }
      expect(line.delete({ step: 0 })).toBe(false);
      expect(line.clear()).toEqual(array);
      expect([line.size, line.first, line.shift()]).toEqual([0, undefined, undefined]);
    }),
  );
});

const MILLION = 1_000_000;

/** Far more than a million steps take, and far less than a million times a part of a million. */
const LINEAR_MS = 30_000;

test('a million calls wait, are given up from behind, and go in their turn', { timeout: LINEAR_MS }, () => {
  const queue = new CallQueue<{ readonly urgent: boolean; readonly isSettled: boolean }>();
  const calls = Array.from({ length: MILLION }, () => ({ urgent: false, isSettled: false }));
  for (const call of calls) queue.add(call);
  for (let index = MILLION - 1; index >= MILLION / 2; index--) queue.withdraw(calls[index] as never);
  for (let index = 0; index < MILLION / 2; index++) {
    const next = queue.next();
    expect(next?.call === calls[index]).toBe(true);
    queue.answered(next?.serial ?? 0);
  }
  expect(queue.isIdle()).toBe(true);
});

test('a million events wait and are taken in their order', { timeout: LINEAR_MS }, async () => {
  const queue = new EventQueue<number>({ events: MILLION, bytes: MILLION });
  for (let event = 0; event < MILLION; event++) queue.push(event, 1);
  for (let event = 0; event < MILLION; event++)
    if ((await queue.next()).value !== event) throw new Error('order');
});
