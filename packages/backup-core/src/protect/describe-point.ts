import type { PullBackup } from '../job/pull/pull-backup.ts';
import type { CheckpointFacts } from '../ports/domain.ts';
import type { Point, PointReference, StoredDisk } from '../repository/point.ts';
import type { DomainUuid } from '../words/peer-names.ts';

/** What becomes the manifest of a point. */
export function describePoint(taken: {
  readonly id: string;
  readonly domain: { readonly name: string; readonly uuid: DomainUuid };
  readonly backup: PullBackup;
  /** null: there is none, or it is gone already. */
  readonly checkpoint: CheckpointFacts | null;
  readonly previous: PointReference | null;
  readonly disks: readonly StoredDisk[];
}): Point {
  const { id, domain, backup, checkpoint, previous, disks } = taken;
  const { definition, versions } = backup.facts;
  return {
    id,
    createdAt: new Date().toISOString(),
    domain: { name: domain.name, uuid: domain.uuid },
    checkpoint: checkpoint && { name: checkpoint.name, creationTime: checkpoint.creationTime },
    previous,
    disks,
    excluded: backup.excluded,
    definition,
    versions,
  };
}
