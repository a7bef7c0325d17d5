// Downloads the volume "large" slower than the daemon could send it; prints the peak memory of this process.
import { connect } from 'libvirt-ts-rpc';

const libvirt = await connect(process.argv[2]);
const pool = await libvirt.lookupStoragePoolByName('bench');
let bytes = 0;
for await (const chunk of await (await pool.storageVolLookupByName('large')).download()) {
  const before = bytes >> 24;
  bytes += chunk.length;
  if (bytes >> 24 !== before) await new Promise((resolve) => setTimeout(resolve, 20));
}
await libvirt.close();
const peakMiB = process.resourceUsage().maxRSS / 1024;
process.stdout.write(JSON.stringify({ peakMiB, bytes }));
