// The domains that the repository benchmarks back up: images, daemon and results all in tmpfs.
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'libvirt-ts-rpc';
import { convertToRaw, defineDomain, giveTo, run, startLibvirtd, virsh } from '../dist/harness/index.js';

const MIB = 2 ** 20;

/** A private daemon with one domain for each tool: tools do not like each other's checkpoints. */
export async function startDomains(folder, { gibibytes, tools }) {
  const libvirtd = await startLibvirtd();
  const libvirt = await connect(libvirtd.uri);
  const domains = {};
  for (const tool of tools) {
    const disks = [{ size: gibibytes * 2 ** 30, folder: join(folder, 'images') }];
    domains[tool] = await defineDomain(libvirt, libvirtd, { name: tool, disks });
  }
  return {
    libvirtd,
    libvirt,
    domains,
    /** Overwrites pieces of a domain's disk with random bytes, through QEMU. */
    async scribble(tool, pieces) {
      for (const [index, { offset, length }] of pieces.entries()) {
        const file = join(libvirtd.workDir, `scribble-${tool}-${index}`);
        writeRandom(file, length);
        giveTo(libvirtd.user, file);
        await domains[tool].write(0, `write -s ${file} ${offset} ${length}`);
        await rm(file);
      }
    },
    /** Takes all checkpoints off a domain. */
    async forget(tool) {
      const names = (await virsh(libvirtd.uri, 'checkpoint-list', tool, '--name'))
        .split('\n')
        .filter(Boolean);
      for (const name of names) await virsh(libvirtd.uri, 'checkpoint-delete', tool, name);
    },
    async stop() {
      for (const domain of Object.values(domains)) await domain.remove();
      await libvirt.close();
      await libvirtd.stop();
    },
  };
}

/** A file of random bytes. */
export function writeRandom(path, bytes) {
  const file = openSync(path, 'w');
  const block = Buffer.allocUnsafe(Math.min(bytes, MIB));
  for (let left = bytes; left > 0; left -= block.length)
    writeSync(file, randomFillSync(block), 0, Math.min(left, block.length));
  closeSync(file);
}

/** A qcow2 image with the content of a domain's disk, without its bitmaps. */
export async function exportQcow2(domain, target) {
  const raw = await convertToRaw(domain.disks[0].path, `${target}.raw`, { forceShare: true });
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, target]);
  await rm(raw);
}
