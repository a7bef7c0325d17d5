import { attribute, buildXml, child, children, parseXml, textElement } from './xml.ts';

/** A `<domaincheckpoint>` with a bitmap on each disk of `tracked` and none on those of `untracked`. */
export function buildDomainCheckpoint(
  name: string,
  tracked: readonly string[],
  untracked: readonly string[],
): string {
  const disk = [
    ...tracked.map((target) => ({ '@name': target, '@checkpoint': 'bitmap' })),
    ...untracked.map((target) => ({ '@name': target, '@checkpoint': 'no' })),
  ];
  return buildXml({ domaincheckpoint: [{ name: textElement(name), disks: [{ disk }] }] });
}

/**
 * Bytes dirty since the checkpoint, for each disk whose bitmap is healthy.
 *
 * From the XML with VIR_DOMAIN_CHECKPOINT_XML_SIZE: of a missing or inconsistent bitmap libvirt leaves the
 * size out, without an error.
 *
 * @throws Error if the XML is not what libvirt writes
 */
export function parseCheckpointSizes(xml: string): ReadonlyMap<string, number> {
  const checkpoint = parseXml(xml, 'domaincheckpoint');
  const disks = child(checkpoint, 'disks');
  const sizes = new Map<string, number>();
  for (const disk of disks === undefined ? [] : children(disks, 'disk')) {
    const name = attribute(disk, 'name');
    const size = attribute(disk, 'size');
    if (name === undefined || size === undefined || attribute(disk, 'checkpoint') !== 'bitmap') continue;
    sizes.set(name, Number(size));
  }
  return sizes;
}
