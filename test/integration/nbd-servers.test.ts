import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  exportInfo,
  listExports,
  NbdCommandError,
  NbdConnectionClosedError,
  NbdNegotiationError,
  type Extent,
} from 'nbd-ts-client';
import {
  addBitmap,
  createImage,
  imageIo,
  makeTemporaryFolder,
  requireServers,
  run,
  startNbdkit,
  startQemuNbd,
  type TemporaryFolder,
} from '../harness/index.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'qemu-io', 'nbdkit', 'nbdinfo');
const MIB = 1024 * 1024;
const ALLOCATION = 'base:allocation';
const DIRTY = 'qemu:dirty-bitmap:b0';

async function collect(extents: AsyncIterable<Extent>): Promise<Extent[]> {
  const all: Extent[] = [];
  for await (const extent of extents) all.push(extent);
  return all;
}

interface NbdinfoExtent {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

/** The reference's map of a context, neighbours with the same flags joined. */
async function nbdinfo(uri: string, context: string): Promise<Extent[]> {
  const map = JSON.parse(await run('nbdinfo', ['--json', `--map=${context}`, uri])) as NbdinfoExtent[];
  const joined: Extent[] = [];
  for (const { offset, length, type } of map) {
    const last = joined.at(-1);
    if (last?.flags === type) joined[joined.length - 1] = { ...last, length: last.length + length };
    else joined.push({ offset, length, flags: type });
  }
  return joined;
}

describe.skipIf(servers.skip)(servers.title('real NBD servers'), () => {
  let folder: TemporaryFolder;
  let image: string;

  beforeAll(async () => {
    folder = makeTemporaryFolder('nbd');
    image = join(folder.path, 'disk.qcow2');
    await createImage({ path: image, size: 64 * MIB });
    await imageIo(image, 'qcow2', ['write -P 0x11 0 8M', 'write -P 0x22 32M 4M']);
    await addBitmap(image, 'b0');
    await imageIo(image, 'qcow2', ['write -P 0x33 1M 128k', 'write -z 4M 1M', 'write -P 0x44 40M 64k']);
  });

  afterAll(() => {
    folder.remove();
  });

  it.each(['unix', 'tcp'] as const)(
    'qemu-nbd over %s: data, extents and a dirty bitmap as nbdinfo shows them',
    async (transport) => {
      await using server = await startQemuNbd({ image, transport, bitmaps: ['b0'], exportName: 'vda' });
      await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION, DIRTY] });
      expect(nbd).toMatchObject({
        exportSize: 64 * MIB,
        isReadOnly: true,
        headerStyle: 'structured',
        canDf: true,
      });
      expect([...nbd.metaContexts].sort()).toEqual([ALLOCATION, DIRTY]);
      expect(
        (await nbd.read(MIB - 512, 1024)).equals(
          Buffer.concat([Buffer.alloc(512, 0x11), Buffer.alloc(512, 0x33)]),
        ),
      ).toBe(true);
      const whole = await nbd.read(0, 64 * MIB);
      expect(whole.subarray(4 * MIB, 5 * MIB).equals(Buffer.alloc(MIB))).toBe(true);
      expect(whole[40 * MIB]).toBe(0x44);
      for (const context of [ALLOCATION, DIRTY]) {
        const extents = await collect(nbd.extents(context));
        expect(extents).toEqual(await nbdinfo(server.uri, context));
        expect(extents.length).toBeGreaterThan(3);
      }
    },
  );

  it('exports and contexts are listed without opening one', async () => {
    await using server = await startQemuNbd({ image, bitmaps: ['b0'], exportName: 'vda' });
    expect((await listExports(server.uri)).map(({ name }) => name)).toEqual(['vda']);
    expect(await exportInfo(server.uri)).toMatchObject({
      name: 'vda',
      size: 64 * MIB,
      blockSize: { minimum: 1, preferred: 4096, maximum: 32 * MIB },
      metaContexts: expect.arrayContaining([ALLOCATION, DIRTY]) as string[],
    });
    await expect(exportInfo(server.uriOf('vdb'))).rejects.toThrow(NbdNegotiationError);
    await using several = await startNbdkit({ plugin: 'file', parameters: [`dir=${folder.path}`] });
    expect((await listExports(several.uri)).map(({ name }) => name)).toContain('disk.qcow2');
  });

  it('a pool reads over several connections where the server allows it', async () => {
    await using server = await startQemuNbd({ image });
    await using pool = await connectPool(server.uri, { connections: 3, metaContexts: [ALLOCATION] });
    expect(pool.connections.length).toBe(3);
    const reads = Array.from({ length: 64 }, (_, index) => pool.read(index * MIB, MIB));
    const whole = Buffer.concat(await Promise.all(reads));
    expect(whole[40 * MIB]).toBe(0x44);
    expect(pool.connections.every(({ statistics }) => statistics.requests > 10)).toBe(true);
    expect((await collect(pool.extents(ALLOCATION))).length).toBeGreaterThan(3);
    const single = ['multi-conn-mode=disable'];
    await using alone = await startNbdkit({
      plugin: 'memory',
      parameters: ['1M', ...single],
      filters: ['multi-conn'],
    });
    await using one = await connectPool(alone.uri, { connections: 3 });
    expect(one.connections.length).toBe(1);
  });

  it.each([
    ['qemu-nbd', () => startQemuNbd({ image: join(folder.path, 'rw.raw'), format: 'raw', readOnly: false })],
    ['nbdkit', () => startNbdkit({ plugin: 'memory', parameters: ['8M'] })],
  ] as const)('%s: what is written, zeroed and trimmed reads back', async (_title, start) => {
    await createImage({ path: join(folder.path, 'rw.raw'), size: 8 * MIB, format: 'raw' });
    await using server = await start();
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    const bytes = randomBytes(3 * MIB);
    await nbd.write(MIB + 512, bytes, { fua: nbd.canFua });
    await nbd.writeZeroes(2 * MIB, 4096);
    await nbd.flush();
    bytes.fill(0, MIB - 512, MIB - 512 + 4096);
    expect((await nbd.read(MIB + 512, 3 * MIB)).equals(bytes)).toBe(true);
    await nbd.trim(6 * MIB, MIB);
    await pipeline(
      Readable.from([bytes.subarray(0, 100_000), bytes.subarray(100_000)]),
      nbd.createWriteStream({ start: 4 * MIB }),
    );
    const back: Buffer[] = [];
    for await (const chunk of nbd.createReadStream({ start: 4 * MIB, end: 7 * MIB }))
      back.push(chunk as Buffer);
    expect(Buffer.concat(back).equals(bytes)).toBe(true);
    await expect(
      pipeline(Readable.from([Buffer.alloc(2 * MIB)]), nbd.createWriteStream({ start: 7 * MIB })),
    ).rejects.toThrow(/beyond the export/);
  });

  it.each([
    ['oldstyle', ['-o']],
    ['newstyle that is not fixed', ['--mask-handshake=0']],
    ['newstyle with padding', ['--mask-handshake=1']],
  ])('nbdkit that speaks %s', async (_title, args) => {
    await using server = await startNbdkit({ plugin: 'pattern', parameters: ['8M'], args });
    await using nbd = await connect(server.uri);
    expect((await nbd.read(4096, 8)).readBigUInt64BE()).toBe(4096n);
  });

  it('an unknown export is refused with what the server says', async () => {
    await using server = await startQemuNbd({ image, exportName: 'vda' });
    await expect(connect(server.uriOf('vdb'))).rejects.toThrow(NbdNegotiationError);
    await expect(connect(server.uriOf('vdb'))).rejects.toThrow(/export "vdb".*NBD_REP_ERR_UNKNOWN/);
  });

  it('a media error fails one read with DF; the connection goes on', async () => {
    const raw = join(folder.path, 'bad.raw');
    await createImage({ path: raw, size: 8 * MIB, format: 'raw' });
    const inject = 'file.inject-error.0';
    const imageOpts = [
      `driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=${raw}`,
      `${inject}.event=none,${inject}.iotype=read,${inject}.errno=5,${inject}.sector=4096,${inject}.once=off`,
    ].join(',');
    await using server = await startQemuNbd({ image: raw, imageOpts });
    await using nbd = await connect(server.uri);
    const bad = nbd.read(2 * MIB, 4096, { df: true });
    const good = nbd.read(0, 4096, { df: true });
    await expect(bad).rejects.toThrow(NbdCommandError);
    await expect(bad).rejects.toMatchObject({ errnoName: 'EIO', offset: 2 * MIB });
    expect((await good).length).toBe(4096);
  });

  it('a server that is killed in the middle of reads ends them all', async () => {
    await using server = await startNbdkit({
      plugin: 'pattern',
      parameters: ['64M', 'delay-read=200ms'],
      filters: ['delay'],
    });
    await using nbd = await connect(server.uri);
    const reads = Promise.allSettled(Array.from({ length: 8 }, (_, index) => nbd.read(index * MIB, MIB)));
    setTimeout(() => {
      server.kill('SIGKILL');
    }, 50);
    for (const outcome of await reads)
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: expect.any(NbdConnectionClosedError) as Error,
      });
    expect((await nbd.closed).reason).toMatch(/server|error/);
  });

  it('nbdkit: with and without structured replies, larger than it takes, with a minimum block size', async () => {
    for (const args of [[], ['--no-sr']]) {
      await using server = await startNbdkit({ plugin: 'pattern', parameters: ['256M'], args });
      await using nbd = await connect(server.uri);
      expect(nbd.headerStyle).toBe(args.length === 0 ? 'structured' : 'simple');
      const bytes = await nbd.read(8, 100 * MIB);
      expect(bytes.readBigUInt64BE(0)).toBe(8n);
      expect(bytes.readBigUInt64BE(80 * MIB)).toBe(BigInt(8 + 80 * MIB));
    }
    const sizes = [
      'blocksize-minimum=4096',
      'blocksize-preferred=64K',
      'blocksize-maximum=1M',
      'blocksize-error-policy=error',
    ];
    await using strict = await startNbdkit({
      plugin: 'memory',
      parameters: ['64M', ...sizes],
      filters: ['blocksize-policy'],
    });
    await using nbd = await connect(strict.uri);
    expect(nbd.blockSize).toEqual({ minimum: 4096, preferred: 65536, maximum: MIB });
    expect((await nbd.read(4096, 8 * MIB)).length).toBe(8 * MIB);
    await expect(nbd.read(512, 4096)).rejects.toThrow(/multiples of the block size 4096/);
  });

  it('an error of every read and of every status request comes back as one', async () => {
    const parameters = [
      '64M',
      'error-pread=EIO',
      'error-pread-rate=100%',
      'error-extents=EIO',
      'error-extents-rate=100%',
    ];
    await using server = await startNbdkit({ plugin: 'memory', parameters, filters: ['error'] });
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    await expect(nbd.read(0, 4096)).rejects.toMatchObject({ errnoName: 'EIO', command: 'NBD_CMD_READ' });
    await expect(nbd.blockStatus(0, 4096)).rejects.toMatchObject({
      errnoName: 'EIO',
      command: 'NBD_CMD_BLOCK_STATUS',
    });
  });
});
