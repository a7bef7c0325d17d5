import { expect, it } from 'vitest';
import { type BackupCounts, unusual } from './unusual.ts';

const MIB = 2 ** 20;
const counts = (mebibytes: number, deflatedShare?: number): BackupCounts => ({
  size: 2 ** 40,
  newBytes: mebibytes * MIB,
  deflatedShare,
});
const usual = [100, 120, 90, 300, 80].map((mebibytes) => counts(mebibytes, 0.4));

it.each([
  ['the first backups have nothing to compare with', counts(9000, 1), usual.slice(1), []],
  ['as much as ever', counts(310, 0.4), usual, []],
  ['a few times the most of before', counts(1199, 0.4), usual, []],
  [
    'a jump',
    counts(1201, 0.4),
    usual,
    [/1259339776 bytes changed, the most of 5 earlier backups was 314572800/],
  ],
  ['little, however many times', counts(63, 0.4), usual.map(() => counts(1, 0.4)), []],
  [
    'what does not deflate any more',
    counts(200, 0.99),
    usual,
    [/to 99 % of its size, earlier changes to 40 %/],
  ],
  ['what never deflated', counts(200, 0.99), usual.map(() => counts(100, 0.97)), []],
  ['both', counts(5000, 1), usual, [/bytes changed/, /encrypted/]],
])('%s', (_, now, earlier, expected) => {
  const said = unusual(now, earlier);
  expect(said.length).toBe(expected.length);
  for (const [index, pattern] of expected.entries()) expect(said[index]).toMatch(pattern);
});
