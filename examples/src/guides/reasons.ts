import { BackupError, BackupRepository } from 'libvirt-ts-backup';
import { connect } from 'libvirt-ts-rpc';

await using libvirt = await connect('qemu:///system');
const domain = await libvirt.lookupDomainByName('web1');
const repository = await BackupRepository.open('/srv/backups');
try {
  await repository.backup(domain);
} catch (error) {
  if (!(error instanceof BackupError)) throw error;
  if (error.code === 'ERR_BACKUP_REPOSITORY' && error.reason === 'busy') console.log('later again');
  else console.error(error.code, error.reason, error.message);
}
