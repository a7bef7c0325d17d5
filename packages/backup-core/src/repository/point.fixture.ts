import { diskName, domainUuid, type DiskName, type DomainUuid } from '../words/peer-names.ts';
import { ulid } from '../words/ulid.ts';
import type { Point, StoredDisk } from './point.ts';

export const UUID: DomainUuid = domainUuid('5ed3bd79-0a44-4e5c-a7b5-3ae0a1d12a3c') as DomainUuid;

/** A point of one domain, made of what a test cares about. */
export function pointOf(fields: Partial<Point> = {}): Point {
  return {
    id: ulid(),
    createdAt: '2026-11-27T19:00:00.000Z',
    domain: { name: 'web1', uuid: UUID },
    checkpoint: { name: 'tsbackup-0badcafe-01J0000000000000000000000', creationTime: 1_795_000_000 },
    previous: null,
    disks: [diskOf()],
    excluded: [{ name: 'sda', reason: 'cdrom', message: 'it is a CD-ROM' }],
    definition: { live: '<domain/>', inactive: null },
    versions: { libvirt: '9.0.0', hypervisor: '7.2.0' },
    ...fields,
  };
}

/** A disk of a point. */
export function diskOf(fields: Partial<StoredDisk> = {}): StoredDisk {
  return {
    name: diskName('vda') as DiskName,
    size: 1024,
    image: { path: '/images/web1.qcow2', format: 'qcow2', chain: [] },
    reading: { mode: 'full', reason: 'first', message: 'there is no earlier point' },
    root: null,
    treeSince: '01J00000000000000000000000',
    nextAudit: 0,
    readBytes: 1024,
    auditedBytes: 0,
    changedBytes: 0,
    storedRawBytes: 0,
    storedBytes: 0,
    reusedBytes: 0,
    zeroBytes: 1024,
    ...fields,
  };
}
