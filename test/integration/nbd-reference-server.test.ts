import { chmodSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
  createImage,
  giveTo,
  leftovers,
  makeTemporaryFolder,
  nbdcopyToFile,
  nbdinfoExport,
  requireServers,
  startReferenceServer,
  type TemporaryFolder,
  unprivilegedUser,
} from '../harness/index.ts';
import {
  ALLOCATION,
  changeEverything,
  expectBytes,
  KIB,
  MIB,
  rejection,
  rejections,
} from './nbd-checks.fixture.ts';

const servers = requireServers('nbd-server', 'qemu-img', 'nbdinfo', 'nbdcopy');

describe.skipIf(servers.skip)(servers.title('nbd-server'), () => {
  let folder: TemporaryFolder;
  const user = unprivilegedUser();
  /** The server makes files of its own beside those it copies on write. */
  let images: string;

  /** A raw image that the server may write. */
  const raw = async (name: string, size: number, pattern?: number): Promise<string> => {
    const fill = pattern === undefined ? [] : [{ pattern, offset: size / 4, length: size / 4 }];
    return createImage({ path: join(images, name), size, format: 'raw', owner: user, fill });
  };

  beforeAll(() => {
    folder = makeTemporaryFolder('nbd');
    images = folder.subfolder('images', user);
  });

  afterAll(() => {
    folder.remove();
    expect(leftovers()).toEqual([]);
  });

  it.each(['tcp', 'unix'] as const)('over %s: several exports, listed and told apart', async (transport) => {
    await using server = await startReferenceServer({
      transport,
      settings: { allowlist: true },
      exports: [
        { name: 'plain', path: await raw('plain.raw', 2 * MIB, 0x31) },
        { name: 'ro', path: await raw('ro.raw', MIB, 0x32), settings: { readonly: true } },
        {
          name: 'full',
          path: await raw('full.raw', 4 * MIB, 0x33),
          settings: { flush: true, fua: true, trim: true, rotational: true },
        },
      ],
    });
    expect((await listExports(server.uri)).map(({ name }) => name)).toEqual(['plain', 'ro', 'full']);
    for (const [name, size, pattern] of [
      ['plain', 2 * MIB, 0x31],
      ['ro', MIB, 0x32],
      ['full', 4 * MIB, 0x33],
    ] as const) {
      await using nbd = await connect(server.uriOf(name));
      const reference = await nbdinfoExport(server.uriOf(name));
      expect(nbd).toMatchObject({
        exportSize: size,
        headerStyle: 'simple',
        canDf: false,
        isReadOnly: reference.is_read_only,
        isRotational: reference.is_rotational,
        canFlush: reference.can_flush,
        canFua: reference.can_fua,
        canTrim: reference.can_trim,
        canZero: reference.can_zero,
        canMultiConn: reference.can_multi_conn,
      });
      const truth = Buffer.alloc(size);
      truth.fill(pattern, size / 4, size / 2);
      await expectBytes(nbd, truth);
    }
    await using full = await connect(server.uriOf('full'));
    expect(full).toMatchObject({ canFlush: true, canFua: true, canTrim: true, isRotational: true });
    await using ro = await connect(server.uriOf('ro'));
    expect(ro.isReadOnly).toBe(true);
    expect(await rejection(ro.write(0, Buffer.alloc(1)))).toBeInstanceOf(NbdUsageError);
  });

  it('what is changed reads back, here and in the file', async () => {
    const path = await raw('rw.raw', 12 * MIB);
    const settings = { flush: true, fua: true, trim: true };
    await using server = await startReferenceServer({ exports: [{ name: 'rw', path, settings }] });
    const content = Buffer.alloc(12 * MIB);
    await using nbd = await connect(server.uri);
    await changeEverything(nbd, content);
    await expectBytes(nbd, content);
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(readFileSync(await nbdcopyToFile(server.uri, join(folder.path, 'copy.raw'))).equals(content)).toBe(
      true,
    );
  });

  it('a large read and a large write go in pieces', async () => {
    const path = await raw('large.raw', 80 * MIB);
    await using server = await startReferenceServer({ exports: [{ name: 'large', path }] });
    await using nbd = await connect(server.uri);
    const bytes = Buffer.alloc(80 * MIB);
    for (let at = 0; at < bytes.length; at += 4096) bytes.writeUInt32BE(at, at);
    await nbd.write(0, bytes);
    expect((await nbd.read(0, 80 * MIB)).equals(bytes)).toBe(true);
    expect(nbd.statistics.requests).toBeGreaterThan(4);
  });

  it('an export made of several files, and changes that are forgotten at the end', async () => {
    const parts = folder.subfolder('parts', user);
    const truth = Buffer.alloc(2 * MIB);
    for (const part of [0, 1]) {
      const path = join(parts, `disk.${part}`);
      writeFileSync(path, truth.subarray(part * MIB, (part + 1) * MIB).fill(0x41 + part));
      giveTo(user, path);
    }
    const path = await raw('cow.raw', 2 * MIB, 0x51);
    const before = readFileSync(path);
    await using server = await startReferenceServer({
      exports: [
        { name: 'parts', path: join(parts, 'disk'), settings: { multifile: true } },
        { name: 'cow', path, settings: { copyonwrite: true } },
      ],
    });
    await using whole = await connect(server.uri);
    await expectBytes(whole, truth);
    await whole.write(MIB - 5, Buffer.from('0123456789'));
    truth.write('0123456789', MIB - 5);
    await expectBytes(whole, truth);
    expect(readFileSync(join(parts, 'disk.1')).toString('latin1', 0, 5)).toBe('56789');
    {
      await using cow = await connect(server.uriOf('cow'));
      await cow.write(MIB, Buffer.alloc(64 * KIB, 9));
      expect((await cow.read(MIB, 512)).equals(Buffer.alloc(512, 9))).toBe(true);
    }
    await using again = await connect(server.uriOf('cow'));
    await expectBytes(again, before);
  });

  it('a pool where the export may have one: each connection is a process of its own', async () => {
    const path = await raw('pool.raw', 12 * MIB);
    await using server = await startReferenceServer({
      exports: [
        { name: 'pool', path, settings: { flush: true } },
        { name: 'alone', path, settings: { copyonwrite: true } },
      ],
    });
    await using pool = await connectPool(server.uri, { connections: 3 });
    expect(pool.connections).toHaveLength(3);
    const content = Buffer.alloc(12 * MIB, 0x6b);
    await Promise.all(
      Array.from({ length: 12 }, (_, index) => pool.write(index * MIB, content.subarray(0, MIB))),
    );
    await pool.flush();
    for (const connection of pool.connections) await expectBytes(connection, content);
    await using alone = await connectPool(server.uriOf('alone'), { connections: 3 });
    expect(alone.connections).toHaveLength(1);
  });

  it('what it cannot do is said, and nothing is made up', async () => {
    const path = await raw('simple.raw', MIB);
    await using server = await startReferenceServer({ exports: [{ name: 'a', path }] });
    // No structured replies, so no contexts; nothing is selected, and asking for extents is a mistake.
    await using nbd = await connect(server.uri, { metaContexts: [ALLOCATION] });
    expect(nbd).toMatchObject({ headerStyle: 'simple', metaContexts: [], canFlush: false, canTrim: false });
    expect(await rejection(nbd.blockStatus(0, 512))).toBeInstanceOf(NbdUsageError);
    expect(() => nbd.extents(ALLOCATION)).toThrow(NbdUsageError);
    expect(await rejection(nbd.flush())).toBeInstanceOf(NbdUsageError);
    expect(await rejection(nbd.write(0, Buffer.alloc(1), { fua: true }))).toBeInstanceOf(NbdUsageError);
    expect(await rejection(listExports(server.uri))).toMatchObject({ reply: 2 ** 31 + 2 }); // by policy
    expect(await exportInfo(server.uri)).toMatchObject({ name: 'a', metaContexts: [], blockSize: undefined });
    for (const refused of await rejections(connect(server.uriOf('b')), connect(server.uriOf(''))))
      expect(refused).toBeInstanceOf(NbdNegotiationError);
  });

  it('a file that shrank: what is gone is an error, never made up; the server can be asked again', async () => {
    const path = await raw('short.raw', MIB, 0x61);
    await using server = await startReferenceServer({ exports: [{ name: 'short', path }] });
    await using nbd = await connect(server.uri);
    const read = nbd.read(256 * KIB, KIB);
    expect((await read).equals(Buffer.alloc(KIB, 0x61))).toBe(true);
    truncateSync(path, 512 * KIB);
    const gone = await rejection(nbd.read(768 * KIB, KIB));
    expect(gone.name).toMatch(/^Nbd(Command|ConnectionClosed)Error$/);
    await using again = await connect(server.uri);
    expect(again.exportSize).toBe(512 * KIB);
    expect((await again.read(256 * KIB, KIB)).equals(Buffer.alloc(KIB, 0x61))).toBe(true);
  });

  it('an export whose file is not there is refused; one that breaks in the opening is a connect error', async () => {
    const frozen = folder.subfolder('frozen', user);
    const path = join(frozen, 'disk.raw');
    await createImage({ path, size: MIB, format: 'raw', owner: user });
    chmodSync(frozen, 0o555); // no place for the file of changes
    try {
      await using server = await startReferenceServer({
        exports: [
          { name: 'missing', path: join(frozen, 'missing.raw') },
          { name: 'broken', path, settings: { copyonwrite: true } },
        ],
      });
      expect(await rejection(connect(server.uri))).toBeInstanceOf(NbdNegotiationError);
      expect(await rejection(connect(server.uriOf('broken')))).toBeInstanceOf(NbdConnectError);
    } finally {
      chmodSync(frozen, 0o755);
    }
  });
});
