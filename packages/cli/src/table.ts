/**
 * Columns as wide as their widest cell, the last one as it is. Where a line would be longer than the terminal
 * is wide, each row becomes a paragraph with its headings.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  {
    headings,
    columns = Infinity,
  }: { readonly headings?: readonly string[]; readonly columns?: number | undefined } = {},
): string {
  const all = headings === undefined ? rows : [headings, ...rows];
  const widths: number[] = [];
  for (const row of all)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  const lines = all.map((row) =>
    row.map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0))).join('  '),
  );
  if (headings === undefined || lines.every((line) => line.length <= columns)) return lines.join('\n');
  return rows
    .map((row) => row.map((cell, index) => `${headings[index] ?? ''}: ${cell}`).join('\n'))
    .join('\n\n');
}
