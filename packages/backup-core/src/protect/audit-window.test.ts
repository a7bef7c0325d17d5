import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { auditBytes, auditWindow, checkAudit } from './audit-window.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

describe('how much is audited', () => {
  it.each([
    ['as much as was dirty', undefined, { size: 100 * GIB, dirtyBytes: 500 * MIB }, 500 * MIB],
    ['at least 64 MiB', undefined, { size: 100 * GIB, dirtyBytes: 0 }, 64 * MIB],
    ['at most 1 % of the disk', undefined, { size: GIB, dirtyBytes: GIB }, GIB * 0.01],
    ['a share', 0.5, { size: GIB, dirtyBytes: 0 }, GIB / 2],
    ['everything', 1, { size: GIB, dirtyBytes: 0 }, GIB],
    ['bytes', 3 * MIB, { size: GIB, dirtyBytes: 0 }, 3 * MIB],
    ['no more than there is', 3 * GIB, { size: GIB, dirtyBytes: 0 }, GIB],
    ['nothing', 0, { size: GIB, dirtyBytes: GIB }, 0],
  ])('%s', (_, audit, disk, expected) => {
    expect(auditBytes(audit, disk)).toBe(expected);
  });

  it.each([-1, 1.5, NaN, Infinity, '1', null])('%s is refused', (audit) => {
    expect(() => checkAudit(audit)).toThrow(/audit is/);
  });
});

describe('the window', () => {
  it('goes round the end of the disk', () => {
    expect(auditWindow(6, 6, 9, 2)).toEqual({
      ranges: [
        { offset: 0, length: 2 },
        { offset: 6, length: 3 },
      ],
      next: 2,
    });
  });

  it('of a disk without bytes, or of no bytes, is nothing', () => {
    expect(auditWindow(4, 0, 9, 2)).toEqual({ ranges: [], next: 4 });
    expect(auditWindow(0, 8, 0, 2).ranges).toEqual([]);
  });

  it('has been everywhere after size / bytes windows, wherever it began', () => {
    const positive = fc.integer({ min: 1, max: 300 });
    fc.assert(
      fc.property(
        positive,
        positive,
        fc.integer({ min: 0, max: 400 }),
        positive,
        (size, bytes, start, block) => {
          const seen = new Uint8Array(size);
          let at = start;
          for (let turn = 0; turn < Math.ceil(Math.ceil(size / block) / Math.ceil(bytes / block)); turn++) {
            const { ranges, next } = auditWindow(at, bytes, size, block);
            for (const { offset, length } of ranges) seen.fill(1, offset, offset + length);
            at = next;
          }
          expect(seen.every((each) => each === 1)).toBe(true);
        },
      ),
    );
  });
});
