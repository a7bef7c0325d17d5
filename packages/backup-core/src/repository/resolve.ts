import type { Run } from './runs.ts';

/** A range of a disk and where its content is: in a layer (0 is the newest), or nowhere, which is zeroes. */
export type Segment =
  | { readonly type: 'zero'; readonly offset: number; readonly length: number }
  | {
      readonly type: 'data';
      readonly offset: number;
      readonly length: number;
      readonly layer: number;
      readonly run: Run & { type: 'data' };
    };

/** The runs of one point. */
export interface LayerRuns {
  readonly runs: AsyncIterable<Run>;
  /** What lies at or behind this was cut off later, when the disk was smaller. */
  readonly limit: number;
}

interface Cursor {
  readonly limit: number;
  readonly runs: AsyncIterator<Run, void, undefined>;
  /** The first run that ends behind the current position. */
  run: Run | undefined;
}

/**
 * Lays points over each other: each byte comes from the newest layer that has it.
 *
 * One sweep over lists that are in order, so memory does not grow with the number of runs.
 *
 * @param layers - newest first; the last one is a full
 * @param size - bytes of the disk at the newest point
 */
export async function* resolveLayers(
  layers: readonly LayerRuns[],
  size: number,
): AsyncGenerator<Segment, void, undefined> {
  const cursors: Cursor[] = layers.map(({ runs, limit }) => ({
    limit,
    runs: runs[Symbol.asyncIterator]() as AsyncIterator<Run, void, undefined>,
    run: undefined,
  }));
  try {
    await Promise.all(cursors.map((cursor) => advance(cursor, 0)));
    for (let offset = 0; offset < size;) {
      const segment = segmentAt(cursors, offset, size);
      yield segment;
      offset += segment.length;
      for (const cursor of cursors) await advance(cursor, offset);
    }
  } finally {
    for (const cursor of cursors) await cursor.runs.return?.();
  }
}

function segmentAt(cursors: readonly Cursor[], offset: number, size: number): Segment {
  let end = size;
  for (const [layer, { run, limit }] of cursors.entries()) {
    if (run === undefined || offset >= limit) continue;
    if (run.offset > offset) {
      // A newer layer takes over where its next run begins.
      end = Math.min(end, run.offset);
      continue;
    }
    const length = Math.min(end, limit, run.offset + run.length) - offset;
    return run.type === 'zero'
      ? { type: 'zero', offset, length }
      : { type: 'data', offset, length, layer, run };
  }
  return { type: 'zero', offset, length: end - offset };
}

async function advance(cursor: Cursor, offset: number): Promise<void> {
  while (cursor.run === undefined || cursor.run.offset + cursor.run.length <= offset) {
    const next = await cursor.runs.next();
    if (next.done === true) {
      cursor.run = undefined;
      return;
    }
    cursor.run = next.value;
  }
}
