import { expect, it } from 'vitest';
import { typeCheckGuide } from './type-check-guide.ts';

it('the guide to libvirt compiles', { timeout: 60_000 }, () => {
  const { blocks, problems } = typeCheckGuide('talking-to-libvirt.md');
  expect(blocks).toBeGreaterThan(5);
  expect(problems).toEqual([]);
});
