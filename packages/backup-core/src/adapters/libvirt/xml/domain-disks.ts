import type { DiskFacts, DiskSource } from '../../../ports/domain.ts';
import { shown } from '../../../words/peer-names.ts';
import { attribute, child, children, parseXml, type XmlElement } from './xml.ts';

/** A `<disk>` as its XML has it: its name is not checked, its size not known. */
export interface DiskXml extends Omit<DiskFacts, 'name' | 'size'> {
  readonly name: string;
}

/** The longest chain of images that is followed: libvirt has the same limit of 200 for all of XML. */
const MAX_CHAIN = 200;
const DEVICES = ['disk', 'cdrom', 'floppy', 'lun'] as const;

/** The disks of a `<domain>`, in its order. @throws Error if the XML is not what libvirt writes */
export function parseDomainDisks(domainXml: string): readonly DiskXml[] {
  const domain = parseXml(domainXml, 'domain');
  const devices = child(domain, 'devices');
  return devices === undefined ? [] : children(devices, 'disk').map(parseDisk);
}

function parseDisk(element: XmlElement): DiskXml {
  const name = attribute(child(element, 'target'), 'dev');
  if (name === undefined) throw new Error('a <disk> of the domain has no <target dev>');
  const device = attribute(element, 'device') ?? 'disk';
  const known = DEVICES.find((each) => each === device);
  if (known === undefined) throw new Error(`disk ${shown(name)} is a device ${shown(device)}`);
  const source = child(element, 'source');
  return {
    name,
    device: known,
    format: attribute(child(element, 'driver'), 'type') ?? 'raw',
    source: parseSource(element),
    chain: parseChain(element),
    isReadOnly: child(element, 'readonly') !== undefined,
    isShareable: child(element, 'shareable') !== undefined,
    isTransient: child(element, 'transient') !== undefined,
    isEncrypted: [element, source].some((each) => each !== undefined && child(each, 'encryption')),
  };
}

/** The source of a `<disk>` or a `<backingStore>`. */
function parseSource(element: XmlElement): DiskSource {
  const type = attribute(element, 'type') ?? 'file';
  const source = child(element, 'source');
  if (source === undefined) return { type: 'none' };
  switch (type) {
    case 'file':
    case 'block': {
      const path = attribute(source, type === 'file' ? 'file' : 'dev');
      return path === undefined ? { type: 'none' } : { type, path };
    }
    case 'network':
      return { type, description: named(source, 'protocol', 'name') };
    case 'volume':
      return { type, description: named(source, 'pool', 'volume') };
    case 'nvme':
    case 'vhostuser':
      return { type, description: type };
    default:
      return { type: 'other', description: type };
  }
}

function named(source: XmlElement, ...attributes: readonly string[]): string {
  return attributes.flatMap((name) => attribute(source, name) ?? []).join('/');
}

/** Of a `<source>`: what its description has already, or says how the image is reached and not which it is. */
const NO_PLACE = ['protocol', 'name', 'pool', 'volume', 'index', 'startupPolicy', 'tls', 'tlsHostname'];

/**
 * Tells an image that is no file from all others: a description alone may be that of several, such as exports of one
 * name on two hosts.
 */
function placeOf(element: XmlElement, description: string): string {
  const source = child(element, 'source') ?? {};
  const parts = ['host', 'address', 'snapshot', 'config'].flatMap((name) =>
    children(source, name).map((part) => [name, ...attributesOf(part)].join(' ')),
  );
  const place = [...attributesOf(source, NO_PLACE), ...parts];
  return place.length === 0 ? description : `${description} (${place.join(', ')})`;
}

function attributesOf(element: XmlElement, except: readonly string[] = []): readonly string[] {
  const names = Object.keys(element).flatMap((key) => (key.startsWith('@') ? key.slice(1) : []));
  return names
    .filter((name) => !except.includes(name))
    .sort()
    .map((name) => `${name}=${attribute(element, name) ?? ''}`);
}

/** The `<backingStore>` elements lie in each other; one that is empty is the end. */
function parseChain(disk: XmlElement): readonly string[] {
  const chain: string[] = [];
  for (let element: XmlElement | undefined = disk; element !== undefined;) {
    const source = parseSource(element);
    if (source.type === 'none') break;
    chain.push('path' in source ? source.path : placeOf(element, source.description));
    if (chain.length > MAX_CHAIN) throw new Error(`the images of a disk are more than ${MAX_CHAIN}`);
    element = child(element, 'backingStore');
  }
  return chain;
}
