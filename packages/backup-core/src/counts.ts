import type { RepositoryCounts } from './diagnostics.ts';
import type { BackupResult } from './protect/take-backup.ts';
import type { CopyPointsReport } from './repository/copy-points.ts';
import type { PruneReport } from './repository/prune.ts';
import type { VerifyReport } from './repository/verify/verify.ts';

/** What is told of a backup that is done. */
export function countsOfBackup({ point, remarks, ...counts }: BackupResult): RepositoryCounts {
  return { ...counts, disks: point.disks.length, remarks: remarks.length };
}

/** What is told of points that were copied. */
export function countsOfCopy({ copied, present, damaged }: CopyPointsReport): RepositoryCounts {
  return {
    copied: copied.length,
    present: present.length,
    damaged: damaged.length,
    readBytes: copied.reduce((sum, { readBytes }) => sum + readBytes, 0),
    storedBytes: copied.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
  };
}

/** What is told of points that were removed. */
export function countsOfRemoval(report: PruneReport): RepositoryCounts {
  const { keep, remove, removedPacks, rewrittenPacks, freedBytes, hindrances } = report;
  return {
    keep: keep.length,
    remove: remove.length,
    ...{ removedPacks, rewrittenPacks, freedBytes },
    hindrances: hindrances.length,
  };
}

/** What is told of what was checked. */
export function countsOfVerify({
  points,
  damagedManifests,
  damagedPacks,
  checked,
}: VerifyReport): RepositoryCounts {
  const isHarmed = ({ disks }: VerifyReport['points'][number]): boolean =>
    disks.some(({ state }) => state === 'damaged');
  return {
    ...checked,
    points: points.length,
    damagedPoints: points.filter(isHarmed).length,
    damagedManifests: damagedManifests.length,
    damagedPacks: damagedPacks.length,
  };
}
