import type { ByteRange } from './layout.ts';

/** Puts a range behind the others, or makes the last one longer if they touch and have one reason. */
export function appendRange<Range extends ByteRange & { readonly reason: string }>(
  ranges: Range[],
  range: Range,
): void {
  const last = ranges.at(-1);
  if (last?.reason === range.reason && last.offset + last.length === range.offset)
    ranges[ranges.length - 1] = { ...last, length: last.length + range.length };
  else ranges.push(range);
}

/** In order, those that touch and have one reason as one, with whatever else the first of them has. */
export function joinedRanges<Range extends ByteRange & { readonly reason: string }>(
  ranges: readonly Range[],
): readonly Range[] {
  const all: Range[] = [];
  for (const range of [...ranges].sort((a, b) => a.offset - b.offset)) appendRange(all, range);
  return all;
}
