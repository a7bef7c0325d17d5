import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import {
  type ActiveImage,
  commandPath,
  createImage,
  defineDomain,
  giveTo,
  type PrivateLibvirtd,
  run,
  startLibvirtd,
  type TestDomain,
} from '../../harness/index.ts';
import type { DiskPlan, Write } from './steps.ts';

const SECTOR = 512;
const VIR_DOMAIN_START_PAUSED = 1;

/** A private libvirtd with one domain, and what has been put aside for later. */
export interface Bench extends AsyncDisposable {
  readonly libvirtd: PrivateLibvirtd;
  readonly domain: TestDomain<Domain>;
  /** The images in use, as of the last time the domain was seen running. */
  readonly images: readonly ActiveImage[];
  /** Copies of images, by the path of the original. Good as long as nothing was committed into a layer. */
  readonly copies: Map<string, string>;
  /** Starts the domain unless it runs; says what it has open. */
  on(): Promise<readonly ActiveImage[]>;
  /** Ends the domain in an orderly way. */
  off(): Promise<readonly ActiveImage[]>;
  restartLibvirtd(): Promise<void>;
  /** Path for one more image. */
  newImage(): string;
  /** Removes images that no disk lies on any more. */
  sweep(): Promise<void>;
  /** Carries writes out as the guest would. */
  write(writes: readonly Write[]): Promise<void>;
  /** The content of every disk at this moment, as raw files. */
  truths(): Promise<ReadonlyMap<string, string>>;
}

const KINDS = {
  write: 'write -P',
  zero: 'write -z',
  'zero-unmap': 'write -z -u',
  discard: 'discard',
} as const;

/** As qemu-io wants it: within the disk, as its size is now. */
function ioCommand({ kind, at, length, pattern }: Write, size: number): string {
  const sectors = size / SECTOR;
  const start = Math.floor(at * sectors);
  const count = Math.min(length / SECTOR, sectors - start);
  const what = kind === 'write' ? `${KINDS.write} ${pattern}` : KINDS[kind];
  return `${what} ${start * SECTOR} ${count * SECTOR}`;
}

async function makeBacking(libvirtd: PrivateLibvirtd, size: number, index: number): Promise<string> {
  return createImage({
    path: join(libvirtd.imagesDir, `base-${index}.qcow2`),
    size,
    fill: [{ pattern: 0xb0 + index, offset: 0, length: size }],
    owner: libvirtd.user,
  });
}

/** An image and those below it, from the top. */
export async function chainOf(path: string): Promise<readonly string[]> {
  const info = await run(commandPath('qemu-img'), ['info', '-U', '--backing-chain', '--output=json', path]);
  return (JSON.parse(info) as { filename: string }[]).map(({ filename }) => filename);
}

/** Starts everything; the disks are as planned. */
export async function openBench(plans: readonly DiskPlan[]): Promise<Bench> {
  const libvirtd = await startLibvirtd();
  let libvirt: Connection = await connect(libvirtd.uri);
  const disks = await Promise.all(
    plans.map(async ({ size, clusterSize, backing }, index) => ({
      size,
      createOptions: `cluster_size=${clusterSize}`,
      ...(backing !== undefined && {
        backing: { path: await makeBacking(libvirtd, backing, index), format: 'qcow2' as const },
      }),
    })),
  );
  const domain = await defineDomain(libvirt, libvirtd, { name: 'chain', disks });
  let images = await domain.activeImages();
  let made = 0;
  const copies = new Map<string, string>();
  const on = async (): Promise<readonly ActiveImage[]> => {
    if (!(await domain.handle.isActive())) await domain.handle.create({ flags: VIR_DOMAIN_START_PAUSED });
    return (images = await domain.activeImages());
  };
  return {
    libvirtd,
    domain,
    copies,
    get images() {
      return images;
    },
    on,
    async off() {
      if (await domain.handle.isActive()) {
        images = await domain.activeImages();
        await domain.handle.destroy();
      }
      return images;
    },
    async restartLibvirtd() {
      await libvirtd.restart();
      await libvirt.close().catch(() => undefined); // it ended with the daemon
      libvirt = await connect(libvirtd.uri);
      await domain.reconnect(libvirt);
    },
    newImage: () => join(libvirtd.imagesDir, `image-${++made}.qcow2`),
    async sweep() {
      const used = new Set((await Promise.all((await on()).map(({ path }) => chainOf(path)))).flat());
      for (const name of readdirSync(libvirtd.imagesDir)) {
        const path = join(libvirtd.imagesDir, name);
        if (name.endsWith('.qcow2') && !used.has(path) && !copies.has(path)) rmSync(path);
      }
    },
    async write(writes) {
      const sizes = (await on()).map(({ size }) => size);
      for (const each of writes) await domain.write(each.disk, ioCommand(each, sizes[each.disk] ?? 0));
    },
    async truths() {
      const files = await Promise.all(domain.disks.map((_, index) => domain.truth(index)));
      return new Map(domain.disks.map(({ target }, index) => [target, files[index] ?? '']));
    },
    async [Symbol.asyncDispose]() {
      await domain.remove();
      await libvirt.close();
      await libvirtd.stop();
    },
  };
}

/** Copies an image file, for the daemon's user. */
export function copyImage(bench: Bench, from: string, to: string): void {
  copyFileSync(from, to);
  giveTo(bench.libvirtd.user, to);
}
