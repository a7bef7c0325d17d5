import type { Point, StoredDisk } from 'libvirt-ts-backup';

/** Whether anything of a point was read by a dirty bitmap. */
export function modeOf({ disks }: Point): 'incremental' | 'full' {
  return disks.some(({ reading }) => reading.mode === 'incremental') ? 'incremental' : 'full';
}

/** A point for `--json`: everything but the domain's XML; another point by its id. */
export function describePoint(point: Point): object {
  const { id, createdAt, domain, checkpoint, previous, disks, excluded, versions } = point;
  return {
    ...{ id, createdAt, domain, mode: modeOf(point) },
    checkpoint: checkpoint?.name ?? null,
    previous: previous?.id ?? null,
    disks: disks.map(describeDisk),
    ...{ excluded, versions },
  };
}

function describeDisk({ reading, root, ...disk }: StoredDisk): object {
  const hash = root === null ? null : Buffer.from(root.hash).toString('hex');
  return { ...disk, ...reading, contentHash: hash };
}
