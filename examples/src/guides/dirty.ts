import { connect } from 'nbd-ts-client';

const bitmap = 'qemu:dirty-bitmap:backup-vda';
await using nbd = await connect('nbd+unix:///vda?socket=/run/backup.sock', {
  metaContexts: ['base:allocation', bitmap],
});
for await (const { offset, length, flags } of nbd.extents(bitmap)) {
  if (flags === 0) continue; // clean
  for (let at = offset; at < offset + length; at += 2 ** 20) {
    const bytes = await nbd.read(at, Math.min(2 ** 20, offset + length - at), { df: true });
    console.log(at, bytes.length);
  }
}
