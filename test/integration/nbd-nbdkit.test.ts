import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  exportInfo,
  listExports,
  NbdCommandError,
  NbdNegotiationError,
  NbdUsageError,
} from 'nbd-ts-client';
import {
  leftovers,
  makeTemporaryFolder,
  nbdcopyToFile,
  requireServers,
  startNbdkit,
  type TemporaryFolder,
} from '../harness/index.ts';
import {
  ALLOCATION,
  changeEverything,
  collect,
  expectBytes,
  expectFacts,
  expectMaps,
  GIB,
  KIB,
  MIB,
  rejection,
  rejections,
} from './nbd-checks.fixture.ts';

const servers = requireServers('nbdkit', 'nbdinfo', 'nbdcopy');

/** The content of nbdkit's pattern plugin: each 8 bytes are their own offset. */
function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 8) bytes.writeBigUInt64BE(BigInt(at), at);
  return bytes;
}

describe.skipIf(servers.skip)(servers.title('nbdkit'), () => {
  let folder: TemporaryFolder;

  beforeAll(() => {
    folder = makeTemporaryFolder('nbd');
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  it.each([
    ['structured replies', [], 'structured'],
    ['simple replies', ['--no-sr'], 'simple'],
    ['newstyle with padding', ['--mask-handshake=1'], 'structured'],
  ] as const)('%s: facts and bytes', async (_title, args, headerStyle) => {
    await using server = await startNbdkit({ plugin: 'pattern', parameters: ['12M'], args });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri);
    expect(nbd.headerStyle).toBe(headerStyle);
    await expectBytes(nbd, pattern(12 * MIB));
  });

  it('newstyle that is not fixed: bytes, and changes that read back; nothing to ask', async () => {
    const content = Buffer.alloc(12 * MIB);
    const args = ['--mask-handshake=0'];
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['12M'], args });
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    expect(nbd).toMatchObject({ headerStyle: 'simple', canDf: false, metaContexts: [] });
    await changeEverything(nbd, content);
    await expectBytes(nbd, content);
    for (const refused of await rejections(listExports(server.uri), exportInfo(server.uri)))
      expect(refused).toBeInstanceOf(NbdNegotiationError);
  });

  it('oldstyle: bytes, and changes that read back; no names, nothing to ask', async () => {
    const content = Buffer.alloc(12 * MIB);
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['12M'], args: ['-o'] });
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    expect(nbd).toMatchObject({ headerStyle: 'simple', canDf: false, metaContexts: [], canFua: true });
    await nbd.write(MIB + 3, Buffer.alloc(MIB, 0x5c));
    content.fill(0x5c, MIB + 3, 2 * MIB + 3);
    // In this style nbdkit 1.32 refuses what it has offered: a command fails, the connection goes on.
    const offered = [
      nbd.write(0, Buffer.alloc(512), { fua: true }),
      nbd.writeZeroes(5 * MIB, KIB),
      nbd.trim(11 * MIB, MIB),
      nbd.flush(),
    ];
    for (const outcome of await Promise.allSettled(offered))
      if (outcome.status === 'rejected')
        expect(outcome.reason).toMatchObject({ code: 'ERR_NBD_COMMAND', errnoName: 'EINVAL' });
    await expectBytes(nbd, content);
    for (const refused of await rejections(listExports(server.uri), exportInfo(server.uri)))
      expect(refused).toBeInstanceOf(NbdNegotiationError);
    await expect(connect(server.uriOf('vda'))).rejects.toThrow(/oldstyle: its only export has no name/);
  });

  it.each([
    ['structured replies', []],
    ['simple replies', ['--no-sr']],
  ])('memory with %s: what is changed reads back, here and elsewhere', async (_title, args) => {
    const content = Buffer.alloc(12 * MIB);
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['12M'], args });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    await changeEverything(nbd, content);
    await expectBytes(nbd, content);
    await expectMaps(server.uri, nbd);
    const copy = await nbdcopyToFile(server.uri, join(folder.path, 'copy.raw'));
    expect(readFileSync(copy).equals(content)).toBe(true);
  });

  it('data and sparse-random: extents as nbdinfo sees them', async () => {
    const data = ['data=@32768 0x78*512 @1048576 1', 'size=4M'];
    await using small = await startNbdkit({ plugin: 'data', parameters: data });
    await using nbd = await connect(small.uri, { metaContexts: [ALLOCATION] });
    const truth = Buffer.alloc(4 * MIB);
    truth.fill(0x78, 32_768, 33_280).fill(1, MIB, MIB + 1);
    await expectBytes(nbd, truth);
    await expectMaps(small.uri, nbd);
    expect((await collect(nbd.extents(ALLOCATION))).length).toBeGreaterThan(3);
    const random = ['64M', 'seed=7', 'percent=10', 'runlength=16384'];
    await using sparse = await startNbdkit({ plugin: 'sparse-random', parameters: random });
    await using other = await connect(sparse.uri, { metaContexts: [ALLOCATION] });
    await expectMaps(sparse.uri, other);
    const extents = await collect(other.extents(ALLOCATION));
    expect(extents.length).toBeGreaterThan(100);
    const copy = readFileSync(await nbdcopyToFile(sparse.uri, join(folder.path, 'sparse.raw')));
    for (const { offset, length, flags } of extents.slice(0, 100)) {
      const bytes = await other.read(offset, length, { df: flags === 0 });
      expect(bytes.equals(copy.subarray(offset, offset + length))).toBe(true);
      if ((flags & 2) !== 0) expect(bytes.equals(Buffer.alloc(length))).toBe(true);
    }
  });

  it('an export of 6 PiB: numbers stay exact; one of 8 EiB is refused', async () => {
    await using large = await startNbdkit({ plugin: 'pattern', parameters: ['6P'] });
    await expectFacts(large.uri);
    await using nbd = await connect(large.uri);
    const offset = 6 * 2 ** 50 - 16;
    expect((await nbd.read(offset, 16)).readBigUInt64BE(8)).toBe(BigInt(offset) + 8n);
    await using larger = await startNbdkit({ plugin: 'pattern', parameters: ['7E'] });
    for (const refused of await rejections(connect(larger.uri), exportInfo(larger.uri)))
      expect(refused.message).toMatch(/addresses 2\^53 - 1 at most/);
  });

  it('more than it takes at once is cut into pieces', async () => {
    await using server = await startNbdkit({ plugin: 'pattern', parameters: ['1G'] });
    await using nbd = await connect(server.uri);
    const bytes = await nbd.read(8, 70 * MIB);
    for (const at of [0, 40 * MIB, 69 * MIB]) expect(bytes.readBigUInt64BE(at)).toBe(BigInt(8 + at));
    expect(nbd.statistics.requests).toBeGreaterThan(1);
    await using memory = await startNbdkit({ plugin: 'memory', parameters: ['10G'] });
    await using other = await connect(memory.uri, { metaContexts: [ALLOCATION] });
    await other.write(MIB, Buffer.alloc(70 * MIB, 5));
    await other.write(9 * GIB, Buffer.from('end'));
    await other.writeZeroes(2 * MIB, 8 * GIB);
    expect((await other.read(2 * MIB - 1, 2)).equals(Buffer.from([5, 0]))).toBe(true);
    expect((await other.read(9 * GIB, 3)).toString()).toBe('end');
    expect(await collect(other.extents(ALLOCATION, { end: 4 * MIB }))).toHaveLength(3);
    await expectMaps(memory.uri, other);
  });

  it('exports by name: listed, described, told apart, and refused when unknown', async () => {
    const names = ['exportname=a', 'exportname=b c', 'exportname-list=explicit', 'exportname-strict=true'];
    await using server = await startNbdkit({
      plugin: 'memory',
      parameters: ['1M', ...names, 'exportdesc=fixed:hello'],
      filters: ['exportname'],
    });
    expect(await listExports(server.uri)).toEqual([
      { name: 'a', description: 'hello' },
      { name: 'b c', description: 'hello' },
    ]);
    await expectFacts(server.uriOf('b c'));
    await using nbd = await connect(server.uriOf('b c'));
    await expectBytes(nbd, Buffer.alloc(MIB));
    const unknown = [connect(server.uriOf('c')), exportInfo(server.uriOf('c')), connect(server.uri)];
    for (const refused of await rejections(...unknown)) expect(refused).toBeInstanceOf(NbdNegotiationError);
    await using lax = await startNbdkit({
      plugin: 'memory',
      parameters: ['1M', 'exportname=a', 'default-export=a', 'exportdesc=fixed:hello'],
      filters: ['exportname'],
    });
    expect(await exportInfo(lax.uri)).toMatchObject({ name: 'a', description: 'hello', size: MIB });
    await using told = await startNbdkit({ plugin: 'info', parameters: ['exportname'] });
    for (const name of ['x', '/etc/../x', 'ünï côdé', '%41+b', ' ']) {
      await using nbd = await connect(told.uriOf(name));
      expect((await nbd.read(0, nbd.exportSize)).toString()).toBe(name);
    }
  });

  it('a folder of files is a list of exports', async () => {
    await using server = await startNbdkit({
      plugin: 'file',
      parameters: [`dir=${new URL('.', import.meta.url).pathname}`],
    });
    const names = (await listExports(server.uri)).map(({ name }) => name);
    expect(names).toContain('nbd-nbdkit.test.ts');
    await using nbd = await connect(server.uriOf('nbd-nbdkit.test.ts'));
    await expectBytes(nbd, readFileSync(new URL(import.meta.url)));
  });

  it('connections: a pool where they share what is written, one where not', async () => {
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['12M'] });
    await using pool = await connectPool(server.uri, { connections: 4 });
    expect(pool.connections).toHaveLength(4);
    const content = pattern(12 * MIB);
    await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        pool.write(index * MIB, content.subarray(index * MIB, (index + 1) * MIB)),
      ),
    );
    for (const connection of pool.connections) await expectBytes(connection, content);
    for (const parameters of [['multi-conn-mode=disable'], []]) {
      const filters = parameters.length === 0 ? ['noparallel'] : ['multi-conn'];
      await using alone = await startNbdkit({
        plugin: 'memory',
        parameters: ['12M', ...(parameters.length === 0 ? ['serialize=connections'] : parameters)],
        filters,
      });
      await using one = await connectPool(alone.uri, { connections: 4 });
      expect(one.connections).toHaveLength(1);
    }
  });

  it('a server that turns everybody away', async () => {
    const denied = { plugin: 'memory', parameters: ['1M', 'deny=all'], filters: ['ip'] };
    await using server = await startNbdkit({ ...denied, transport: 'tcp' });
    await expect(connect(server.uri)).rejects.toMatchObject({ code: 'ERR_NBD_CONNECT' });
    await using full = await startNbdkit({
      plugin: 'memory',
      parameters: ['1M', 'limit=1'],
      filters: ['limit'],
    });
    await using first = await connect(full.uri);
    expect((await first.read(0, 512)).length).toBe(512);
    await expect(connect(full.uri)).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_NBD_(CONNECT|NEGOTIATION)/) as string,
    });
  });

  it('the largest and the smallest: nothing, and an empty export', async () => {
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['0'] });
    await expectFacts(server.uri);
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    expect(nbd.exportSize).toBe(0);
    expect(await collect(nbd.extents(ALLOCATION))).toEqual([]);
    expect((await nbd.read(0, 0)).length).toBe(0);
    expect(await rejection(nbd.read(0, 1))).toBeInstanceOf(NbdUsageError);
    expect(await collect(nbd.createReadStream())).toEqual([]);
  });

  it('a full disk is ENOSPC for what is written, and only for that', async () => {
    await using server = await startNbdkit({ plugin: 'full', parameters: ['1M'], exportName: 'vda' });
    await using nbd = await connect(server.uri);
    const failure = await rejection(nbd.write(64 * KIB, Buffer.alloc(KIB)));
    expect(failure).toBeInstanceOf(NbdCommandError);
    expect(failure).toMatchObject({
      ...{ errnoName: 'ENOSPC', command: 'NBD_CMD_WRITE', exportName: 'vda', offset: 64 * KIB, length: KIB },
    });
    expect(failure.message).toMatch(
      /NBD_CMD_WRITE of 1024 bytes at 65536 of export "vda" failed with ENOSPC/,
    );
    await expectBytes(nbd, Buffer.alloc(MIB));
  });
});
