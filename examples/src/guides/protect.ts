import { BackupRepository } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';

await using libvirt = await connect('qemu:///system');
const domain = await libvirt.lookupDomainByName('web1');

const repository = await BackupRepository.open('/srv/backups');
const { point, readBytes } = await repository.backup(domain, { mode: 'auto' });
console.log(`backup ${point.id}: ${readBytes} bytes read`);

const points = await repository.points(domain); // oldest first
await repository.restore(points[0] ?? point, 'vda', '/srv/restore/vda.raw');
