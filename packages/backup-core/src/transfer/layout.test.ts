import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BlockSource, StatusExtent } from '../ports/block-source.ts';
import { BackupUsageError } from '../words/errors.ts';
import { BASE_ALLOCATION, type ByteRange, layout, type LayoutOptions, type LayoutRange } from './layout.ts';

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

/** Ranges in units, as letters: d(ata), z(ero), a(udit), with the count. */
async function shape(ranges: AsyncIterable<LayoutRange>): Promise<string> {
  const all = await collect(ranges);
  return all.map(({ type, offset, length }) => `${type[0] ?? ''}${offset / UNIT}+${length / UNIT}`).join(' ');
}

const units = (offset: number, length: number): ByteRange => ({
  offset: offset * UNIT,
  length: length * UNIT,
});

describe('layout of a full', () => {
  it('covers everything; only ZERO is zero, a HOLE without it is data', async () => {
    const ranges = await collect(layout(source({ [BASE_ALLOCATION]: [0, 1, 2, 3, 3, 0] })));
    expect(ranges).toEqual([
      { type: 'data', offset: 0, length: 2 * UNIT },
      { type: 'zero', offset: 2 * UNIT, length: 3 * UNIT },
      { type: 'data', offset: 5 * UNIT, length: UNIT },
    ]);
  });

  it('knows nothing clean: doubts and audits change nothing', async () => {
    const full = source({ [BASE_ALLOCATION]: [0, 3, 0] });
    const options = { doubtful: [units(0, 3)], audit: [units(0, 3)], lastCleanCluster: UNIT };
    expect(await shape(layout(full, options))).toBe('d0+1 z1+1 d2+1');
  });
});

describe('layout of an incremental', () => {
  const incremental = (
    allocation: number[],
    bitmap: number[],
    options: LayoutOptions = {},
  ): Promise<string> =>
    shape(
      layout(source({ [BASE_ALLOCATION]: allocation, [BITMAP]: bitmap }), {
        dirtyBitmap: BITMAP,
        ...options,
      }),
    );

  it('is the dirty data and all that is zero, dirty or not', async () => {
    expect(await incremental([0, 0, 3, 3, 0, 0, 3], [0, 1, 1, 0, 1, 1, 0])).toBe('d1+1 z2+2 d4+2 z6+1');
  });

  it('holds what is doubtful, as what it is, and no further than the disk reaches', async () => {
    const doubtful = [units(1, 1), units(3, 1000)];
    expect(await incremental([0, 0, 0, 0, 3, 0], [0, 0, 0, 0, 0, 0], { doubtful })).toBe(
      'd1+1 d3+1 z4+1 d5+1',
    );
  });

  it('holds all that is in one cluster with something dirty', async () => {
    const clusters = { cluster: 4 * UNIT };
    const bitmap = [0, 0, 0, 0, /**/ 0, 0, 1, 0, /**/ 0, 0, 0, 0, /**/ 0, 1];
    const allocation = [0, 0, 0, 0, /**/ 0, 3, 0, 0, /**/ 0, 0, 3, 3, /**/ 0, 0];
    expect(await incremental(allocation, bitmap, clusters)).toBe('d4+1 z5+1 d6+2 z10+2 d12+2');
    expect(await incremental(allocation, bitmap, { ...clusters, lastCleanCluster: 4 * UNIT })).toBe(
      'd4+1 z5+1 d6+4 z10+2 d12+2',
    );
  });

  it('holds the last clean data, back to a multiple of its cluster', async () => {
    const last = { lastCleanCluster: 4 * UNIT };
    expect(await incremental([0, 0, 0, 0, 0, 0, 0, 3, 0, 3], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0], last)).toBe(
      'd4+3 z7+1 d8+1 z9+1',
    );
    expect(await incremental([0, 3, 0], [1, 0, 1], last), 'none is clean').toBe('d0+1 z1+1 d2+1');
  });

  it('emits the clean data of audited ranges apart, and what is dirty in them as ever', async () => {
    const audit = [units(0, 2), units(4, 3)];
    expect(await incremental([0, 0, 0, 0, 0, 3, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], { audit })).toBe(
      'a0+1 d1+1 a4+1 z5+1 a6+1',
    );
  });

  it('widens to whole blocks, the last of which is short; a block is zero only if all of it is', async () => {
    const aligned = { alignment: 4 * UNIT };
    expect(
      await incremental(
        [0, 0, 0, 0, /**/ 3, 3, 3, 3, /**/ 3, 0, 0, 0, /**/ 0, 0, 0, 0, /**/ 3, 3],
        [0, 0, 1, 0, /**/ 0, 1, 0, 0, /**/ 0, 0, 0, 0, /**/ 0, 0, 0, 0, /**/ 0, 0],
        aligned,
      ),
    ).toBe('d0+4 z4+4 d8+4 z16+2');
    expect(await incremental([0, 0, 0, 0, 0], [0, 0, 0, 0, 1], aligned)).toBe('d4+1');
    expect(await incremental([0, 0, 0, 0, 0], [0, 0, 0, 0, 0], { ...aligned, audit: [units(2, 1)] })).toBe(
      'a0+4',
    );
  });

  it('is an error where the server says nothing about the bitmap', async () => {
    const silent = source({ [BASE_ALLOCATION]: [0, 0] });
    await expect(collect(layout(silent, { dirtyBitmap: BITMAP }))).rejects.toThrow(/no status for/);
  });

  it.each([
    [
      'a hole',
      [
        [0, 1],
        [2, 2],
      ],
    ],
    ['its beginning', [[1, 3]]],
    [
      'a range of no length',
      [
        [0, 1],
        [1, 0],
        [1, 3],
      ],
    ],
  ] as const)('is an error where an answer leaves out %s', async (_, extents) => {
    const whole = source({ [BASE_ALLOCATION]: [0, 0, 0, 0], [BITMAP]: [0, 0, 0, 0] }, [4, 4]);
    const answer = async (context: string, offset: number): Promise<Map<string, readonly StatusExtent[]>> => {
      const reply = new Map(await whole.blockStatus(offset, 4 * UNIT));
      const part = extents.map(([first, count]) => ({ ...units(first, count), flags: 0 }));
      return reply.set(context, part);
    };
    for (const context of [BASE_ALLOCATION, BITMAP]) {
      const broken = { ...whole, blockStatus: (offset: number) => answer(context, offset) };
      await expect(collect(layout(broken, { dirtyBitmap: BITMAP }))).rejects.toMatchObject({
        code: 'ERR_BACKUP_SOURCE',
        reason: 'failed',
      });
    }
  });

  it.each([
    ...[0, -1, 1.5, NaN].map((alignment) => ({ alignment })),
    { cluster: 0 },
    { audit: 'vda' },
    { audit: [1] },
    { audit: [units(2, 1), units(0, 1)] },
    { doubtful: [null] },
    { doubtful: [{ offset: 0 }] },
    { doubtful: [{ offset: -1, length: 1 }] },
    { lastCleanCluster: NaN },
    { dirtybitmap: BITMAP },
  ])('refuses %j', async (options) => {
    const wrong = { dirtyBitmap: BITMAP, ...(options as object) };
    await expect(collect(layout(source({ [BASE_ALLOCATION]: [0] }), wrong))).rejects.toThrow(
      BackupUsageError,
    );
  });
});

