import type { JobDiskSpec, JobSpec, RunningJob } from '../../../ports/domain.ts';
import { attribute, buildXml, child, children, parseXml } from './xml.ts';

/** A `<domainbackup mode='pull'>` that names each disk, its mode, its export and its scratch file. */
export function buildDomainBackup({ socket, disks }: Pick<JobSpec, 'socket' | 'disks'>): string {
  const disk = disks.map(({ name, scratch, exportName, incremental }: JobDiskSpec) => ({
    '@name': name,
    '@backup': 'yes',
    '@type': 'file',
    ...(incremental === undefined
      ? { '@backupmode': 'full' }
      : { '@backupmode': 'incremental', '@incremental': incremental.checkpoint }),
    '@exportname': exportName,
    ...(incremental === undefined ? {} : { '@exportbitmap': incremental.exportBitmap }),
    driver: [{ '@type': 'qcow2' }],
    scratch: [{ '@file': scratch }],
  }));
  return buildXml({
    domainbackup: [
      { '@mode': 'pull', server: [{ '@transport': 'unix', '@socket': socket }], disks: [{ disk }] },
    ],
  });
}

/** What a running job's `<domainbackup>` says. @throws Error if the XML is not what libvirt writes */
export function parseDomainBackup(xml: string): RunningJob {
  const backup = parseXml(xml, 'domainbackup');
  const disks = child(backup, 'disks');
  return {
    mode: attribute(backup, 'mode') === 'push' ? 'push' : 'pull',
    socket: attribute(child(backup, 'server'), 'socket'),
    disks: (disks === undefined ? [] : children(disks, 'disk'))
      .filter((disk) => attribute(disk, 'backup') !== 'no')
      .map((disk) => ({
        name: attribute(disk, 'name') ?? '',
        exportName: attribute(disk, 'exportname'),
        scratch: attribute(child(disk, 'scratch'), 'file'),
      })),
  };
}
