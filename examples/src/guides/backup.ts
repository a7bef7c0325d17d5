// What README and guides show, compiled: a test compares the two.
import { BackupRepository, startPullBackup } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';

export async function protect(): Promise<void> {
  // #region protect
  await using libvirt = await connect('qemu:///system');
  const domain = await libvirt.lookupDomainByName('web1');

  const repository = await BackupRepository.open('/srv/backups');
  const { point, readBytes } = await repository.backup(domain, { mode: 'auto' });
  console.log(`${point.mode} backup ${point.id}: ${readBytes} bytes read`);

  const points = await repository.points(domain); // oldest first
  await repository.restore(points[0] ?? point, 'vda', '/srv/restore/vda.raw');
  // #endregion
}

export async function stream(store: (offset: number, bytes: Uint8Array) => Promise<void>): Promise<void> {
  // #region stream
  await using libvirt = await connect('qemu:///system');
  const domain = await libvirt.lookupDomainByName('web1');

  await using backup = await startPullBackup(domain, { incremental: 'c1', checkpoint: 'c2' });
  for (const disk of backup.disks)
    for await (const chunk of disk.chunks())
      if (chunk.type === 'data') await store(chunk.offset, chunk.bytes);
      else await store(chunk.offset, Buffer.alloc(chunk.length)); // dirty, and reads as zeroes: never skip it
  await backup.complete(); // without this, leaving the block aborts the job and drops c2: c1 serves again
  // #endregion
}
