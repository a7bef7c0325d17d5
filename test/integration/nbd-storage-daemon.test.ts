import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  exportInfo,
  listExports,
  NbdConnectError,
  NbdConnectionClosedError,
  NbdNegotiationError,
} from 'nbd-ts-client';
import {
  addBitmap,
  convertToRaw,
  createImage,
  imageIo,
  leftovers,
  makeTemporaryFolder,
  requireServers,
  startStorageDaemon,
  type StorageDaemon,
  type TemporaryFolder,
} from '../harness/index.ts';
import {
  ALLOCATION,
  changeEverything,
  collect,
  cutShort,
  DEPTH,
  expectBytes,
  expectFacts,
  expectMaps,
  KIB,
  MIB,
  rejection,
  rejections,
} from './nbd-checks.fixture.ts';

const servers = requireServers('qemu-storage-daemon', 'qemu-img', 'qemu-io', 'nbdinfo');
const DIRTY = ['qemu:dirty-bitmap:b0', 'qemu:dirty-bitmap:live'] as const;

describe.skipIf(servers.skip)(servers.title('qemu-storage-daemon'), () => {
  let folder: TemporaryFolder;
  let image: string;
  let truth: Buffer;

  beforeAll(async () => {
    folder = makeTemporaryFolder('nbd');
    const base = join(folder.path, 'base.qcow2');
    await createImage({ path: base, size: 12 * MIB, fill: [{ pattern: 9, offset: 6 * MIB, length: MIB }] });
    image = join(folder.path, 'top.qcow2');
    await createImage({ path: image, size: 12 * MIB, backing: { path: base, format: 'qcow2' } });
    await addBitmap(image, 'b0');
    await imageIo(image, 'qcow2', ['write -P 1 0 1M', 'write -P 2 8M 64k', 'write -z 6M 128k']);
    truth = readFileSync(await convertToRaw(image, join(folder.path, 'truth.raw')));
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  const layers = (path: string, readOnly: 'on' | 'off'): string[] => [
    `driver=file,node-name=file,read-only=${readOnly},filename=${path}`,
    `driver=qcow2,node-name=disk,file=file,read-only=${readOnly},discard=unmap`,
  ];

  it('several exports, each with its own size, contexts and description', async () => {
    await using server = await startStorageDaemon({
      blockdevs: [...layers(image, 'on'), 'driver=null-co,node-name=null,size=1048576,read-zeroes=on'],
      node: 'disk',
      exportName: 'vda',
      bitmaps: ['b0'],
      allocationDepth: true,
      description: 'the disk',
      further: [
        { node: 'null', exportName: 'nothing' },
        { node: 'disk', exportName: 'plain' },
      ],
    });
    const listed = [...(await listExports(server.uri))].sort((a, b) => a.name.localeCompare(b.name));
    expect(listed).toEqual([
      { name: 'nothing', description: '' },
      { name: 'plain', description: '' },
      { name: 'vda', description: 'the disk' },
    ]);
    for (const name of ['vda', 'nothing', 'plain']) await expectFacts(server.uriOf(name));
    expect((await exportInfo(server.uriOf('plain'))).metaContexts).toEqual([ALLOCATION]);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION, DEPTH, DIRTY[0]] });
    await expectBytes(nbd, truth);
    await expectMaps(server.uri, nbd);
    // The layer on top is 1, what it has not is 2 below, what neither has is 0.
    const depths = await collect(nbd.extents(DEPTH));
    expect(depths.map(({ flags }) => flags)).toEqual(expect.arrayContaining([0, 1, 2]));
    await using nothing = await connect(server.uriOf('nothing'));
    await expectBytes(nothing, Buffer.alloc(MIB));
  });

  it('a bitmap that is taken while the export is written', async () => {
    const path = await createImage({ path: join(folder.path, 'live.qcow2'), size: 12 * MIB });
    await using server = await startStorageDaemon({
      blockdevs: layers(path, 'off'),
      node: 'disk',
      writable: true,
    });
    const bitmap = { node: 'disk', name: 'live' };
    await server.execute('block-dirty-bitmap-add', bitmap);
    const content = Buffer.alloc(12 * MIB);
    {
      await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
      await expectFacts(server.uri);
      await changeEverything(nbd, content);
      await expectBytes(nbd, content);
      await expectMaps(server.uri, nbd);
      await nbd.write(11 * MIB + 5, Buffer.from('x'));
      content.write('x', 11 * MIB + 5);
    }
    await server.execute('block-dirty-bitmap-disable', bitmap);
    await server.execute('block-export-add', {
      ...{ type: 'nbd', id: 'frozen', 'node-name': 'disk', name: 'frozen', bitmaps: ['live'] },
    });
    const uri = server.uriOf('frozen');
    await using nbd = await connect(uri, { metaContexts: [DIRTY[1]] });
    await expectBytes(nbd, content);
    await expectMaps(uri, nbd);
    const dirty = (await collect(nbd.extents(DIRTY[1]))).filter(({ flags }) => flags === 1);
    expect(dirty.at(-1)).toEqual({ offset: 11 * MIB, length: 64 * KIB, flags: 1 });
    expect(dirty.length).toBeGreaterThan(1);
  });

  describe('taken away in the middle of reads', () => {
    /** 64 MiB at 4 MiB a second: a backup that takes its time. */
    const slow = (): Promise<StorageDaemon> =>
      startStorageDaemon({
        args: ['--object', 'throttle-group,id=tg,x-bps-read=4194304'],
        blockdevs: [
          'driver=null-co,node-name=null,size=67108864,read-zeroes=on',
          'driver=throttle,node-name=slow,throttle-group=tg,file=null',
        ],
        node: 'slow',
        exportName: 'vda',
      });

    it.each([
      ['nbd-server-stop', {}],
      ['block-export-del', { id: 'e0', mode: 'hard' }],
    ] as const)('%s ends them all', async (command, args) => {
      await using server = await slow();
      await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
      const first = nbd.read(0, 256 * KIB, { df: true });
      const reads = cutShort(
        Array.from({ length: 40 }, (_, index) => nbd.read((index + 8) * MIB, 256 * KIB, { df: true })),
        NbdConnectionClosedError,
      );
      await first;
      await server.execute(command, args);
      const reasons = await reads;
      expect(reasons.some(({ sent }) => sent)).toBe(true);
      for (const sent of [true, false]) {
        const alike = new Set(reasons.filter((reason) => reason.sent === sent));
        expect(alike.size, 'one reason for all that were sent, one for the others').toBeLessThan(2);
      }
      expect((await nbd.closed).reason).toMatch(/peer|error/);
      const late = await rejections(nbd.read(0, 512), nbd.blockStatus(0, 512), nbd.flush());
      for (const reason of late) expect(reason).toBeInstanceOf(NbdConnectionClosedError);
      // Whether it is worth trying again shows in a second connection: the server is gone, or the export.
      const again = await rejection(connect(server.uri));
      if (command === 'nbd-server-stop') expect(again).toBeInstanceOf(NbdConnectError);
      else expect(again).toMatchObject({ code: 'ERR_NBD_NEGOTIATION', reply: 2 ** 31 + 6 });
    });

    it('with nobody to be hurt: an export in use is not deleted, and its reads go on', async () => {
      await using server = await slow();
      await using nbd = await connect(server.uri);
      const read = nbd.read(0, 2 * MIB, { df: true });
      await expect(server.execute('block-export-del', { id: 'e0' })).rejects.toThrow(/in use/);
      expect((await read).equals(Buffer.alloc(2 * MIB))).toBe(true);
      await nbd.close();
      await server.execute('block-export-del', { id: 'e0' });
      expect(await listExports(server.uri)).toEqual([]);
      expect(await rejection(connect(server.uri))).toBeInstanceOf(NbdNegotiationError);
    });
  });
});
