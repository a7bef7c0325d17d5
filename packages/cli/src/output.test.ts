import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Output } from './output.ts';

/** Takes `room` writes, then fails as the system would. */
function failing(code: string, room: number): { stream: Writable; taken: string[] } {
  const taken: string[] = [];
  const stream = new Writable({
    autoDestroy: true,
    write(chunk: Buffer, _encoding, done) {
      if (taken.length >= room) done(Object.assign(new Error(`write ${code}`), { code }));
      else {
        taken.push(chunk.toString());
        done();
      }
    },
  });
  return { stream, taken };
}

async function* batches(count: number): AsyncGenerator<readonly number[]> {
  for (let at = 0; at < count; at++) yield await Promise.resolve([at]);
}

describe('where results go', () => {
  it('a reader that leaves is no error, and known', async () => {
    const { stream, taken } = failing('EPIPE', 1);
    const output = new Output(stream);
    await output.line('a');
    expect(output.hasReader).toBe(true);
    await output.line('b');
    expect(output.hasReader).toBe(false);
    await output.line('c');
    await output.each([1, 2], String);
    expect(taken).toEqual(['a\n']);
  });

  it('an array of which nobody reads the rest ends early', async () => {
    const { stream } = failing('EPIPE', 2);
    let asked = 0;
    const counted = async function* (): AsyncGenerator<readonly number[]> {
      for await (const batch of batches(100)) {
        asked++;
        yield batch;
      }
    };
    await new Output(stream).jsonArray(counted(), String, new AbortController().signal);
    expect(asked).toBeLessThan(5);
  });

  it('an array is whole', async () => {
    const { stream, taken } = failing('EPIPE', Infinity);
    await new Output(stream).jsonArray(batches(3), String, new AbortController().signal);
    expect(JSON.parse(taken.join(''))).toEqual([0, 1, 2]);
  });

  it('a full disk is an error that says so', async () => {
    const output = new Output(failing('ENOSPC', 0).stream);
    await expect(output.line('a')).rejects.toThrow('the output cannot be written: write ENOSPC');
  });

  it('does not wait for a reader that takes nothing once it is aborted', async () => {
    const stuck = new Writable({ write: () => undefined });
    const abort = new AbortController();
    const waiting = new Output(stuck).line('a', abort.signal);
    await setImmediate();
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});
