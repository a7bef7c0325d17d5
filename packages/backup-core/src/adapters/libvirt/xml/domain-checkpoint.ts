import type { CheckpointFacts, CheckpointSpec, JobSpec } from '../../../ports/domain.ts';
import { attribute, buildXml, child, children, parseXml, textElement, textOf } from './xml.ts';

/** A `<domaincheckpoint>` with a bitmap on each tracked disk and none on the others. */
export function buildDomainCheckpoint({
  name,
  tracked,
  untracked,
}: NonNullable<JobSpec['checkpoint']>): string {
  const disk = [
    ...tracked.map((target) => ({ '@name': target, '@checkpoint': 'bitmap' })),
    ...untracked.map((target) => ({ '@name': target, '@checkpoint': 'no' })),
  ];
  return buildXml({ domaincheckpoint: [{ name: textElement(name), disks: [{ disk }] }] });
}

/**
 * The least that VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE takes. No `<parent>`: libvirt refuses one that it does not
 * know, and needs none.
 */
export function buildRedefinedCheckpoint({ name, creationTime, disks }: CheckpointSpec): string {
  const disk = disks.map((each) => ({
    '@name': each.name,
    '@checkpoint': 'bitmap',
    '@bitmap': each.bitmap,
  }));
  return buildXml({
    domaincheckpoint: [
      { name: textElement(name), creationTime: textElement(String(creationTime)), disks: [{ disk }] },
    ],
  });
}

/**
 * A checkpoint with the size of each healthy bitmap, from the XML with VIR_DOMAIN_CHECKPOINT_XML_SIZE: of a missing or
 * inconsistent one libvirt leaves the size out, without an error.
 *
 * @throws Error if the XML is not what libvirt writes
 */
export function parseDomainCheckpoint(xml: string, name: string): CheckpointFacts {
  const checkpoint = parseXml(xml, 'domaincheckpoint');
  const creationTime = Number(textOf(child(checkpoint, 'creationTime')));
  if (!Number.isSafeInteger(creationTime)) throw new Error('the <creationTime> of a checkpoint is no number');
  const disks = child(checkpoint, 'disks');
  return {
    name,
    creationTime,
    disks: (disks === undefined ? [] : children(disks, 'disk'))
      .filter((disk) => attribute(disk, 'checkpoint') === 'bitmap')
      .map((disk) => {
        const size = attribute(disk, 'size');
        return {
          name: attribute(disk, 'name') ?? '',
          bitmap: attribute(disk, 'bitmap') ?? name,
          dirtyBytes: size === undefined ? undefined : Number(size),
        };
      }),
  };
}
