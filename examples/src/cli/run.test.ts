import { expect, it } from 'vitest';
import { sentence } from './run.ts';

it('an error is one line; one that hides another says both, the reason first', async () => {
  expect(sentence(new Error('a\nb '))).toBe('a b');
  expect(sentence(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))).toMatch(/^nobody reads/);
  const closing = { [Symbol.asyncDispose]: () => Promise.reject(new Error('cannot close')) };
  const fail = async (): Promise<void> => {
    await using block = closing;
    throw new Error(`cannot read ${typeof block}`);
  };
  const both = await fail().catch((error: unknown) => error);
  expect(sentence(both)).toBe('cannot read object; after that: cannot close');
});
