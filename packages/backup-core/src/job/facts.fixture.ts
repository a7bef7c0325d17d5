import type { DiskFacts, DomainFacts } from '../ports/domain.ts';
import { diskName, type DiskName } from '../words/peer-names.ts';

/** A target that is known to be one. */
export function target(name: string): DiskName {
  const checked = diskName(name);
  if (checked === undefined) throw new Error(`${name} is no target`);
  return checked;
}

/** A qcow2 disk in `/i`, but for the changes. */
export function diskFacts(name: string, changes: Partial<DiskFacts> = {}): DiskFacts {
  const path = `/i/${name}.qcow2`;
  return {
    name: target(name),
    device: 'disk',
    format: 'qcow2',
    source: { type: 'file', path },
    chain: [path],
    size: 1024 * 1024,
    isReadOnly: false,
    isShareable: false,
    isTransient: false,
    isEncrypted: false,
    ...changes,
  };
}

/** A running domain. */
export function domainFacts(disks: readonly DiskFacts[], changes: Partial<DomainFacts> = {}): DomainFacts {
  return {
    isActive: true,
    isPersistent: true,
    disks,
    definition: { live: '<domain/>', inactive: null },
    versions: { libvirt: '9.0.0', hypervisor: '7.2.22' },
    ...changes,
  };
}
