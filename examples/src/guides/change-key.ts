import { readFile } from 'node:fs/promises';
import { changeKey, repositoryInfo } from 'libvirt-ts-backup';

const [key, newKey] = await Promise.all(
  ['/root/backups.key', '/root/next.key'].map((path) => readFile(path)),
);
if (key === undefined || newKey === undefined) throw new Error('no key');
const { added, removed } = await changeKey('/srv/backups', { key, newKey: { key: newKey } });
console.log('opens it:', added, 'opens it no more:', removed);

const { encryption, points } = await repositoryInfo('/srv/backups'); // without any key
console.log(points, 'points', encryption?.keys);
