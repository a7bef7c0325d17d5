import type { StoredDisk } from '../repository/point.ts';
import type { ListedPoint } from '../repository/points.ts';
import type { Remark } from '../words/remarks.ts';
import { type BackupCounts, unusual } from './unusual.ts';

/** Whether what was stored of each disk fits the series of its points. */
export function unusualRemarks(
  disks: readonly StoredDisk[],
  points: readonly ListedPoint[],
): readonly Remark[] {
  return disks.flatMap((disk) => {
    const earlier = points.flatMap(({ point }) =>
      point.disks.filter(({ name, reading }) => name === disk.name && reading.mode === 'incremental'),
    );
    const sentences = disk.reading.mode === 'full' ? [] : unusual(countsOf(disk), earlier.map(countsOf));
    return sentences.map((text) => ({
      reason: 'unusual' as const,
      message: `disk ${disk.name}: ${text}`,
      disk: disk.name,
    }));
  });
}

function countsOf({ size, storedRawBytes, storedBytes }: StoredDisk): BackupCounts {
  return {
    size,
    newBytes: storedRawBytes,
    deflatedShare: storedRawBytes === 0 ? undefined : storedBytes / storedRawBytes,
  };
}
