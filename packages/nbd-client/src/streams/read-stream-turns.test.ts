import { expect, it } from 'vitest';
import { readStream, type StreamEnd } from './read-stream.ts';

const REQUEST = 512 * 1024;

/** The consumer asks for more so many turns of the microtask queue behind the arrival of the next piece. */
it.each([0, 1, 2, 3, 4, 5, 6])(
  'a read stream whose consumer is %i turns behind a reply goes on',
  async (turns) => {
    const replies: (() => void)[] = [];
    let release = (): void => undefined;
    let taken = 0;
    const read = async (_offset: number, length: number): Promise<Buffer> => {
      await new Promise<void>((resolve) => replies.push(resolve));
      return Buffer.alloc(length);
    };
    const stream = readStream(
      { exportSize: 9 * REQUEST, blockSize: { minimum: 1 }, read } as unknown as StreamEnd,
      {},
    );
    const consumed = (async () => {
      for await (const piece of stream) {
        taken += (piece as Buffer).length;
        await new Promise<void>((resolve) => (release = resolve));
        for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      }
    })();
    for (let round = 0; round < 100; round++) {
      await new Promise(setImmediate);
      const both = [() => replies.shift()?.(), release];
      for (const each of turns % 2 === 0 ? both.reverse() : both) each();
    }
    expect(taken).toBe(9 * REQUEST);
    await consumed;
  },
);
