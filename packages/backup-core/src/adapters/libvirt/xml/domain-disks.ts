import { attribute, child, children, parseXml, type XmlElement } from './xml.ts';

/** One `<disk>` of a domain, as far as a backup cares. */
export interface DomainDisk {
  /** `<target dev>`, such as `vda`. */
  readonly name: string;
  /** `disk`, `cdrom`, `floppy`, `lun`. */
  readonly device: string;
  /** `<driver type>`; libvirt's default is raw. */
  readonly format: string;
  readonly source: DiskSource;
  readonly isReadOnly: boolean;
}

export type DiskSource =
  | { readonly type: 'file' | 'block'; readonly path: string }
  /** A network disk, volume or the like. */
  | { readonly type: 'other'; readonly kind: string }
  | { readonly type: 'none' };

/** The disks of a `<domain>`, in its order. @throws Error if the XML is not what libvirt writes */
export function parseDomainDisks(domainXml: string): readonly DomainDisk[] {
  const domain = parseXml(domainXml, 'domain');
  const devices = child(domain, 'devices');
  return devices === undefined ? [] : children(devices, 'disk').map(parseDisk);
}

function parseDisk(element: XmlElement): DomainDisk {
  const name = attribute(child(element, 'target'), 'dev');
  if (name === undefined) throw new Error('a <disk> of the domain has no <target dev>');
  return {
    name,
    device: attribute(element, 'device') ?? 'disk',
    format: attribute(child(element, 'driver'), 'type') ?? 'raw',
    source: parseSource(element),
    isReadOnly: child(element, 'readonly') !== undefined,
  };
}

function parseSource(disk: XmlElement): DiskSource {
  const kind = attribute(disk, 'type') ?? 'file';
  const source = child(disk, 'source');
  const path = attribute(source, kind === 'block' ? 'dev' : 'file');
  if (source === undefined) return { type: 'none' };
  if (kind !== 'file' && kind !== 'block') return { type: 'other', kind };
  return path === undefined ? { type: 'none' } : { type: kind, path };
}
