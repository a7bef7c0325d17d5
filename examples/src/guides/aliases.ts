import { connect as connectLibvirt } from 'libvirt-ts-rpc';
import { connect as connectNbd } from 'nbd-ts-client';

await using libvirt = await connectLibvirt('qemu:///system');
await using disk = await connectNbd('nbd+unix:///vda?socket=/run/backup.sock');
console.log(libvirt.uri, disk.exportSize);
