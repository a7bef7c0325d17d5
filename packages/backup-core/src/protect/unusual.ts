/** The counts of one backup of a disk, in bytes. */
export interface BackupCounts {
  readonly size: number;
  /** Blocks that differ from the point before, uncompressed. */
  readonly newBytes: number;
  /** Those blocks, as a deflate of a sample of them left them; undefined: there were none. */
  readonly deflatedShare: number | undefined;
}

/** Fewer earlier backups than this say nothing about what is usual. */
const LEAST_EARLIER = 5;
/** Below so many bytes nothing is worth a remark. */
const LEAST_BYTES: number = 64 * 2 ** 20;
/** So many times the largest of the earlier backups is a jump. */
const JUMP = 4;
/** New blocks that hardly deflate where earlier ones did: what encrypted data looks like. */
const INCOMPRESSIBLE = 0.95;
const COMPRESSIBLE = 0.8;

/**
 * Whether a backup does not fit the series it belongs to. Says what was counted; what it means is for the reader, who
 * knows whether a database was just rebuilt. Silent about short series and small amounts, for which there is no usual.
 *
 * @param earlier - the counts of the disk's earlier incremental backups, in any order
 * @returns sentences; none: nothing is unusual
 */
export function unusual(now: BackupCounts, earlier: readonly BackupCounts[]): readonly string[] {
  const sentences: string[] = [];
  if (earlier.length < LEAST_EARLIER || now.newBytes < LEAST_BYTES) return sentences;
  const most = Math.max(...earlier.map(({ newBytes }) => newBytes));
  if (now.newBytes > JUMP * most)
    sentences.push(
      `${now.newBytes} bytes changed, the most of ${earlier.length} earlier backups was ${most}`,
    );
  const shares = earlier.flatMap(({ deflatedShare }) => deflatedShare ?? []).sort((a, b) => a - b);
  const usual = shares[shares.length >> 1];
  const { deflatedShare: share } = now;
  if (share !== undefined && usual !== undefined && share >= INCOMPRESSIBLE && usual <= COMPRESSIBLE)
    sentences.push(
      `what changed deflates to ${percent(share)} of its size, earlier changes to ${percent(usual)}: encrypted or compressed data looks like that`,
    );
  return sentences;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
