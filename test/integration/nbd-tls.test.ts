import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  connectPool,
  exportInfo,
  listExports,
  NbdConnectionClosedError,
  NbdUsageError,
  type Address,
} from 'nbd-ts-client';
import { leftovers, requireServers, startNbdkit } from '../harness/index.ts';
import {
  ALLOCATION,
  changeEverything,
  collect,
  cutShort,
  expectBytes,
  MIB,
  rejection,
} from './nbd-checks.fixture.ts';
import {
  makeTlsBench,
  PSK_SERVERS,
  secured,
  TLS_COMMANDS,
  type TlsBench,
  X509_SERVERS,
} from './nbd-tls.fixture.ts';

const servers = requireServers(...TLS_COMMANDS);
const allowLocalFiles = true;

describe.skipIf(servers.skip)(servers.title('TLS'), () => {
  let bench: TlsBench;

  beforeAll(async () => {
    bench = await makeTlsBench();
  });

  afterAll(() => {
    bench.remove();
    expect(leftovers()).toEqual([]);
  });

  it.each(X509_SERVERS)('%s: certificates on both sides, named by the URI', async (name) => {
    await using server = await bench.start(name, 'x509');
    const uri = secured(server.uri, `tls-certificates=${bench.certificates}`);
    await using nbd = await connect(uri, { allowLocalFiles });
    await expectBytes(nbd, bench.content);
    expect((await listExports(uri, { allowLocalFiles })).length).toBeGreaterThan(0);
    expect((await exportInfo(uri, { allowLocalFiles })).transmissionFlags & 1).toBe(1);
    await using pool = await connectPool(uri, { allowLocalFiles, connections: 2 });
    expect(pool.connections).toHaveLength(2);
    await expectBytes(pool, bench.content);
  });

  it.each(PSK_SERVERS)('%s: a key both know, named by the URI or given', async (name) => {
    await using server = await bench.start(name, 'psk');
    const uri = secured(server.uri, `tls-psk-file=${bench.keyFile}`).replace('//', '//bob@');
    await using nbd = await connect(uri, { allowLocalFiles });
    await expectBytes(nbd, bench.content);
    const given = { address: server.endpoint as Address, exportName: 'vda', tls: bench.keyOf('alice') };
    await using other = await connect(given);
    await expectBytes(other, bench.content);
    expect(await listExports(given)).toHaveLength(1);
  });

  it('qemu-nbd: contexts behind TLS are those without', async () => {
    const metaContexts = [ALLOCATION, 'qemu:dirty-bitmap:b0'];
    await using secure = await bench.start('qemu-nbd', 'x509');
    await using plain = await bench.startPlain('qemu-nbd');
    const uri = secured(secure.uri, `tls-certificates=${bench.certificates}`);
    await using nbd = await connect(uri, { allowLocalFiles, metaContexts });
    await using reference = await connect(plain.uri, { metaContexts });
    expect([...nbd.metaContexts].sort()).toEqual(metaContexts);
    expect(nbd.headerStyle).toBe(reference.headerStyle);
    for (const context of metaContexts) {
      const extents = await collect(nbd.extents(context));
      expect(extents).toEqual(await collect(reference.extents(context)));
      expect(extents.length).toBeGreaterThan(2);
    }
    expect(await exportInfo(uri, { allowLocalFiles })).toEqual(await exportInfo(plain.uri));
  });

  it.each(['qemu-nbd', 'nbdkit'] as const)(
    '%s on a unix socket, where the name has to be given',
    async (name) => {
      await using server = await bench.start(name, 'x509', 'unix');
      const files = `tls-certificates=${bench.certificates}`;
      await using nbd = await connect(secured(server.uri, files, 'tls-hostname=localhost'), {
        allowLocalFiles,
      });
      await expectBytes(nbd, bench.content);
      const nameless = await rejection(connect(secured(server.uri, files), { allowLocalFiles }));
      expect(nameless).toBeInstanceOf(NbdUsageError);
      await using psk = await bench.start(name, 'psk', 'unix');
      await using other = await connect({
        address: psk.endpoint as Address,
        exportName: 'vda',
        tls: bench.keyOf('alice'),
      });
      await expectBytes(other, bench.content);
    },
  );

  it('what is changed behind TLS reads back', async () => {
    const args = ['--tls=require', `--tls-psk=${bench.keyFile}`];
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['12M'], args, transport: 'tcp' });
    await using nbd = await connect({ address: server.endpoint as Address, tls: bench.keyOf('bob') });
    const content = Buffer.alloc(12 * MIB);
    await changeEverything(nbd, content);
    await expectBytes(nbd, content);
  });

  it('a server that offers TLS and does not insist takes both', async () => {
    const args = ['--tls=on', `--tls-psk=${bench.keyFile}`];
    await using server = await startNbdkit({ plugin: 'memory', parameters: ['1M'], args, transport: 'tcp' });
    await using plain = await connect(server.uri);
    await using secure = await connect({ address: server.endpoint as Address, tls: bench.keyOf('bob') });
    await plain.write(0, Buffer.alloc(512, 3));
    await plain.flush();
    expect((await secure.read(0, 512)).equals(Buffer.alloc(512, 3))).toBe(true);
    // What travels in plain text is for everybody to see, what is encrypted is longer than what it says.
    await secure.read(0, MIB);
    expect(secure.statistics.bytesReceived).toBeGreaterThan(MIB);
  });

  it('a server that is killed behind TLS in mid-read ends them all', async () => {
    const args = ['--tls=require', `--tls-psk=${bench.keyFile}`];
    const slow = { plugin: 'memory', parameters: ['64M', 'delay-read=1'], filters: ['delay'] };
    await using server = await startNbdkit({ ...slow, args, transport: 'tcp' });
    await using nbd = await connect({ address: server.endpoint as Address, tls: bench.keyOf('bob') });
    const reads = cutShort(
      Array.from({ length: 16 }, (_, index) => nbd.read(index * MIB, MIB)),
      NbdConnectionClosedError,
    );
    setTimeout(() => {
      server.kill('SIGKILL');
    }, 50);
    expect(new Set(await reads).size).toBe(1);
  });
});
