import type { PruneReport } from 'libvirt-ts-backup';
import { type Output, remark } from '../output.ts';

/** What `--json` prints of a removal. */
export const REMOVAL_JSON =
  '{dryRun, keep, remove, removedPacks, rewrittenPacks, freedBytes, unsweptBytes, hindrances}';

/** Prints what was removed, or would be. */
export async function printRemoval(
  report: PruneReport,
  { dryRun, json, output }: { readonly dryRun: boolean; readonly json: boolean; readonly output: Output },
): Promise<void> {
  for (const hindrance of report.hindrances) remark(`note: ${hindrance}`);
  await output.line(json ? JSON.stringify({ dryRun, ...report }) : text(report, dryRun));
}

function text({ keep, remove, freedBytes, unsweptBytes }: PruneReport, dryRun: boolean): string {
  return [
    ...keep.map(({ id, reasons }) => `keep    ${id}  ${reasons.join(', ')}`),
    ...remove.map((id) => `remove  ${id}`),
    dryRun
      ? `${remove.length} points and ${freedBytes} bytes would be removed (--yes does it)`
      : `${remove.length} points and ${freedBytes} bytes removed`,
    ...(unsweptBytes > 0 ? [`about ${unsweptBytes} bytes are left to a later sweep`] : []),
  ].join('\n');
}
