import { once } from 'node:events';
import type { Point } from 'libvirt-ts-backup';

/** Writes a line to stdout and waits while nobody takes it. */
export async function printLine(text: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  if (process.stdout.write(`${text}\n`)) return;
  await once(process.stdout, 'drain', signal === undefined ? {} : { signal });
}

/** An array, one element a line, without ever holding it. */
export async function printJsonArray(items: AsyncIterable<unknown>, signal: AbortSignal): Promise<void> {
  let previous: string | undefined;
  await printLine('[', signal);
  for await (const item of items) {
    if (previous !== undefined) await printLine(`${previous},`, signal);
    previous = `  ${JSON.stringify(item)}`;
  }
  if (previous !== undefined) await printLine(previous, signal);
  await printLine(']', signal);
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
