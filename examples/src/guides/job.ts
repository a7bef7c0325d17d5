import { readFile } from 'node:fs/promises';
import { connect, procedures } from 'libvirt-ts-rpc';

await using libvirt = await connect('qemu:///system');
const domain = await libvirt.lookupDomainByName('web1');

await using jobs = libvirt.domainEvents('jobCompleted', { domain });
await jobs.ready;
await domain.backupBegin(await readFile('backup.xml', 'utf8'), await readFile('checkpoint.xml', 'utf8'));
// … read the disks over NBD …
await domain.abortJob(); // the normal end of a pull-mode backup
const { value: job } = await jobs.next();
console.log(job?.params.get('success')?.value);

// Any procedure, typed by its row of the schema table:
const info = await libvirt.call(procedures.domainGetBlockInfo, { dom: domain.ref, path: 'vda', flags: 0 });
console.log(info.allocation);
