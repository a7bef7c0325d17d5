import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockSource, StatusExtent } from '../ports/block-source.ts';
import { BASE_ALLOCATION, layout, type LayoutRange } from './layout.ts';

const BITMAP = 'qemu:dirty-bitmap:b';
const UNIT = 512;

/** A source whose flags are given for each unit; a status reply covers at most `reply` units, by context. */
function source(contexts: Record<string, readonly number[]>, reply: readonly number[] = [5, 3]): BlockSource {
  const size = (Object.values(contexts)[0] ?? []).length * UNIT;
  const notUsed = (): never => {
    throw new Error('not used');
  };
  return {
    exportSize: size,
    metaContexts: Object.keys(contexts),
    statistics: { readBytesRequested: 0 },
    read: notUsed,
    readInto: notUsed,
    close: notUsed,
    destroy: notUsed,
    blockStatus(offset) {
      const answers = Object.entries(contexts).map(([name, flags], index): [string, StatusExtent[]] => {
        const first = offset / UNIT;
        const units = flags.slice(first, first + (reply[index] ?? 1));
        return [
          name,
          units.map((value, unit) => ({ offset: (first + unit) * UNIT, length: UNIT, flags: value })),
        ];
      });
      return Promise.resolve(new Map(answers));
    },
  };
}

async function collect(ranges: AsyncIterable<LayoutRange>): Promise<LayoutRange[]> {
  const all: LayoutRange[] = [];
  for await (const range of ranges) all.push(range);
  return all;
}

describe('layout of a full', () => {
  it('covers everything; only ZERO is zero, a HOLE without it is data', async () => {
    const ranges = await collect(layout(source({ [BASE_ALLOCATION]: [0, 1, 2, 3, 3, 0] })));
    expect(ranges).toEqual([
      { type: 'data', offset: 0, length: 2 * UNIT },
      { type: 'zero', offset: 2 * UNIT, length: 3 * UNIT },
      { type: 'data', offset: 5 * UNIT, length: UNIT },
    ]);
  });
});

describe('layout of an incremental', () => {
  it('is the dirty ranges, and dirty and zero is zero', async () => {
    const contexts = { [BASE_ALLOCATION]: [0, 0, 3, 3, 0, 0, 3], [BITMAP]: [0, 1, 1, 0, 1, 1, 1] };
    const ranges = await collect(layout(source(contexts), { dirtyBitmap: BITMAP }));
    expect(ranges).toEqual([
      { type: 'data', offset: UNIT, length: UNIT },
      { type: 'zero', offset: 2 * UNIT, length: UNIT },
      { type: 'data', offset: 4 * UNIT, length: 2 * UNIT },
      { type: 'zero', offset: 6 * UNIT, length: UNIT },
    ]);
  });

  it('is what a unit-by-unit model says, however the server cuts its answers', async () => {
    const unit = fc.record({ zero: fc.boolean(), dirty: fc.boolean() });
    const cut = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }));
    await fc.assert(
      fc.asyncProperty(fc.array(unit, { minLength: 1, maxLength: 60 }), cut, async (units, reply) => {
        const contexts = {
          [BASE_ALLOCATION]: units.map(({ zero }) => (zero ? 3 : 0)),
          [BITMAP]: units.map(({ dirty }) => (dirty ? 1 : 0)),
        };
        const ranges = await collect(layout(source(contexts, reply), { dirtyBitmap: BITMAP }));
        const seen = units.map(() => '');
        for (const { type, offset, length } of ranges)
          for (let at = offset / UNIT; at < (offset + length) / UNIT; at++)
            seen[at] = `${seen[at] ?? ''}${type}`;
        expect(seen).toEqual(units.map(({ zero, dirty }) => (dirty ? (zero ? 'zero' : 'data') : '')));
        for (const [index, range] of ranges.slice(1).entries()) {
          const previous = ranges[index];
          const touches = previous !== undefined && previous.offset + previous.length === range.offset;
          expect(touches && previous.type === range.type, 'neighbours are joined').toBe(false);
        }
      }),
    );
  });

  it('is an error where the server says nothing about the bitmap', async () => {
    const silent = source({ [BASE_ALLOCATION]: [0, 0] });
    await expect(collect(layout(silent, { dirtyBitmap: BITMAP }))).rejects.toThrow(/no status for/);
  });
});
