import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  listExports,
  NbdCommandError,
  NbdConnectionClosedError,
  NbdNegotiationError,
} from 'nbd-ts-client';
import {
  addBitmap,
  convertToRaw,
  createImage,
  faultyImage,
  imageIo,
  leftovers,
  makeTemporaryFolder,
  type NbdServer,
  nbdcopyToFile,
  qemuImgMap,
  requireQemu10,
  requireServers,
  startQemuNbd,
  startStorageDaemon,
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
  expectWhole,
  GIB,
  KIB,
  MIB,
  rejection,
} from './nbd-checks.fixture.ts';

const servers = requireServers('qemu-img', 'qemu-io', 'nbdinfo', 'nbdcopy');
const qemu10 = await requireQemu10();
const DIRTY = 'qemu:dirty-bitmap:b0';
const TIB = 1024 * GIB;

describe.skipIf(servers.skip || qemu10.skip)(qemu10.title(servers.title('QEMU 10, extended headers')), () => {
  let folder: TemporaryFolder;
  let image: string;
  let truth: Buffer;
  /** 2 TiB with data at 0, at 5 GiB and at the end. */
  let huge: string;

  const qemuNbd = (options: Partial<Parameters<typeof startQemuNbd>[0]>): Promise<NbdServer> =>
    startQemuNbd({ image, command: qemu10.command('qemu-nbd'), ...options });

  beforeAll(async () => {
    folder = makeTemporaryFolder('nbd');
    image = join(folder.path, 'disk.qcow2');
    await createImage({ path: image, size: 16 * MIB, fill: [{ pattern: 1, offset: 0, length: 3 * MIB }] });
    await addBitmap(image, 'b0');
    await imageIo(image, 'qcow2', ['write -P 3 1M 128k', 'write -z 2M 512k', 'write -P 4 15M 64k']);
    truth = readFileSync(await convertToRaw(image, join(folder.path, 'truth.raw')));
    huge = join(folder.path, 'huge.qcow2');
    await createImage({ path: huge, size: 2 * TIB, createOptions: 'cluster_size=2M' });
    await addBitmap(huge, 'b0', 2 * MIB);
    await imageIo(huge, 'qcow2', ['write -P 5 0 64k', 'write -P 6 5G 64k', 'write -P 7 2199023190016 64k']);
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  it.each(['unix', 'tcp'] as const)('over %s: facts, bytes and every context', async (transport) => {
    await using server = await qemuNbd({
      transport,
      exportName: 'vda',
      bitmaps: ['b0'],
      allocationDepth: true,
    });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION, DEPTH, DIRTY] });
    expect(nbd).toMatchObject({ headerStyle: 'extended', canDf: true, canMultiConn: true });
    await expectBytes(nbd, truth);
    await expectMaps(server.uri, nbd);
    expect(await collect(nbd.extents(ALLOCATION))).toEqual(
      await qemuImgMap(image, 'qcow2', qemu10.command('qemu-img')),
    );
  });

  it('is asked for structured replies where extended headers are not wanted', async () => {
    await using server = await qemuNbd({ bitmaps: ['b0'] });
    await using nbd = await connect(server.uri, {
      extendedHeaders: false,
      metaContexts: [ALLOCATION, DIRTY],
    });
    expect(nbd.headerStyle).toBe('structured');
    await expectBytes(nbd, truth);
    await expectMaps(server.uri, nbd);
  });

  it.each(['raw', 'qcow2'] as const)('%s: what is changed reads back, here and elsewhere', async (format) => {
    const path = join(folder.path, `rw.${format}`);
    await createImage({ path, size: 12 * MIB, format });
    const content = Buffer.alloc(12 * MIB);
    // QEMU takes a WRITE whose header is not as it should be, but says so in this trace.
    const args = ['--trace', 'nbd_co_receive_*'];
    await using server = await qemuNbd({ image: path, format, readOnly: false, args });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    expect(nbd.headerStyle).toBe('extended');
    await changeEverything(nbd, content);
    expect(server.output()).toMatch(/nbd_co_receive_request_payload_received/);
    expect(server.output()).not.toMatch(/nbd_co_receive_ext_payload_compliance/);
    await expectBytes(nbd, content);
    await expectMaps(server.uri, nbd);
    const copy = await nbdcopyToFile(server.uri, join(folder.path, 'copy.raw'));
    expect(readFileSync(copy).equals(content)).toBe(true);
  });

  it('block status of more than 4 GiB is one request, and the same as in 32 bits', async () => {
    await using server = await qemuNbd({ image: huge, bitmaps: ['b0'] });
    const contexts = { metaContexts: [ALLOCATION, DIRTY] };
    await using nbd = await connect(server.uri, contexts);
    await using compact = await connect(server.uri, { ...contexts, extendedHeaders: false });
    expect(nbd.exportSize).toBe(2 * TIB);
    const status = await nbd.blockStatus(0, 2 * TIB);
    expect(status.get(DIRTY)).toEqual([
      { offset: 0, length: 2 * MIB, flags: 1 },
      { offset: 2 * MIB, length: 5 * GIB - 2 * MIB, flags: 0 },
      { offset: 5 * GIB, length: 2 * MIB, flags: 1 },
      { offset: 5 * GIB + 2 * MIB, length: 2 * TIB - 5 * GIB - 4 * MIB, flags: 0 },
      { offset: 2 * TIB - 2 * MIB, length: 2 * MIB, flags: 1 },
    ]);
    expect(nbd.statistics.requests).toBe(1);
    for (const context of [ALLOCATION, DIRTY]) {
      const extents = await collect(nbd.extents(context));
      expectWhole(extents, 2 * TIB);
      expect(await collect(compact.extents(context))).toEqual(extents);
    }
    expect(nbd.statistics.requests).toBeLessThan(5);
    expect(compact.statistics.requests).toBeGreaterThan(500); // 2 TiB in windows of less than 4 GiB, each context
    const end = 2 * TIB - 64 * KIB;
    expect((await nbd.read(end - 4, 8)).equals(Buffer.from([0, 0, 0, 0, 7, 7, 7, 7]))).toBe(true);
    expect(() => nbd.extents(ALLOCATION, { end: 2 * TIB + 1 })).toThrow(/beyond the export/);
  });

  it('zeroes and trims of more than 4 GiB are one request', async () => {
    const path = join(folder.path, 'zero.qcow2');
    await createImage({
      path,
      size: 16 * GIB,
      fill: [GIB, 7 * GIB, 12 * GIB].map((offset) => ({ pattern: 8, offset, length: 64 * KIB })),
    });
    await using server = await qemuNbd({ image: path, readOnly: false, args: ['--discard=unmap'] });
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    await nbd.writeZeroes(0, 6 * GIB);
    await nbd.trim(10 * GIB, 5 * GIB);
    expect(nbd.statistics.requests).toBe(2);
    const data = (await collect(nbd.extents(ALLOCATION))).filter(({ flags }) => (flags & 2) === 0);
    expect(data).toEqual([{ offset: 7 * GIB, length: 64 * KIB, flags: 0 }]);
    expect((await nbd.read(GIB, 512)).equals(Buffer.alloc(512))).toBe(true);
    await expectMaps(server.uri, nbd);
  });

  it('a media error fails one read or write; the connection goes on', async () => {
    const path = join(folder.path, 'bad.raw');
    await createImage({ path, size: 8 * MIB, format: 'raw' });
    await using server = await qemuNbd({
      exportName: 'vda',
      readOnly: false,
      imageOpts: faultyImage(path, [
        { iotype: 'read', errno: 5, sector: 4096 },
        { iotype: 'write', errno: 28, sector: 8192 },
      ]),
    });
    await using nbd = await connect(server.uri);
    const good = nbd.read(0, MIB, { df: true });
    const bad = await rejection(nbd.read(2 * MIB, 4096, { df: true }));
    expect(bad).toBeInstanceOf(NbdCommandError);
    expect(bad).toMatchObject({
      ...{ errnoName: 'EIO', command: 'NBD_CMD_READ', exportName: 'vda', offset: 2 * MIB, length: 4096 },
    });
    expect(await rejection(nbd.write(4 * MIB, Buffer.alloc(512, 1)))).toMatchObject({
      ...{ errnoName: 'ENOSPC', command: 'NBD_CMD_WRITE', exportName: 'vda', offset: 4 * MIB, length: 512 },
    });
    expect((await good).equals(Buffer.alloc(MIB))).toBe(true);
    await nbd.write(MIB, Buffer.alloc(512, 1));
    expect((await nbd.read(MIB, 512)).equals(Buffer.alloc(512, 1))).toBe(true);
  });

  it('a pool, several exports and a server that is killed', async () => {
    await using server = await startStorageDaemon({
      command: qemu10.command('qemu-storage-daemon'),
      blockdevs: [
        `driver=file,node-name=file,filename=${image},read-only=on`,
        'driver=qcow2,node-name=disk,file=file,read-only=on',
        'driver=null-co,node-name=null,size=8589934592,read-zeroes=on,latency-ns=2000000000',
      ],
      node: 'disk',
      exportName: 'vda',
      bitmaps: ['b0'],
      further: [{ node: 'null', exportName: 'slow' }],
    });
    expect((await listExports(server.uri)).map(({ name }) => name).sort()).toEqual(['slow', 'vda']);
    expect(await rejection(connect(server.uriOf('vdb')))).toBeInstanceOf(NbdNegotiationError);
    await using pool = await connectPool(server.uri, { connections: 2, metaContexts: [ALLOCATION, DIRTY] });
    expect(pool.connections.map(({ headerStyle }) => headerStyle)).toEqual(['extended', 'extended']);
    await expectBytes(pool, truth);
    await using slow = await connectPool(server.uriOf('slow'), { connections: 2 });
    const reads = Array.from({ length: 8 }, (_, index) => slow.read(index * GIB, MIB, { df: true }));
    setTimeout(() => {
      server.kill('SIGKILL');
    }, 50);
    await cutShort(reads, NbdConnectionClosedError);
  });
});
