import { expect, it } from 'vitest';
import { typeCheckGuide } from './type-check-guide.ts';

it('the guide to dirty bitmaps compiles', { timeout: 60_000 }, () => {
  const { blocks, problems } = typeCheckGuide('reading-dirty-bitmaps.md');
  expect(blocks).toBeGreaterThan(5);
  expect(problems).toEqual([]);
});
