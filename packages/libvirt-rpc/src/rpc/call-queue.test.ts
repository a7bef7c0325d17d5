import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { CallQueue } from './call-queue.ts';

interface Call {
  readonly urgent: boolean;
  isSettled: boolean;
}

const call = (urgent: boolean): Call => ({ urgent, isSettled: false });

describe('CallQueue', () => {
  test('never more than four, the fourth for urgent calls, each line in its order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('ordinary', 'urgent', 'reply', 'withdraw'), { maxLength: 80 }),
        (steps) => {
          const queue = new CallQueue<Call>();
          const waiting: Call[] = [];
          const sent = new Map<number, Call>();
          for (const step of steps) {
            if (step === 'reply') {
              const [serial] = sent.keys();
              if (serial === undefined) continue;
              expect(queue.find(serial)).toBe(sent.get(serial));
              queue.answered(serial);
              sent.delete(serial);
            } else if (step === 'withdraw') {
              const last = waiting.pop();
              if (last !== undefined) expect(queue.withdraw(last)).toBe(true);
            } else {
              const added = call(step === 'urgent');
              queue.add(added);
              waiting.push(added);
            }
            for (let next = queue.next(); next !== undefined; next = queue.next()) {
              const first = waiting.find(({ urgent }) => urgent) ?? waiting[0];
              expect(next.call).toBe(first);
              expect(queue.withdraw(next.call)).toBe(false);
              waiting.splice(waiting.indexOf(next.call), 1);
              expect(sent.has(next.serial)).toBe(false);
              sent.set(next.serial, next.call);
              if (!next.call.urgent) expect(sent.size).toBeLessThanOrEqual(3);
            }
            expect(queue.inFlight).toBe(sent.size);
            expect(sent.size).toBeLessThanOrEqual(4);
            // Nothing waits that could go.
            if (waiting.some(({ urgent }) => urgent)) expect(sent.size).toBe(4);
            else if (waiting.length > 0) expect(sent.size).toBeGreaterThanOrEqual(3);
          }
          expect(queue.clear()).toHaveLength(sent.size + waiting.length);
          expect(queue.isIdle()).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('only tombstones left is idle', () => {
    const queue = new CallQueue<Call>();
    const one = call(false);
    queue.add(one);
    expect(queue.isIdle()).toBe(false);
    queue.next();
    expect(queue.isIdle()).toBe(false);
    one.isSettled = true;
    expect(queue.isIdle()).toBe(true);
  });
});
