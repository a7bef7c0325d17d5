// Prints how long the package takes to load.
const start = process.hrtime.bigint();
await import('libvirt-ts-rpc');
process.stdout.write(JSON.stringify({ ms: Number(process.hrtime.bigint() - start) / 1e6 }));
