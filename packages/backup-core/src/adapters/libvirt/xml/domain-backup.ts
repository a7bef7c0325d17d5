import { attribute, buildXml, child, children, parseXml } from './xml.ts';

/** One disk of a pull job that is to be started. */
export interface BackupDiskSpec {
  readonly name: string;
  /** Path of the scratch file, on the hypervisor. */
  readonly scratch: string;
  readonly exportName: string;
  /** Absent: a full backup of this disk. */
  readonly incremental?: { readonly checkpoint: string; readonly exportBitmap: string };
}

export interface BackupSpec {
  /** Path of the unix socket of the job's NBD server, on the hypervisor. */
  readonly socket: string;
  readonly disks: readonly BackupDiskSpec[];
}

/** A `<domainbackup mode='pull'>` that names each disk, its mode, its export and its scratch file. */
export function buildDomainBackup({ socket, disks }: BackupSpec): string {
  const disk = disks.map(({ name, scratch, exportName, incremental }) => ({
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

/** What a running job's `<domainbackup>` says. */
export interface RunningBackup {
  /** Path of its server's unix socket, if it has one. */
  readonly socket: string | undefined;
  readonly disks: readonly string[];
}

/** @throws Error if the XML is not what libvirt writes */
export function parseDomainBackup(xml: string): RunningBackup {
  const backup = parseXml(xml, 'domainbackup');
  const disks = child(backup, 'disks');
  const names = disks === undefined ? [] : children(disks, 'disk');
  return {
    socket: attribute(child(backup, 'server'), 'socket'),
    disks: names
      .filter((disk) => attribute(disk, 'backup') !== 'no')
      .map((disk) => attribute(disk, 'name') ?? ''),
  };
}
