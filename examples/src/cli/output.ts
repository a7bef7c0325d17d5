import { once } from 'node:events';
import type { Point } from 'libvirt-ts-backup';

/** Writes a line to stdout and waits while nobody takes it. */
export function printLine(text: string, signal?: AbortSignal): Promise<void> {
  return print(`${text}\n`, signal);
}

async function print(text: string, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  if (process.stdout.write(text)) return;
  try {
    await once(process.stdout, 'drain', signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted(); // with the reason instead of "aborted"
    throw error;
  }
}

const ITEMS_AT_ONCE = 1024;

/** Many items as text, a bounded number of them in one write. */
export async function printEach<Item>(
  items: readonly Item[],
  format: (item: Item) => string,
  signal?: AbortSignal,
): Promise<void> {
  for (let at = 0; at < items.length; at += ITEMS_AT_ONCE) {
    let text = '';
    for (const item of items.slice(at, at + ITEMS_AT_ONCE)) text += format(item);
    await print(text, signal);
  }
}

/** An array, one element a line, without ever holding all of it. */
export async function printJsonArray<Item>(
  batches: AsyncIterable<readonly Item[]>,
  format: (item: Item) => string,
  signal: AbortSignal,
): Promise<void> {
  let before = '[\n  ';
  const element = (item: Item): string => {
    const text = before + format(item);
    before = ',\n  ';
    return text;
  };
  for await (const batch of batches) await printEach(batch, element, signal);
  await print(before.startsWith('[') ? '[\n]\n' : '\n]\n', signal);
}

/** Columns as wide as their widest cell; the last one as it is. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  return rows
    .map((row) =>
      row
        .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
        .join('  '),
    )
    .join('\n');
}

/** A point for `--json`: everything but the domain's XML, other points by their ids. */
export function describePoint(point: Point): object {
  return {
    ...point,
    parent: point.parent?.id ?? null,
    previous: point.previous?.id ?? null,
    domainXml: undefined,
  };
}
