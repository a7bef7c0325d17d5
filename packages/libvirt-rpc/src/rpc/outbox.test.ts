import { expect, test } from 'vitest';
import { Outbox } from './outbox.ts';

test('urgent packets overtake those that wait for a full transport', () => {
  const written: string[] = [];
  let room = 1;
  const outbox = new Outbox({
    receiver: { receive: () => undefined, drained: () => undefined, ended: () => undefined },
    write: (bytes) => {
      written.push(bytes.toString());
      return --room > 0;
    },
    destroy: () => undefined,
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
