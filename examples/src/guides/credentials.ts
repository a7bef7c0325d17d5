import { createInterface } from 'node:readline/promises';
import { connect } from 'libvirt-ts-rpc';

const terminal = createInterface({ input: process.stdin, output: process.stderr });
await using libvirt = await connect('qemu+unix:///system?auth=sasl.scram-sha-256', {
  connectTimeoutMs: 120_000, // the user's time included
  credentials: async ({ host }) => {
    const username = await terminal.question(`User name for ${host}: `);
    const password = await terminal.question(`Password for ${host}: `);
    return username === '' ? undefined : { username, password }; // undefined: cancelled
  },
});
terminal.close();
console.log(libvirt.uri);
