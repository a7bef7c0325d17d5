import { expect, it } from 'vitest';
import { errorJson, sentence } from './explain.ts';

const fail = async (reason: Error): Promise<unknown> => {
  const closing = { [Symbol.asyncDispose]: () => Promise.reject(new Error('cannot close')) };
  try {
    await using block = closing;
    throw Object.assign(reason, { at: typeof block });
  } catch (error) {
    return error;
  }
};

it('an error is one line; one that hides another says both, the reason first', async () => {
  expect(sentence(new Error('a\nb '))).toBe('a b');
  expect(sentence(await fail(new Error('cannot read')))).toBe('cannot read; after that: cannot close');
});

it('an error as JSON has the code and the reason of what went wrong first', async () => {
  const first = Object.assign(new Error('busy'), { code: 'ERR_BACKUP_REPOSITORY', reason: 'busy' });
  expect(JSON.parse(errorJson(await fail(first)))).toEqual({
    error: { code: 'ERR_BACKUP_REPOSITORY', reason: 'busy', message: 'busy; after that: cannot close' },
  });
  expect(JSON.parse(errorJson('a text'))).toEqual({ error: { code: 'ERR_FAILED', message: 'a text' } });
});
