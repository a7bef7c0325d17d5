import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type EarlierDisk, type PullBackup, startPullBackup } from 'libvirt-ts-backup';
import { connect, type Connection, type Domain } from 'libvirt-ts-rpc';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  convertToRaw,
  createImage,
  defineDomain,
  type DomainSpec,
  giveTo,
  type NbdServer,
  type PrivateLibvirtd,
  requireServers,
  run,
  runAny,
  startLibvirtd,
  startQemuNbd,
  type TestDomain,
  virsh,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img');
const KIB = 1024;
const MIB = 1024 * KIB;

/** What was read of each disk, and why: `vda since c1`, `vdb full: first`. */
type Answers = Record<string, string>;

describe.skipIf(servers.skip)(servers.title('what a dirty bitmap is believed for'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  let domain: TestDomain<Domain>;
  let count = 0;
  let points = 0;
  /** What a repository would hold: the content of each disk as restored, and what is known of its point. */
  /** Where the content of a disk can be read whose image is no path. */
  const elsewhere = new Map<string, string>();
  const kept = new Map<string, { content: Buffer; earlier: EarlierDisk }>();

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    libvirt = await connect(libvirtd.uri);
  });

  afterAll(async () => {
    await libvirt.close();
    await libvirtd.stop();
  });

  afterEach(async () => {
    kept.clear();
    elsewhere.clear();
    await domain.remove();
  });

  const V = (...args: readonly string[]): Promise<string> => virsh(libvirtd.uri, ...args);
  const resize = (disk: string, bytes: number): Promise<string> =>
    V('blockresize', domain.name, disk, `${bytes}B`);
  const image = (name: string): string => join(libvirtd.imagesDir, name);

  async function start(disks: DomainSpec['disks'], devicesXml = ''): Promise<void> {
    domain = await defineDomain(libvirt, libvirtd, { name: `t${++count}`, disks, devicesXml });
    await takeNoteOfMonitor();
  }

  /** Stops the domain and starts it with another definition, as an administrator would. */
  async function redefine(change: (xml: string) => string): Promise<void> {
    const xml = await V('dumpxml', '--inactive', domain.name);
    await domain.handle.destroy();
    await libvirt.domainDefineXml(change(xml));
    await boot();
  }

  async function boot(): Promise<void> {
    await V('start', '--paused', domain.name);
    await takeNoteOfMonitor();
  }

  /** libvirt says once in each run of a domain that its monitor is used, where `flush` looks for what QEMU says. */
  async function takeNoteOfMonitor(): Promise<void> {
    await domain.monitor('info version');
  }

  /** A write to a disk that is not one of `start`. What became of it is seen in the backup. */
  async function io(index: number, command: string): Promise<void> {
    await domain.monitor(`qemu-io -d /machine/peripheral/virtio-disk${index}/virtio-backend "${command}"`);
    await domain.monitor(`qemu-io -d /machine/peripheral/virtio-disk${index}/virtio-backend "flush"`);
  }

  /** A storage pool with two volumes, one of each format. */
  async function definePool(): Promise<void> {
    const folder = image('pool');
    await mkdir(folder);
    giveTo(libvirtd.user, folder);
    for (const format of ['qcow2', 'raw'] as const)
      await createImage({
        path: join(folder, `volume.${format}`),
        size: 2 * MIB,
        format,
        owner: libvirtd.user,
        fill: [{ pattern: 0x61, offset: MIB, length: 512 * KIB }],
      });
    const xml = join(libvirtd.workDir, 'pool.xml');
    await writeFile(
      xml,
      `<pool type='dir'><name>answers</name><target><path>${folder}</path></target></pool>`,
    );
    await V('pool-create', xml);
  }

  async function creationTime(checkpoint: string): Promise<number> {
    const xml = await V('checkpoint-dumpxml', domain.name, checkpoint);
    return Number(/<creationTime>(\d+)</.exec(xml)?.[1]);
  }

  /** What the disk holds, by an NBD client of QEMU's own for what is no file of ours. */
  async function truthOf(name: string, path: string, format: string): Promise<Buffer> {
    const file = join(libvirtd.workDir, `truth-${++points}.raw`);
    for (const index of domain.disks.keys()) await domain.flush(index);
    const where = elsewhere.get(name) ?? path;
    return readFile(await convertToRaw(where, file, { format: format as 'qcow2' | 'raw', forceShare: true }));
  }

  /** The point before, changed by what was read. */
  async function restore(disk: PullBackup['disks'][number]): Promise<Buffer> {
    const content = Buffer.alloc(disk.size);
    if (disk.mode === 'incremental') kept.get(disk.name)?.content.copy(content);
    for await (const chunk of disk.chunks())
      if (chunk.type === 'zero') content.fill(0, chunk.offset, chunk.offset + chunk.length);
      else content.set(chunk.bytes, chunk.offset);
    return content;
  }

  /**
   * Takes a backup with what is kept of the earlier ones, and compares each disk with its image, over its whole
   * length.
   */
  async function backup(
    options: {
      readonly disks?: readonly string[];
      readonly whileItRuns?: () => Promise<unknown>;
      readonly scratchDir?: string | undefined;
    } = {},
  ): Promise<Answers> {
    const { disks, scratchDir = libvirtd.scratchDir } = options;
    const earlier = new Map([...kept].map(([name, disk]) => [name, disk.earlier]));
    await using running = await startPullBackup(domain.handle, {
      checkpoint: `c${++points}`,
      demote: true,
      earlier,
      scratchDir,
      ...(disks && { disks }),
    });
    const truths = new Map<string, Buffer>();
    for (const { name, image } of running.disks)
      truths.set(name, await truthOf(name, image.path, image.format));
    await options.whileItRuns?.();
    const answers: Answers = {};
    const contents = new Map<string, Buffer>();
    for (const disk of running.disks) {
      const content = await restore(disk);
      expect(content.length, `size of ${disk.name}`).toBe(truths.get(disk.name)?.length);
      expect(firstDifference(content, truths.get(disk.name)), `content of ${disk.name}`).toBe('none');
      contents.set(disk.name, content);
      answers[disk.name] = disk.mode === 'full' ? `full: ${disk.reason ?? '?'}` : 'incremental';
    }
    for (const { name, reason } of running.excluded) answers[name] = `excluded: ${reason}`;
    await running.complete();
    const { checkpoint } = running;
    if (checkpoint === null) return answers;
    const time = await creationTime(checkpoint);
    for (const { name, size, image } of running.disks)
      kept.set(name, {
        content: contents.get(name) ?? Buffer.alloc(0),
        earlier: {
          checkpoint,
          creationTime: time,
          image: image.path,
          smallestSize: size,
          chain: image.chain,
        },
      });
    return answers;
  }

  /** Forgets what backed the disk, and knows a smaller size of it. */
  function keptSize(disk: string, smallestSize: number): void {
    const point = kept.get(disk);
    if (point === undefined) return;
    kept.set(disk, { ...point, earlier: { ...point.earlier, smallestSize, chain: undefined } });
  }

  describe('an image that was shrunk and grown again', () => {
    const SMALL = 24 * MIB + 300 * KIB + 512;

    async function backed(clusterSize: string): Promise<void> {
      const base = await createImage({
        path: image(`base${count}.qcow2`),
        size: 48 * MIB,
        fill: [{ pattern: 0x22, offset: 0, length: 48 * MIB }],
        owner: libvirtd.user,
      });
      const createOptions = `cluster_size=${clusterSize},backing_file=${base},backing_fmt=qcow2`;
      await start([{ size: 48 * MIB, createOptions }]);
    }

    it('is zero where it was cut off', async () => {
      await start([{ size: 48 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 48M');
      expect(await backup()).toEqual({ vda: 'full: first' });
      await resize('vda', 24 * MIB);
      await resize('vda', 48 * MIB);
      expect(await backup()).toEqual({ vda: 'incremental' });
    });

    it('is zero there although the guest writes to it while the job runs', async () => {
      await start([{ size: 48 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 48M');
      await backup();
      await resize('vda', 24 * MIB);
      await resize('vda', 48 * MIB);
      const whileItRuns = (): Promise<void> =>
        domain.write(0, 'write -P 0x33 30M 10M', 'write -P 0x44 26M 4k');
      expect(await backup({ whileItRuns })).toEqual({ vda: 'incremental' });
      expect(await backup(), 'the writes are the next point').toEqual({ vda: 'incremental' });
    });

    it.each(['64k', '2M'])(
      'is what it is over a backing image, to the rest of the last cluster of %s',
      async (size) => {
        await backed(size);
        await domain.write(0, 'write -P 0x11 20M 8M');
        await backup();
        await resize('vda', SMALL);
        await resize('vda', 48 * MIB);
        expect(await backup()).toEqual({ vda: 'incremental' });
        await resize('vda', 21 * MIB + 512);
        await resize('vda', 30 * MIB);
        await domain.write(0, 'write -P 0x55 29M 1M');
        expect(await backup()).toEqual({ vda: 'incremental' });
      },
    );

    it('is read beyond the smallest size that is known, even if it is backed by nothing any more', async () => {
      await backed('2M');
      await domain.write(0, 'write -P 0x11 20M 8M');
      await backup();
      await resize('vda', SMALL);
      await resize('vda', 48 * MIB);
      await V('blockpull', '--wait', domain.name, 'vda');
      keptSize('vda', SMALL);
      expect(await backup()).toEqual({ vda: 'incremental' });
    });

    it.each(['64k', '2M'])('is what it is without backing image, with clusters of %s', async (size) => {
      await start([{ size: 48 * MIB, createOptions: `cluster_size=${size}` }]);
      await domain.write(0, 'write -P 0x11 0 48M');
      await backup();
      await resize('vda', SMALL);
      await resize('vda', 40 * MIB + 512);
      // Makes data of the whole cluster, zeroes and all.
      await domain.write(0, `write -P 0x33 ${30 * MIB + 100 * KIB} 4k`);
      expect(await backup()).toEqual({ vda: 'incremental' });
      await resize('vda', 64 * MIB);
      expect(await backup()).toEqual({ vda: 'incremental' });
    });
  });

  describe('a disk is its image', () => {
    it('whose target was given to another one', async () => {
      await start([{ size: 8 * MIB }, { size: 8 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 8M');
      await domain.write(1, 'write -P 0x22 0 8M');
      await backup();
      const [vda = '', vdb = ''] = domain.disks.map(({ path }) => path);
      await redefine((xml) => xml.replace(vda, '@').replace(vdb, vda).replace('@', vdb));
      expect(await backup()).toEqual({ vda: 'full: image-changed', vdb: 'full: image-changed' });
      expect(await backup()).toEqual({ vda: 'incremental', vdb: 'incremental' });
    });

    it('and not its copy elsewhere, bitmap and all', async () => {
      await start([{ size: 8 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 8M');
      await backup();
      await domain.write(0, 'write -P 0x22 1M 1M');
      const { path = '' } = domain.disks[0] ?? {};
      await redefine((xml) => xml);
      await domain.handle.destroy();
      await copyFile(path, image('copy.qcow2'));
      giveTo(libvirtd.user, image('copy.qcow2'));
      await boot();
      await redefine((xml) => xml.replace(path, image('copy.qcow2')));
      expect(await backup()).toEqual({ vda: 'full: image-changed' });
    });

    it('together with what backs it', async () => {
      const [one = '', other = ''] = await Promise.all(
        [0x22, 0x23].map((pattern) =>
          createImage({
            path: image(`back-${pattern}.qcow2`),
            size: 8 * MIB,
            fill: [{ pattern, offset: 0, length: 8 * MIB }],
            owner: libvirtd.user,
          }),
        ),
      );
      await start([{ size: 8 * MIB, createOptions: `backing_file=${one},backing_fmt=qcow2` }]);
      await domain.write(0, 'write -P 0x11 0 1M');
      await backup();
      await domain.handle.destroy();
      const { path = '' } = domain.disks[0] ?? {};
      await run('qemu-img', ['rebase', '-u', '-b', other, '-F', 'qcow2', path]);
      await boot();
      expect(await backup()).toEqual({ vda: 'full: image-changed' });
      await domain.write(0, 'write -P 0x12 2M 1M');
      await V('blockpull', '--wait', domain.name, 'vda');
      expect(await backup()).toEqual({ vda: 'incremental' });
    });

    it('which is gone when it was pulled into a snapshot, grown or not', async () => {
      for (const size of [9 * MIB, 8 * MIB]) {
        await start([{ size: 8 * MIB }]);
        await domain.write(0, 'write -P 0x11 0 8M');
        await backup();
        await domain.write(0, 'write -P 0x22 2M 1M');
        await V('snapshot-create-as', domain.name, '--disk-only', '--no-metadata', 's1');
        if (size > 8 * MIB) await resize('vda', size);
        await V('blockpull', '--wait', domain.name, 'vda');
        expect(await backup()).toEqual({ vda: 'full: image-changed' });
        kept.clear();
        await domain.remove();
      }
      await start([{ size: MIB }]);
    });

    it('and goes on being it under a snapshot, and after that was committed', async () => {
      await start([{ size: 8 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 8M');
      await backup();
      await domain.write(0, 'write -P 0x22 2M 1M');
      await V('snapshot-create-as', domain.name, '--disk-only', '--no-metadata', 's1');
      await domain.write(0, 'write -P 0x33 4M 1M');
      expect(await backup()).toEqual({ vda: 'incremental' });
      await domain.write(0, 'write -z 5M 1M');
      await V('blockcommit', domain.name, 'vda', '--active', '--pivot', '--wait');
      // The image of that point, the snapshot, is gone.
      expect(await backup()).toEqual({ vda: 'full: image-changed' });
      await domain.write(0, 'write -P 0x44 6M 1M');
      await V('snapshot-create-as', domain.name, '--disk-only', '--no-metadata', 's2');
      await domain.write(0, 'write -P 0x55 7M 64k');
      await V('blockcommit', domain.name, 'vda', '--active', '--pivot', '--wait');
      expect(await backup()).toEqual({ vda: 'incremental' });
    });
  });

  describe('a checkpoint is its creation time', () => {
    async function written(): Promise<string> {
      await start([{ size: 8 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 8M');
      await backup();
      await domain.write(0, 'write -P 0x22 2M 1M');
      return kept.get('vda')?.earlier.checkpoint ?? '';
    }

    it('and not one made again under its name', async () => {
      const name = await written();
      await new Promise((resolve) => setTimeout(resolve, 1100));
      await V('checkpoint-delete', domain.name, name);
      await V('checkpoint-create-as', domain.name, name);
      await domain.write(0, 'write -P 0x33 4M 1M');
      expect(await backup()).toEqual({ vda: 'full: checkpoint-recreated' });
    });

    it('and is not one that is gone, with its bitmap or without', async () => {
      const name = await written();
      await V('checkpoint-delete', domain.name, name);
      expect(await backup()).toEqual({ vda: 'full: checkpoint-missing' });
      await V('checkpoint-delete', '--metadata', domain.name, kept.get('vda')?.earlier.checkpoint ?? '');
      expect(await backup()).toEqual({ vda: 'full: checkpoint-missing' });
    });

    it('whose bitmap is needed, too', async () => {
      const name = await written();
      await domain.handle.destroy();
      await run('qemu-img', ['bitmap', '--remove', domain.disks[0]?.path ?? '', name]);
      await boot();
      expect(await backup()).toEqual({ vda: 'full: bitmap-unusable' });
    });
  });

  describe('bitmaps of two sizes', () => {
    it.each([
      ['grown', 9 * MIB],
      ['shrunk', 7 * MIB],
    ])('under a snapshot that was %s demote that disk alone', async (_, size) => {
      await start([{ size: 8 * MIB }, { size: 8 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 8M');
      await backup();
      await domain.write(0, 'write -P 0x22 2M 1M');
      await V('snapshot-create-as', domain.name, '--disk-only', '--no-metadata', 's1');
      await resize('vda', size);
      await domain.write(1, 'write -P 0x33 2M 1M');
      expect(await backup()).toEqual({ vda: 'full: bitmap-refused', vdb: 'incremental' });
      await domain.write(0, 'write -P 0x44 4M 1M');
      expect(await backup()).toEqual({ vda: 'incremental', vdb: 'incremental' });
    });
  });

  describe('each disk has its own answer', () => {
    it('and its own chain', async () => {
      await start([{ size: 8 * MIB }, { size: 8 * MIB }]);
      await domain.write(0, 'write -P 0x11 0 8M');
      await domain.write(1, 'write -P 0x21 0 8M');
      await backup();
      await domain.write(0, 'write -P 0x12 1M 1M');
      await domain.write(1, 'write -P 0x22 1M 1M');
      expect(await backup({ disks: ['vda'] })).toEqual({ vda: 'incremental', vdb: 'excluded: not-selected' });
      await domain.write(0, 'write -P 0x13 2M 1M');
      await domain.write(1, 'write -P 0x23 2M 1M');
      expect(await backup()).toEqual({ vda: 'incremental', vdb: 'incremental' });
      for (const only of ['vdb', 'vda', 'vdb']) {
        await domain.write(0, 'write -P 0x14 3M 64k', 'write -z 4M 1M');
        await domain.write(1, 'discard 5M 1M', 'write -P 0x24 6M 64k');
        expect((await backup({ disks: [only] }))[only]).toBe('incremental');
      }
      expect(await backup()).toEqual({ vda: 'incremental', vdb: 'incremental' });
    });

    it('and its own scratch file, however alike and long the names of the images are', async () => {
      const folder = image('long');
      await mkdir(folder);
      giveTo(libvirtd.user, folder);
      const paths = await Promise.all(
        ['a', 'b'].map((end) =>
          createImage({ path: join(folder, 'x'.repeat(202) + end), size: MIB, owner: libvirtd.user }),
        ),
      );
      const disks = paths.map((path, index) => fileDisk(`vd${'bc'[index] ?? ''}`, path));
      await start([{ size: MIB }], disks.join(''));
      await using running = await startPullBackup(domain.handle, { disks: ['vdb', 'vdc'] });
      expect(running.disks.map(({ name }) => name)).toEqual(['vdb', 'vdc']);
      await running.abort();
      expect(running.excluded.map(({ reason }) => reason)).toEqual(['not-selected']);
    });

    it('whatever it is: in full where QEMU exports it, excluded with a reason otherwise', async () => {
      const make = (name: string, format: 'raw' | 'qcow2', pattern: number): Promise<string> =>
        createImage({
          path: image(`answers-${name}`),
          size: 2 * MIB,
          format,
          owner: libvirtd.user,
          fill: [{ pattern, offset: 512 * KIB, length: MIB }],
        });
      await using server = await startQemuNbd({
        image: await make('net.raw', 'raw', 0x31),
        format: 'raw',
        transport: 'tcp',
        readOnly: false,
      });
      await definePool();
      elsewhere.set('vdf', server.uri);
      elsewhere.set('vdg', image('pool/volume.qcow2'));
      elsewhere.set('vdh', image('pool/volume.raw'));
      await start(
        [{ size: 2 * MIB }],
        [
          fileDisk('vdb', await make('b.raw', 'raw', 0x21), 'raw'),
          fileDisk('vdc', await make('ro.qcow2', 'qcow2', 0x22), 'qcow2', '<readonly/>'),
          fileDisk('vdd', await make('sh.raw', 'raw', 0x23), 'raw', '<shareable/>'),
          fileDisk('vde', await make('tr.qcow2', 'qcow2', 0x24), 'qcow2', '<transient/>'),
          networkDisk('vdf', server),
          volumeDisk('vdg', 'volume.qcow2', 'qcow2'),
          volumeDisk('vdh', 'volume.raw', 'raw'),
          removable('cdrom', 'sda', 'sata', await make('cd.iso', 'raw', 0x25)),
          removable('cdrom', 'sdb', 'sata', undefined),
          removable('floppy', 'fda', 'fdc', await make('floppy.img', 'raw', 0x26)),
        ].join(''),
      );
      const unnamed = {
        vda: 'incremental',
        vdb: 'full: no-bitmap',
        vdc: 'excluded: read-only',
        vdd: 'excluded: shareable',
        vde: 'excluded: unsupported',
        vdf: 'full: no-bitmap',
        vdg: 'incremental',
        vdh: 'full: no-bitmap',
        sda: 'excluded: cdrom',
        sdb: 'excluded: cdrom',
        fda: 'excluded: floppy',
      };
      expect(await backup()).toEqual({ ...unnamed, vda: 'full: first', vdg: 'full: first' });
      await domain.write(0, 'write -P 0x41 0 64k');
      await io(1, 'write -P 0x42 0 64k');
      await io(6, 'write -P 0x43 0 64k');
      expect(await backup()).toEqual(unnamed);
      for (const [name, byte] of [
        ['vda', 0x41],
        ['vdb', 0x42],
        ['vdg', 0x43],
      ] as const)
        expect(kept.get(name)?.content[0], `the write to ${name}`).toBe(byte);
      expect(await backup({ disks: Object.keys(unnamed), scratchDir: undefined }), 'named').toEqual({
        ...unnamed,
        vdc: 'full: no-bitmap',
        vdd: 'full: no-bitmap',
        sda: 'full: no-bitmap',
        sdb: 'excluded: no-medium',
        fda: 'full: no-bitmap',
      });
    });

    it('a block device, too, whose scratch file is beside the image of another disk', async (context) => {
      const path = await createImage({ path: image('loop.raw'), size: 2 * MIB, format: 'raw' });
      const { code, stdout } = await runAny('losetup', ['--find', '--show', path]);
      if (code !== 0) context.skip('no loop device can be had');
      const device = stdout.trim();
      try {
        giveTo(libvirtd.user, device);
        const xml = `<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='${device}'/><target dev='vdb' bus='virtio'/></disk>`;
        await start([{ size: 2 * MIB }], xml);
        await io(1, 'write -P 0x51 1M 64k');
        expect(await backup({ scratchDir: undefined })).toEqual({
          vda: 'full: first',
          vdb: 'full: no-bitmap',
        });
        await domain.handle.destroy();
      } finally {
        giveTo({ ...libvirtd.user, uid: 0, gid: 0 }, device);
        await runAny('losetup', ['--detach', device]);
      }
    });
  });
});

function networkDisk(target: string, { endpoint }: NbdServer): string {
  if (!('port' in endpoint)) throw new Error('the server has no port');
  return `<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'><host name='${endpoint.host}' port='${endpoint.port}'/></source><target dev='${target}' bus='virtio'/></disk>`;
}

function volumeDisk(target: string, volume: string, format: string): string {
  return `<disk type='volume' device='disk'><driver name='qemu' type='${format}'/><source pool='answers' volume='${volume}'/><target dev='${target}' bus='virtio'/></disk>`;
}

function removable(device: string, target: string, bus: string, path: string | undefined): string {
  const source = path === undefined ? '' : `<source file='${path}'/>`;
  return `<disk type='file' device='${device}'><driver name='qemu' type='raw'/>${source}<target dev='${target}' bus='${bus}'/>${device === 'cdrom' ? '<readonly/>' : ''}</disk>`;
}

function fileDisk(target: string, path: string, format = 'qcow2', more = ''): string {
  return `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='${path}'/><target dev='${target}' bus='virtio'/>${more}</disk>`;
}

function firstDifference(content: Buffer, truth: Buffer | undefined): string {
  if (truth === undefined) return 'there is no truth';
  if (content.equals(truth)) return 'none';
  const at = content.findIndex((byte, index) => byte !== truth[index]);
  return `at ${at}: ${content[at] ?? '?'} for ${truth[at] ?? '?'}`;
}
