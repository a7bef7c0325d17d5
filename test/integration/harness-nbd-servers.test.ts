import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  addBitmap,
  commandPath,
  createImage,
  imageIo,
  leftovers,
  makeTemporaryFolder,
  requireServers,
  makePresharedKeys,
  requireQemu10,
  run,
  startNbdkit,
  startQemuNbd,
  startReferenceServer,
  startStorageDaemon,
  unprivilegedUser,
  type NbdServer,
} from '../harness/index.ts';

const servers = requireServers(
  'qemu-nbd',
  'qemu-img',
  'nbdkit',
  'nbdinfo',
  'nbdcopy',
  'qemu-storage-daemon',
  'nbd-server',
  'psktool',
);
const qemu10 = await requireQemu10();
const MiB = 1024 * 1024;

async function nbdinfo(server: NbdServer, ...args: string[]): Promise<string> {
  return run(commandPath('nbdinfo'), [...args, server.uri]);
}

function accepts(server: NbdServer): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(server.endpoint);
    socket.once('error', () => {
      resolve(false);
    });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

describe.skipIf(servers.skip)(servers.title('NBD server launchers'), () => {
  afterEach(() => {
    expect(leftovers()).toEqual([]);
  });

  test.each(['unix', 'tcp'] as const)('qemu-nbd over %s offers bitmaps', async (transport) => {
    await using folder = makeTemporaryFolder();
    const image = await createImage({ path: join(folder.path, 'a.qcow2'), size: 4 * MiB });
    await addBitmap(image, 'b0');
    await imageIo(image, 'qcow2', ['write -P 7 1M 64k']);
    const server = await startQemuNbd({
      image,
      transport,
      exportName: 'vda',
      bitmaps: ['b0'],
      allocationDepth: true,
    });
    expect(await nbdinfo(server, '--size')).toBe(`${4 * MiB}\n`);
    expect(await nbdinfo(server, '--map=qemu:dirty-bitmap:b0')).toMatch(/1048576\s+65536\s+1\s+dirty/);
    expect(await accepts(server)).toBe(true);
    expect(leftovers()).toContain(`process ${server.pid}: ${commandPath('qemu-nbd')}`);
    await server.stop();
    expect(await accepts(server)).toBe(false);
    expect(server.isRunning).toBe(false);
  });

  test.each(['unix', 'tcp'] as const)('nbdkit over %s with a filter', async (transport) => {
    await using server = await startNbdkit({
      plugin: 'pattern',
      parameters: ['1M', 'error-pread=EIO', 'error-pread-rate=100%'],
      filters: ['error'],
      transport,
    });
    expect(await nbdinfo(server, '--size')).toBe(`${MiB}\n`);
    const read = run(commandPath('nbdcopy'), [server.uri, 'null:']);
    await expect(read).rejects.toThrow(/Input\/output error/);
  });

  test('qemu-storage-daemon serves a throttled node', async () => {
    await using server = await startStorageDaemon({
      args: ['--object', 'throttle-group,id=tg,x-bps-read=8388608'],
      blockdevs: [
        'driver=null-co,node-name=n,size=1048576,read-zeroes=on',
        'driver=throttle,node-name=t,throttle-group=tg,file=n',
      ],
      node: 't',
      exportName: 'vda',
    });
    expect(await nbdinfo(server, '--size')).toBe(`${MiB}\n`);
  });

  test('qemu-storage-daemon serves several nodes and obeys its monitor', async () => {
    await using server = await startStorageDaemon({
      blockdevs: ['driver=null-co,node-name=a,size=1048576', 'driver=null-co,node-name=b,size=2097152'],
      node: 'a',
      exportName: 'first',
      further: [{ node: 'b', exportName: 'second' }],
    });
    expect(await nbdinfo(server, '--size')).toBe(`${MiB}\n`);
    expect(await run(commandPath('nbdinfo'), ['--size', server.uriOf('second')])).toBe(`${2 * MiB}\n`);
    expect(await server.execute('query-block-exports')).toHaveLength(2);
    await expect(server.execute('nonsense')).rejects.toThrow(/nonsense has not been found/);
    await server.execute('nbd-server-stop');
    expect(await accepts(server)).toBe(false);
  });

  test.each(['unix', 'tcp'] as const)(
    'nbd-server over %s, also while a client is served',
    async (transport) => {
      await using folder = makeTemporaryFolder();
      const path = join(folder.path, 'a.raw');
      await createImage({ path, size: MiB, format: 'raw', owner: unprivilegedUser() });
      const server = await startReferenceServer({ transport, exports: [{ name: 'a', path }] });
      expect(await nbdinfo(server, '--size')).toBe(`${MiB}\n`);
      const client = createConnection(server.endpoint);
      const hungUp = new Promise<boolean>((resolve) => client.resume().once('close', resolve));
      await new Promise((resolve) => client.once('data', resolve));
      expect(leftovers()).toContain(`process ${server.pid}: ${commandPath('nbd-server')}`);
      await server.stop();
      expect(await hungUp).toBe(false);
      expect(server.isRunning).toBe(false);
      expect(await accepts(server)).toBe(false);
    },
  );

  test('an nbd-server whose configuration is wrong is an error', async () => {
    const nowhere = startReferenceServer({
      exports: [],
      settings: { certfile: '/nowhere', force_tls: true },
    });
    await expect(nowhere).rejects.toThrow(/nbd-server/);
  });

  test('pre-shared keys, a line for each user', async () => {
    await using folder = makeTemporaryFolder();
    const file = await makePresharedKeys(join(folder.path, 'psk'), 'alice', 'bob');
    expect(readFileSync(file, 'utf8')).toMatch(/^alice:[0-9a-f]{64}\nbob:[0-9a-f]{64}\n$/);
  });

  test.skipIf(qemu10.skip)(qemu10.title('QEMU 10 runs beside the machine’s own QEMU'), async () => {
    await using folder = makeTemporaryFolder();
    const image = await createImage({ path: join(folder.path, 'a.qcow2'), size: MiB });
    await using server = await startQemuNbd({ command: qemu10.command('qemu-nbd'), image });
    expect(await nbdinfo(server, '--size')).toBe(`${MiB}\n`);
    expect(await run(qemu10.command('qemu-storage-daemon'), ['--version'])).toMatch(
      /version (8\.[2-9]|9|\d\d)/,
    );
  });

  test('a server that does not come up is an error that says why', async () => {
    await expect(startQemuNbd({ image: '/nowhere.qcow2' })).rejects.toThrow(/ended at once.*nowhere/s);
    await expect(startNbdkit({ plugin: 'memory' })).rejects.toThrow(/ended at once.*size/s);
  });

  test('a frozen server is ended by its pid', async () => {
    const server = await startNbdkit({ plugin: 'memory', parameters: ['1M'] });
    server.kill('SIGSTOP');
    await server.stop();
    expect(server.isRunning).toBe(false);
  });
});
