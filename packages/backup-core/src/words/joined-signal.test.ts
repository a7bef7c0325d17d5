import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { followSignals, withSignals } from './joined-signal.ts';

const reason = new Error('enough');

it('the first one that is aborted counts, with its reason, aborted before or meanwhile', async () => {
  expect(followSignals(undefined, AbortSignal.abort(reason)).signal.reason).toBe(reason);
  const [first, second] = [new AbortController(), new AbortController()];
  const { signal } = followSignals(first.signal, undefined, second.signal);
  expect(signal.aborted).toBe(false);
  second.abort(reason);
  first.abort(new Error('too late'));
  expect(signal.reason).toBe(reason);
  await expect(
    withSignals([AbortSignal.abort(reason)], (joined) => Promise.resolve(joined.reason)),
  ).resolves.toBe(reason);
});

it('one that was released follows nothing, and leaves nothing behind', async () => {
  const long = new AbortController();
  const { signal, release } = followSignals(long.signal);
  release();
  await expect(withSignals([long.signal], () => Promise.reject(reason))).rejects.toBe(reason);
  expect(getEventListeners(long.signal, 'abort')).toEqual([]);
  long.abort(reason);
  expect(signal.aborted).toBe(false);
});
