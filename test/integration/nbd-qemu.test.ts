import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  exportInfo,
  listExports,
  NbdConnectError,
  NbdNegotiationError,
  NbdUsageError,
} from 'nbd-ts-client';
import {
  addBitmap,
  convertToRaw,
  createImage,
  imageIo,
  leftovers,
  makeTemporaryFolder,
  nbdcopyToFile,
  qemuImgMap,
  requireServers,
  startQemuNbd,
  type TemporaryFolder,
  waitUntil,
} from '../harness/index.ts';
import {
  ALLOCATION,
  changeEverything,
  collect,
  DEPTH,
  expectBytes,
  expectFacts,
  expectMaps,
  KIB,
  MIB,
  rejection,
  rejections,
} from './nbd-checks.fixture.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'qemu-io', 'nbdinfo', 'nbdcopy');
const DIRTY = ['qemu:dirty-bitmap:b0', 'qemu:dirty-bitmap:b1'];

describe.skipIf(servers.skip)(servers.title('qemu-nbd'), () => {
  let folder: TemporaryFolder;
  /** A layer over `base.qcow2`, with data, zeroes and two bitmaps. */
  let image: string;
  let truth: Buffer;
  let copies = 0;

  const fresh = async (format: 'raw' | 'qcow2'): Promise<string> =>
    createImage({ path: join(folder.path, `${++copies}.${format}`), size: 12 * MIB, format });

  beforeAll(async () => {
    folder = makeTemporaryFolder('nbd');
    const base = join(folder.path, 'base.qcow2');
    await createImage({
      path: base,
      size: 16 * MIB,
      fill: [{ pattern: 0x77, offset: 14 * MIB, length: MIB }],
    });
    image = join(folder.path, 'disk.qcow2');
    await createImage({
      path: image,
      size: 16 * MIB,
      backing: { path: base, format: 'qcow2' },
      fill: [
        { pattern: 0x11, offset: 0, length: 3 * MIB },
        { pattern: 0x22, offset: 8 * MIB, length: MIB },
      ],
    });
    await addBitmap(image, 'b0');
    await imageIo(image, 'qcow2', ['write -P 0x33 1M 128k', 'write -z 2M 512k', 'write -P 0x44 10M 64k']);
    await addBitmap(image, 'b1', 4 * MIB);
    await imageIo(image, 'qcow2', ['write -P 0x55 15M 4k', 'discard 8M 256k']);
    truth = readFileSync(await convertToRaw(image, join(folder.path, 'truth.raw')));
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  it.each(['unix', 'tcp'] as const)('over %s: facts, bytes and every context', async (transport) => {
    await using server = await startQemuNbd({
      image,
      transport,
      exportName: 'vda',
      bitmaps: ['b0', 'b1'],
      allocationDepth: true,
      args: ['-D', 'disk of a test'],
    });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION, DEPTH, ...DIRTY] });
    expect(nbd).toMatchObject({ headerStyle: 'structured', canDf: true, isReadOnly: true });
    expect(nbd.metaContexts).toHaveLength(4);
    await expectBytes(nbd, truth);
    await expectMaps(server.uri, nbd);
    const one = await nbd.blockStatus(MIB, 15 * MIB, { reqOne: true });
    expect(one.get(DIRTY[0] ?? '')).toEqual([{ offset: MIB, length: 128 * KIB, flags: 1 }]);
    expect(await collect(nbd.extents(DIRTY[1] ?? '', { start: 13 * MIB }))).toEqual(
      [{ offset: 13 * MIB, length: 3 * MIB, flags: 1 }], // the granularity is 4 MiB: from 12 MiB on
    );
  });

  it.each(['raw', 'qcow2'] as const)('%s: its allocation is the map of qemu-img', async (format) => {
    const path = await fresh(format);
    await imageIo(path, format, ['write -P 1 0 64k', 'write -P 2 5M 1M', 'write -z 8M 1M']);
    const map = await qemuImgMap(path, format);
    await using server = await startQemuNbd({ image: path, format });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    expect(await collect(nbd.extents(ALLOCATION))).toEqual(map);
    expect(map.length).toBeGreaterThan(3);
  });

  it.each(['raw', 'qcow2'] as const)('%s: what is changed reads back, here and elsewhere', async (format) => {
    const path = await fresh(format);
    const content = Buffer.alloc(12 * MIB);
    {
      await using server = await startQemuNbd({ image: path, format, readOnly: false });
      await expectFacts(server.uri);
      await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
      expect(nbd.isReadOnly).toBe(false);
      await changeEverything(nbd, content);
      await expectBytes(nbd, content);
      await expectMaps(server.uri, nbd);
      const copy = await nbdcopyToFile(server.uri, join(folder.path, 'copy.raw'));
      expect(readFileSync(copy).equals(content)).toBe(true);
    }
    const image = await convertToRaw(path, join(folder.path, 'after.raw'), { format });
    expect(readFileSync(image).equals(content)).toBe(true);
  });

  it('read-only: no change is sent', async () => {
    await using server = await startQemuNbd({ image });
    await using nbd = await connect(server.uri);
    const changes = [
      nbd.write(0, Buffer.alloc(512)),
      nbd.writeZeroes(0, 512),
      nbd.trim(0, 512),
      nbd.read(16 * MIB - 1, 2),
      nbd.blockStatus(0, 512),
    ];
    for (const mistake of await rejections(...changes)) expect(mistake).toBeInstanceOf(NbdUsageError);
    expect(nbd.statistics.requests).toBe(0);
    await nbd.flush();
    expect(nbd.statistics.requests).toBe(1);
  });

  it('a file that ends within a sector is as long as the server says', async () => {
    const path = join(folder.path, 'odd.raw');
    writeFileSync(path, Buffer.alloc(100_000, 0x61));
    truncateSync(path, 99_999);
    await using server = await startQemuNbd({ image: path, format: 'raw' });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri);
    const rounded = Buffer.alloc(Math.ceil(99_999 / 512) * 512);
    rounded.fill(0x61, 0, 99_999);
    await expectBytes(nbd, rounded);
  });

  it('a pool has as many connections as asked for; all see what one has written', async () => {
    const path = await fresh('raw');
    await using server = await startQemuNbd({ image: path, format: 'raw', readOnly: false, shared: 3 });
    await using pool = await connectPool(server.uri, { connections: 3, metaContexts: [ALLOCATION] });
    expect(pool.connections).toHaveLength(3);
    const content = Buffer.alloc(12 * MIB, 0x42);
    await Promise.all(
      Array.from({ length: 12 }, (_, index) => pool.write(index * MIB, content.subarray(0, MIB))),
    );
    await pool.flush();
    for (const connection of pool.connections) await expectBytes(connection, content);
    await expectBytes(pool, content);
    expect(pool.connections.every(({ statistics }) => statistics.requests > 10)).toBe(true);
    expect(await collect(pool.extents(ALLOCATION))).toEqual([{ offset: 0, length: 12 * MIB, flags: 0 }]);
  });

  it('a server for one client has no pool; the next client waits for its greeting, within a bound', async () => {
    await using server = await startQemuNbd({ image, shared: 1, readOnly: false });
    const pool = await connectPool(server.uri, { connections: 4 });
    expect(pool.connections).toHaveLength(1);
    const late = await rejection(connect(server.uri, { connectTimeoutMs: 300 }));
    expect(late).toBeInstanceOf(NbdConnectError);
    expect(late.message).toMatch(/within 300 ms/);
    const patient = connect(server.uri);
    await pool.close();
    await using nbd = await patient;
    await expectBytes(nbd, truth);
  });

  it('a pool that does not get all its connections is an error and leaves none', async () => {
    await using server = await startQemuNbd({ image, shared: 2 });
    const failure = await rejection(connectPool(server.uri, { connections: 3, connectTimeoutMs: 1000 }));
    expect(failure).toBeInstanceOf(NbdConnectError);
    await using pool = await connectPool(server.uri, { connections: 2 });
    await expectBytes(pool, truth);
  });

  it('one that is not persistent ends when the last client has said goodbye', async () => {
    await using server = await startQemuNbd({ image, persistent: false });
    const first = await connect(server.uri);
    await using second = await connect(server.uri);
    await first.close();
    await sleep(100);
    expect((await second.read(0, 512)).equals(truth.subarray(0, 512))).toBe(true);
    expect(await second.close()).toEqual({ reason: 'close' });
    await waitUntil(() => !server.isRunning, 10_000, 'qemu-nbd to end');
    expect(await rejection(connect(server.uri))).toBeInstanceOf(NbdConnectError);
  });

  it('exports are listed; one that is not there is refused with what the server says', async () => {
    const name = 'disk «a» ü'; // goes through a URI
    await using server = await startQemuNbd({ image, exportName: name, args: ['-D', 'for a test'] });
    expect(await listExports(server.uri)).toEqual([{ name, description: 'for a test' }]);
    expect(await exportInfo(server.uri)).toMatchObject({ name, description: 'for a test', size: 16 * MIB });
    const attempts = [connect(server.uriOf('vdb')), exportInfo(server.uriOf('vdb'))];
    for (const refused of await rejections(...attempts)) {
      expect(refused).toBeInstanceOf(NbdNegotiationError);
      expect(refused.message).toMatch(/export "vdb".*NBD_REP_ERR_UNKNOWN/);
    }
  });

  it('a bitmap that is not there is not selected', async () => {
    await using server = await startQemuNbd({ image, bitmaps: ['b0'] });
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION, ...DIRTY] });
    expect([...nbd.metaContexts].sort()).toEqual([ALLOCATION, DIRTY[0]]);
    expect(() => nbd.extents(DIRTY[1] ?? '')).toThrow(NbdUsageError);
  });
});
