import { setTimeout as delay } from 'node:timers/promises';
import type { Checkpoint } from 'libvirt-ts-rpc';
import { type ActiveImage, commandLine, commandPath, createImage, run, virsh } from '../../harness/index.ts';
import { type Bench, chainOf, copyImage } from './bench.ts';
import type { Step } from './steps.ts';

/** What became of a step: carried out, refused by libvirt or QEMU, or there was nothing to do it to. */
export type Outcome =
  { readonly result: 'done' } | { readonly result: 'refused' | 'idle'; readonly message: string };

/** A step that happens to the domain. */
export type DomainStep = Exclude<Step, { readonly op: 'backup' | 'prune' | 'verify' | 'copy' }>;
type StepOf<Op extends Step['op']> = Extract<Step, { readonly op: Op }>;

const DONE: Outcome = { result: 'done' };
const VIR_DOMAIN_BLOCK_RESIZE_BYTES = 1;
const VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY = 2;
const OURS = /^tsbackup-/;

const idle = (message: string): Outcome => ({ result: 'idle', message });

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new Error(`there is no item ${index}`);
  return item;
}

/** Has libvirt or QEMU do something that they may refuse. */
async function asked(action: () => Promise<unknown>): Promise<Outcome> {
  try {
    await action();
    return DONE;
  } catch (error) {
    return { result: 'refused', message: error instanceof Error ? error.message : String(error) };
  }
}

async function resize(bench: Bench, step: StepOf<'resize'>): Promise<Outcome> {
  await bench.on();
  const { target } = at(bench.domain.disks, step.disk);
  return asked(async () => {
    for (const size of [step.via, step.to])
      if (size !== undefined)
        await bench.domain.handle.blockResize(target, size, { flags: VIR_DOMAIN_BLOCK_RESIZE_BYTES });
  });
}

async function snapshot(bench: Bench, step: StepOf<'snapshot'>): Promise<Outcome> {
  const images = await bench.on();
  const specs: string[] = [];
  for (const [index, { target }] of bench.domain.disks.entries()) {
    const path = bench.newImage();
    const taken = step.disks.includes(index);
    specs.push('--diskspec', taken ? `${target},snapshot=external,file=${path}` : `${target},snapshot=no`);
    if (taken && step.clusterSize !== undefined)
      await makeOverlay(bench, path, images[index], step.clusterSize);
  }
  const reuse = step.clusterSize === undefined ? [] : ['--reuse-external'];
  const args = ['snapshot-create-as', bench.domain.name, '--disk-only', '--no-metadata', ...reuse, ...specs];
  return asked(() => virsh(bench.libvirtd.uri, ...args));
}

async function makeOverlay(
  { libvirtd }: Bench,
  path: string,
  below: ActiveImage | undefined,
  clusterSize: number,
): Promise<void> {
  if (below === undefined) throw new Error('there is no image to lie over');
  const options = ['-o', `cluster_size=${clusterSize}`, '-b', below.path, '-F', below.format];
  const args = ['create', '-q', '-u', '-f', 'qcow2', ...options, path, String(below.size)];
  await run(commandPath('qemu-img'), args, { user: libvirtd.user });
}

async function blockJob(bench: Bench, { op, disk }: StepOf<'commit' | 'pull'>): Promise<Outcome> {
  await bench.on();
  const { target } = at(bench.domain.disks, disk);
  const command = op === 'pull' ? ['blockpull'] : ['blockcommit', '--active', '--pivot'];
  const outcome = await asked(() =>
    virsh(bench.libvirtd.uri, ...command, '--wait', bench.domain.name, target),
  );
  // A copy of an upper layer says nothing about a lower one that was written to.
  if (op === 'commit') bench.copies.clear();
  return outcome;
}

async function killQemu({ domain, libvirtd }: Bench): Promise<Outcome> {
  const pid = libvirtd.offspring().find((each) => commandLine(each).includes(`guest=${domain.name}`));
  if (pid === undefined) throw new Error(`no QEMU of domain ${domain.name} runs`);
  process.kill(pid, 'SIGKILL');
  while (await domain.handle.isActive()) await delay(10);
  return DONE;
}

async function replace(bench: Bench, step: StepOf<'replace'>): Promise<Outcome> {
  const images: { path: string; format: 'qcow2' | 'raw' }[] = [...(await bench.off())];
  const path = await createImage({
    path: bench.newImage(),
    size: step.size,
    fill: [{ pattern: step.pattern, offset: 0, length: step.size - 512 }],
    owner: bench.libvirtd.user,
  });
  images[step.disk] = { path, format: 'qcow2' };
  await bench.domain.redefine(images);
  return DONE;
}

