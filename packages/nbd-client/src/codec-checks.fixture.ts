import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Command } from './commands/command.ts';
import { ReadCommand } from './commands/read-command.ts';
import { StatusCommand } from './commands/status-command.ts';
import { NbdProtocolError } from './errors.ts';
import { ReplyParser } from './transmission/reply-parser.ts';
import type { HeaderStyle } from './protocol/header-style.ts';

/** What a parser made of some bytes. */
export interface Outcome {
  readonly results: readonly unknown[];
  /** Whether the bytes ended at the border of a message. */
  readonly idle: boolean;
}

/** How the bytes reach the parser: handed over, or put where it says. */
export type Feed = (parser: ReplyParser, bytes: Buffer) => void;

export const feeds: Readonly<Record<'receive' | 'target', Feed>> = {
  receive: (parser, bytes) => {
    parser.receive(bytes);
  },
  target: (parser, bytes) => {
    for (let at = 0; at < bytes.length;) {
      const target = parser.target();
      if (typeof target === 'number') {
        // A transport without a target reads into its own buffer, here just large enough for a header.
        const count = Math.min(16, target, bytes.length - at);
        parser.receive(bytes.subarray(at, at + count));
        at += count;
      } else {
        const count = Math.min(target.length, bytes.length - at);
        target.set(bytes.subarray(at, at + count));
        parser.filled(count);
        at += count;
      }
    }
  },
};

export const READ_COOKIE = 1;
export const STATUS_COOKIE = 2;
export const READ_BYTES: number = 40 * 1024;

/** Feeds pieces to a parser that waits for one READ of READ_BYTES at 0 and one status request of 4096 bytes. */
export async function parsePieces(
  style: HeaderStyle,
  pieces: readonly Buffer[],
  feed: Feed,
): Promise<Outcome> {
  const buffer = Buffer.alloc(READ_BYTES, 0xff);
  const read = new ReadCommand(0, buffer.length, 0, { buffer, direct: true });
  const status = new StatusCommand(0, 4096, 0, new Map([[1, 'base:allocation']]));
  const waiting = new Map<number, Command>([
    [READ_COOKIE, read],
    [STATUS_COOKIE, status],
  ]);
  const parser = new ReplyParser(style, {
    expectsContent: true,
    find(_high, low) {
      const command = waiting.get(low);
      if (command === undefined) throw new NbdProtocolError('unknown cookie', 'test');
      return command;
    },
    done(command) {
      command.finish('');
      for (const [cookie, other] of waiting) if (other === command) waiting.delete(cookie);
    },
  });
  const outcomes = Promise.allSettled([read.promise.then(() => digest(buffer)), status.promise]);
  try {
    for (const piece of pieces) feed(parser, piece);
  } finally {
    for (const command of waiting.values()) command.fail('not answered');
    await outcomes;
  }
  const results = (await outcomes).map((outcome): unknown =>
    outcome.status === 'fulfilled' ? outcome.value : String(outcome.reason),
  );
  return { results, idle: parser.idle };
}

/** Stands for content: comparing it is quick. */
export function digest(bytes: Buffer): string {
  return `${bytes.length} ${createHash('sha1').update(bytes).digest('hex')}`;
}

/** The same bytes give the same outcome wherever they are cut and however they arrive. */
export async function expectSplitsAgree(
  style: HeaderStyle,
  bytes: Buffer,
  cuts: Iterable<number>,
): Promise<void> {
  const whole = await parsePieces(style, [bytes], feeds.receive);
  for (const feed of [feeds.receive, feeds.target])
    for (const cut of cuts) {
      const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
      expect(await parsePieces(style, pieces, feed), `cut at ${cut}`).toEqual(whole);
    }
}

/** Whatever comes is a value or an NbdProtocolError, and allocates no more than its own size and a little. */
export async function expectRandomBytesAreHarmless(style: HeaderStyle, plausible: Buffer): Promise<void> {
  const flips = fc.array(fc.tuple(fc.nat(plausible.length - 1), fc.nat(255)), { maxLength: 6 });
  const damaged = flips.map((changes) => {
    const bytes = Buffer.from(plausible);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes;
  });
  const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  await fc.assert(
    fc.asyncProperty(fc.oneof(damaged, random), async (bytes) => {
      const error: unknown = await parsePieces(style, [bytes], feeds.receive).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error !== undefined) expect(error).toBeInstanceOf(NbdProtocolError);
    }),
    { numRuns: 300 },
  );
}
