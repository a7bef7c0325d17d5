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
  run,
  startNbdkit,
  startQemuNbd,
  startStorageDaemon,
  type NbdServer,
} from '../harness/index.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'nbdkit', 'nbdinfo', 'nbdcopy', 'qemu-storage-daemon');
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
