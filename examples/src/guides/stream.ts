import { open } from 'node:fs/promises';
import { startPullBackup } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';

await using libvirt = await connect('qemu:///system');
const domain = await libvirt.lookupDomainByName('web1');

await using backup = await startPullBackup(domain, { incremental: 'c1', checkpoint: 'c2' });
for (const disk of backup.disks) {
  const copy = await open(`/srv/copies/${disk.name}.raw`, 'r+');
  for await (const chunk of disk.chunks()) {
    // Dirty, and reads as zeroes: never skip it.
    const bytes = chunk.type === 'data' ? chunk.bytes : Buffer.alloc(chunk.length);
    const { bytesWritten } = await copy.write(bytes, 0, bytes.length, chunk.offset);
    if (bytesWritten < bytes.length) throw new Error(`${disk.name}: no space left`);
  }
  await copy.sync();
  await copy.close();
}
await backup.complete(); // without this, leaving the block aborts the job and drops c2: c1 serves again