/** One of our checkpoints, and when it was made. */
async function someCheckpoint(bench: Bench, which: number): Promise<Checkpoint | undefined> {
  await bench.on();
  const ours = (await bench.domain.handle.listAllCheckpoints()).filter(({ name }) => OURS.test(name));
  ours.sort((a, b) => (a.name < b.name ? -1 : 1));
  return ours[Math.floor(which * ours.length)];
}

async function recreateCheckpoint(bench: Bench, which: number): Promise<Outcome> {
  const checkpoint = await someCheckpoint(bench, which);
  if (checkpoint === undefined) return idle('no checkpoint');
  const made = Number(/<creationTime>(\d+)</.exec(await checkpoint.getXmlDesc())?.[1]);
  // Its time of creation is all that tells them apart, and that is counted in seconds.
  await delay(Math.max(0, (made + 1) * 1000 - Date.now()));
  return asked(async () => {
    await checkpoint.delete();
    const xml = `<domaincheckpoint><name>${checkpoint.name}</name></domaincheckpoint>`;
    await bench.domain.handle.checkpointCreateXml(xml);
  });
}

async function bitmapsOfFile(path: string): Promise<string[]> {
  const info = JSON.parse(await run(commandPath('qemu-img'), ['info', '--output=json', path])) as {
    'format-specific'?: { data?: { bitmaps?: { name: string }[] } };
  };
  return (info['format-specific']?.data?.bitmaps ?? []).map(({ name }) => name);
}

async function changeBitmap(
  bench: Bench,
  step: StepOf<'lose-bitmap' | 'clear-bitmap'>,
  change: 'remove' | 'clear',
): Promise<Outcome> {
  const { path: top, node, bitmaps } = at(await bench.on(), step.disk);
  if (step.live) {
    const name = bitmaps[Math.floor(step.which * bitmaps.length)];
    if (name === undefined) return idle('no bitmap');
    return asked(() => bench.domain.qmp(`block-dirty-bitmap-${change}`, { node, name }));
  }
  await bench.off();
  const layers = await chainOf(top);
  const path = at(layers, Math.floor(step.layer * layers.length));
  const names = await bitmapsOfFile(path);
  const name = names[Math.floor(step.which * names.length)];
  if (name === undefined) return idle('no bitmap');
  return asked(() => run(commandPath('qemu-img'), ['bitmap', `--${change}`, path, name]));
}

async function saveCopy(bench: Bench, disk: number): Promise<Outcome> {
  const { path } = at(await bench.off(), disk);
  const copy = `${path}.copy`;
  copyImage(bench, path, copy);
  bench.copies.set(path, copy);
  return DONE;
}

async function putBack(bench: Bench, disk: number): Promise<Outcome> {
  const { path } = at(await bench.off(), disk);
  const copy = bench.copies.get(path);
  if (copy === undefined) return idle('no copy');
  copyImage(bench, copy, path);
  return DONE;
}

/** Does to the domain what a step says. */
export async function carryOut(bench: Bench, step: DomainStep): Promise<Outcome> {
  switch (step.op) {
    case 'write':
      await bench.write(step.writes);
      return DONE;
    case 'resize':
      return resize(bench, step);
    case 'snapshot':
      return snapshot(bench, step);
    case 'commit':
    case 'pull':
      return blockJob(bench, step);
    case 'power-cycle':
      await bench.off();
      await bench.on();
      return DONE;
    case 'restart-libvirtd':
      await bench.restartLibvirtd();
      return DONE;
    case 'kill-qemu':
      await bench.on();
      return killQemu(bench);
    case 'exchange':
      await bench.domain.redefine([...(await bench.off())].reverse());
      return DONE;
    case 'replace':
      return replace(bench, step);
    case 'save-copy':
      return saveCopy(bench, step.disk);
    case 'put-back':
      return putBack(bench, step.disk);
    case 'lose-checkpoint': {
      const checkpoint = await someCheckpoint(bench, step.which);
      if (checkpoint === undefined) return idle('no checkpoint');
      return asked(() =>
        checkpoint.delete({ flags: step.metadataOnly ? VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY : 0 }),
      );
    }
    case 'recreate-checkpoint':
      return recreateCheckpoint(bench, step.which);
    case 'lose-bitmap':
      return changeBitmap(bench, step, 'remove');
    case 'clear-bitmap':
      return changeBitmap(bench, step, 'clear');
  }
}
