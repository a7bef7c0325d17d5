import { expect, test } from 'vitest';
import { Outbox } from './outbox.ts';

const nothing = {
  secure: 'local' as const,
  receiver: { receive: (): void => undefined, drained: (): void => undefined, ended: (): void => undefined },
  pause: (): void => undefined,
  resume: (): void => undefined,
  destroy: (): Promise<void> => Promise.resolve(),
};

test('urgent packets overtake those that wait for a full transport', () => {
  const written: string[] = [];
  let room = 1;
  const outbox = new Outbox({
    ...nothing,
    write: (bytes) => {
      written.push(bytes.toString());
      return --room > 0;
    },
  });
  for (const text of ['a', 'b', 'c']) outbox.send(Buffer.from(text));
  outbox.sendUrgently(Buffer.from('!'));
  expect(written).toEqual(['a']);
  expect(outbox.waiting).toBe(3);
  room = 2;
  outbox.drained();
  expect(written).toEqual(['a', '!', 'b']);
  room = 9;
  outbox.drained();
  expect(written).toEqual(['a', '!', 'b', 'c']);
});

test('a flood of pings makes one answer wait', () => {
  const outbox = new Outbox({ ...nothing, write: () => false });
  outbox.send(Buffer.from('a'));
  const pong = Buffer.from('pong');
  for (let count = 0; count < 100_000; count++) outbox.sendUrgently(pong);
  expect(outbox.waiting).toBe(1);
});

test('a sender is told when the transport takes the next packet', () => {
  let room = true;
  const outbox = new Outbox({ ...nothing, write: () => room });
  const sent: string[] = [];
  outbox.send(Buffer.from('a'), () => sent.push('a'));
  room = false;
  outbox.send(Buffer.from('b'), () => sent.push('b'));
  outbox.send(Buffer.from('c'), () => sent.push('c'));
  expect(sent).toEqual(['a']);
  outbox.drained();
  expect(sent).toEqual(['a', 'b']);
});
