// Downloads the volume "large" to a file; prints how long it took, what CPU and what memory this process needed.
import { closeSync, openSync, writeSync } from 'node:fs';
import { connect } from 'libvirt-ts-rpc';

const [uri, target = ''] = process.argv.slice(2);
const start = process.hrtime.bigint();
const libvirt = await connect(uri);
const pool = await libvirt.lookupStoragePoolByName('bench');
// Written as virsh writes: by the thread that reads.
const file = openSync(target, 'w');
for await (const chunk of await (await pool.storageVolLookupByName('large')).download())
  writeSync(file, chunk);
closeSync(file);
await libvirt.close();
const wallSeconds = Number(process.hrtime.bigint() - start) / 1e9;
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
const cpuSeconds = (userCPUTime + systemCPUTime) / 1e6;
process.stdout.write(JSON.stringify({ wallSeconds, cpuSeconds, peakMiB: maxRSS / 1024 }));
