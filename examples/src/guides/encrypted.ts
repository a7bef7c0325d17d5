import { readFile } from 'node:fs/promises';
import { BackupRepository } from 'libvirt-ts-backup';

const key = await readFile('/root/backups.key'); // 32 bytes
await using repository = await BackupRepository.open('/srv/backups', { encryption: { key } });
for (const { id, createdAt } of await repository.points()) console.log(id, createdAt);
