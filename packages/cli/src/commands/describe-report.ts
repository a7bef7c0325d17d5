import type { LiveReport, RepairReport, VerifyReport } from 'libvirt-ts-backup';

/** What a check of what is stored found, as lines of text. */
export function verifyLines({
  points,
  damagedManifests,
  damagedPacks,
  damagedRecords,
  missingPrevious,
}: VerifyReport): readonly string[] {
  const harmed = points.flatMap(({ id, domain, disks }) =>
    disks
      .filter(({ state }) => state === 'damaged')
      .flatMap(({ name, ranges }) =>
        ranges.map(
          ({ offset, length, reason }) =>
            `damaged: point ${id} of ${domain.name}, ${name}: ${length} bytes at ${offset}: ${reason}`,
        ),
      ),
  );
  return [
    ...[...damagedManifests, ...damagedRecords].map(({ name, reason }) => `damaged: ${name}: ${reason}`),
    ...damagedPacks.map(({ pack, reason }) => `damaged: pack ${pack}: ${reason}`),
    ...harmed,
    ...missingPrevious.map(
      ({ id, previous }) => `note: the point before ${id}, ${previous.id}, is not there any more`,
    ),
  ];
}

/** The last line: how much was looked at, and what came of it. */
export function verifySummary({ isWhole, points, checked }: VerifyReport): string {
  const { pages, blocks, bytes } = checked;
  return `${isWhole ? 'whole' : 'DAMAGED'}: ${points.length} points, ${pages} pages, ${blocks} blocks, ${bytes} bytes read`;
}

/** What a repair did, or would do. */
export function repairLines(
  { quarantined, releasedRecords, setAside }: RepairReport,
  isDone: boolean,
): readonly string[] {
  const { packs, pieces } = quarantined;
  const does = isDone ? 'is' : 'would be';
  return [
    ...setAside.map((name) => `${name} ${does} set aside under damaged/`),
    ...releasedRecords.map((name) => `${name} ${does} removed: no point needs it`),
    `${packs} packs and ${pieces} pieces ${isDone ? 'are' : 'would be'} quarantined${isDone ? '' : ' (--yes does it)'}`,
  ];
}

/** What comparing a domain with its newest point found. */
export function liveLines({ isWhole, disks, excluded }: LiveReport): readonly string[] {
  const found = disks.flatMap(({ name, point, state, ranges, message = '' }) => [
    ...ranges.map(
      ({ offset, length, reason }) => `different: ${name}: ${length} bytes at ${offset}: ${reason}`,
    ),
    ...(state === 'damaged' ? [`damaged: point ${point ?? ''}, ${name}: ${message}`] : []),
    ...(state === 'skipped' ? [`skipped: ${name}: ${message}`] : []),
  ]);
  const bytes = disks.reduce((sum, { comparedBytes }) => sum + comparedBytes, 0);
  return [
    ...found,
    ...excluded.map(({ name, message }) => `excluded: ${name}: ${message}`),
    `${isWhole ? 'whole' : 'NOT WHOLE'}: ${bytes} bytes compared`,
  ];
}