interface Unit {
  readonly zero: boolean;
  readonly dirty: boolean;
  readonly doubtful: boolean;
  readonly audited: boolean;
}

/** Calls what is in one cluster with something dirty dirty. */
function widened(all: readonly Unit[], cluster: number): Unit[] {
  return all.map((one, index) => {
    const first = index - (index % cluster);
    return { ...one, dirty: all.slice(first, first + cluster).some(({ dirty }) => dirty) };
  });
}

/** What becomes of a block, from its units: the naive way. */
function expected(block: readonly Unit[], mode: 'full' | 'incremental' | 'audit'): string {
  const isFull = mode === 'full';
  if (mode === 'audit') {
    const isClean = !block.some(({ dirty, doubtful }) => dirty || doubtful);
    if (!isClean || !block.some(({ audited }) => audited)) return '';
    return block.every(({ zero }) => zero) ? 'zero' : 'audit';
  }
  if (block.every(({ zero }) => zero)) return 'zero';
  if (isFull || block.some(({ zero, dirty, doubtful }) => zero || dirty || doubtful)) return 'data';
  return block.some(({ audited }) => audited) ? 'audit' : '';
}

function rangesWhere(all: readonly Unit[], is: (unit: Unit) => boolean): ByteRange[] {
  return all.flatMap((unit, index) => (is(unit) ? [units(index, 1)] : []));
}

describe('layout and a model that looks at one block after the other', () => {
  const unit = fc.record({
    zero: fc.boolean(),
    dirty: fc.boolean(),
    doubtful: fc.boolean(),
    audited: fc.boolean(),
  });
  const disk = fc.array(unit, { minLength: 1, maxLength: 60 });
  const cut = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }));

  it('agree, however the server cuts its answers', async () => {
    await fc.assert(
      fc.asyncProperty(
        disk,
        cut,
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 7 }),
        fc.constantFrom('full', 'incremental', 'audit'),
        async (all, reply, block, cluster, mode) => {
          const contexts = {
            [BASE_ALLOCATION]: all.map(({ zero }) => (zero ? 3 : 0)),
            [BITMAP]: all.map(({ dirty }) => (dirty ? 1 : 0)),
          };
          const ranges = await collect(
            layout(source(contexts, reply), {
              ...(mode === 'full' ? {} : { dirtyBitmap: BITMAP }),
              auditOnly: mode === 'audit',
              alignment: block * UNIT,
              cluster: cluster * UNIT,
              doubtful: rangesWhere(all, ({ doubtful }) => doubtful),
              audit: rangesWhere(all, ({ audited }) => audited),
            }),
          );
          const seen = all.map(() => '');
          for (const { type, offset, length } of ranges)
            for (let at = offset / UNIT; at < (offset + length) / UNIT; at++)
              seen[at] = `${seen[at] ?? ''}${type}`;
          const wanted = all.map((_, index) => {
            const first = index - (index % block);
            return expected(widened(all, cluster).slice(first, first + block), mode);
          });
          expect(seen).toEqual(wanted);
          for (const [index, range] of ranges.slice(1).entries()) {
            const previous = ranges[index];
            const touches = previous !== undefined && previous.offset + previous.length === range.offset;
            expect(previous !== undefined && previous.offset < range.offset, 'in order').toBe(true);
            expect(touches && previous.type === range.type, 'neighbours are joined').toBe(false);
          }
        },
      ),
    );
  });
});
