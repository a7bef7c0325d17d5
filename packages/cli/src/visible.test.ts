import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { Output } from './output.ts';

const EVIL = 'web\u001b]0;x\u0007\u202e1\u009b2J\u{e0041}';

it('a line is no command for a terminal, whatever is called so, and JSON stays what it was', async () => {
  let written = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written += chunk.toString();
      done();
    },
  });
  const output = new Output(stream);
  await output.line(JSON.stringify({ name: EVIL }));
  expect(JSON.parse(written)).toEqual({ name: EVIL });
  await output.line(`a ${EVIL}\nb ü 漢`);
  expect(written).not.toMatch(/[^\n\P{Cc}]|\p{Cf}/u);
  expect(written.split('\n').slice(-3)).toEqual([
    'a web\\u001b]0;x\\u0007\\u202e1\\u009b2J\\udb40\\udc41',
    'b ü 漢',
    '',
  ]);
});
