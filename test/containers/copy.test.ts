import { randomFillSync } from 'node:crypto';
import { chmodSync, statSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, connectPool, listExports, NbdTlsError } from 'nbd-ts-client';
import { exampleJson } from '../e2e/commands.ts';
import { makeCertificates } from '../harness/nbd-certificates.ts';
import { addBitmap, assertSameContent, convertToRaw, imageIo, run } from '../harness/index.ts';
import { type ContainerBench, openBench } from './bench.ts';
import { requireContainers } from './engine.ts';

const containers = await requireContainers(
  'qemu-nbd',
  'qemu-storage-daemon',
  'qemu-img',
  'qemu-io',
  'certtool',
);
const MIB = 1024 * 1024;
const SIZE = 64 * MIB;

describe.skipIf(containers.skip)(containers.title('copies out of containers'), () => {
  let bench: ContainerBench;
  const path = (name: string): string => bench.path(name);

  beforeAll(async () => {
    bench = await openBench(containers.engine);
    await writeDisk(path('disk.raw'), [0, 5 * MIB + 4096, 40 * MIB, SIZE - MIB]);
    await writeDisk(path('other.raw'), [MIB, 20 * MIB]);
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', path('disk.raw'), path('disk.qcow2')]);
    await addBitmap(path('disk.qcow2'), 'b0');
    await imageIo(path('disk.qcow2'), 'qcow2', ['write -P 0x33 3M 192k', 'write -z 40M 1M']);
    await addBitmap(path('disk.qcow2'), 'b1');
    await imageIo(path('disk.qcow2'), 'qcow2', ['write -P 0x44 50M 64k']);
    await convertToRaw(path('disk.qcow2'), path('qcow2-truth.raw'));
  });

  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
  });

  it.each(['1', '3'])('a raw disk with copy-disk over %s connection(s)', async (connections) => {
    await using server = await bench.startQemuNbd('-f', 'raw', '/disks/disk.raw');
    const output = path(`raw-${connections}.copy`);
    const result = await exampleJson('copy-disk', [server.uri(), output, '--connections', connections]);
    expect(result).toMatchObject({ connections: Number(connections) });
    await assertSameContent(output, path('disk.raw'));
    expect(statSync(output).blocks * 512).toBeLessThan(SIZE / 2); // holes stay holes
  });

  it('a raw disk with the client alone, through the port and straight from the container', async () => {
    await using server = await bench.startQemuNbd('-f', 'raw', '-x', 'disk', '/disks/disk.raw');
    const truth = await readFile(path('disk.raw'));
    for (const uri of [server.uri('disk'), server.directUri('disk')]) {
      await using pool = await connectPool(uri, { connections: 2 });
      expect(pool.exportSize).toBe(SIZE);
      for (let offset = 0; offset < SIZE; offset += 4 * MIB) {
        const bytes = await pool.read(offset, 4 * MIB);
        expect(bytes.equals(truth.subarray(offset, offset + 4 * MIB)), `at ${offset}`).toBe(true);
      }
    }
  });

  it('a qcow2 disk and the dirty extents of two bitmaps', async () => {
    await using server = await bench.startQemuNbd('-f', 'qcow2', '-B', 'b0', '-B', 'b1', '/disks/disk.qcow2');
    const whole = path('qcow2.copy');
    await exampleJson('copy-disk', [server.uri(), whole]);
    await assertSameContent(whole, path('qcow2-truth.raw'));

    const contexts = ['qemu:dirty-bitmap:b0', 'qemu:dirty-bitmap:b1'] as const;
    await using nbd = await connect(server.uri(), { metaContexts: contexts });
    const dirty = async (context: string): Promise<{ offset: number; length: number }[]> => {
      const found = [];
      for await (const { offset, length, flags } of nbd.extents(context))
        if (flags !== 0) found.push({ offset, length });
      return found;
    };
    const later = { offset: 50 * MIB, length: 64 * 1024 };
    const written = { offset: 3 * MIB, length: 192 * 1024 };
    expect(await dirty(contexts[0])).toEqual([written, { offset: 40 * MIB, length: MIB }, later]);
    expect(await dirty(contexts[1])).toEqual([later]);

    // Dirty extents over an older copy make the newer one, zeroed ones included.
    const increment = path('increment.copy');
    const result = await exampleJson('copy-disk', [server.uri(), increment, '--context', contexts[0]]);
    // What reads as zeroes is copied whatever the bitmap says.
    await using allocation = await connect(server.uri(), { metaContexts: ['base:allocation'] });
    let zeroBytes = 0;
    for await (const { length, flags } of allocation.extents('base:allocation'))
      if ((flags & 2) !== 0) zeroBytes += length;
    expect(zeroBytes).toBeGreaterThan(MIB);
    expect(result).toMatchObject({ bytes: 256 * 1024, zeroBytes });
    await patch(path('disk.raw'), increment, await dirty(contexts[0]), path('patched.raw'));
    await assertSameContent(path('patched.raw'), path('qcow2-truth.raw'));
  });

  it('a disk behind TLS, for those with a certificate', async () => {
    const certificates = await makeCertificates(path('pki'));
    const strangers = await makeCertificates(path('strangers'));
    for (const name of ['server-key.pem', 'server-cert.pem', 'ca-cert.pem'])
      chmodSync(`${certificates}/${name}`, 0o644); // the server is nobody
    const credentials = 'tls-creds-x509,id=t,endpoint=server,dir=/disks/pki,verify-peer=yes';
    const tls = ['--object', credentials, '--tls-creds', 't'];
    await using server = await bench.startQemuNbd(...tls, '-f', 'raw', '/disks/disk.raw');
    const secure = (parameters: string): string =>
      `${server.uri().replace('nbd:', 'nbds:')}?tls-hostname=localhost&${parameters}`;
    const output = path('tls.copy');
    await exampleJson('copy-disk', [secure(`tls-certificates=${certificates}`), output]);
    await assertSameContent(output, path('disk.raw'));

    await using nbd = await connect(secure(`tls-certificates=${certificates}`), { allowLocalFiles: true });
    expect(nbd.exportSize).toBe(SIZE);
    await expect(connect(secure(`tls-certificates=${strangers}`), { allowLocalFiles: true })).rejects.toThrow(
      NbdTlsError,
    );
    await expect(connect(server.uri())).rejects.toThrow(/TLS_REQD/);
  });

  it('several exports of one container, and several containers at a time', async () => {
    const blockdev = (node: string, file: string): string[] => [
      '--blockdev',
      `driver=raw,node-name=${node},read-only=on,file.driver=file,file.filename=/disks/${file}`,
      '--export',
      `type=nbd,id=${node},node-name=${node},name=${node}`,
    ];
    await using daemon = await bench.start(
      'qemu-storage-daemon',
      '--nbd-server',
      'addr.type=inet,addr.host=0.0.0.0,addr.port=10809,max-connections=0',
      ...blockdev('vda', 'disk.raw'),
      ...blockdev('vdb', 'other.raw'),
    );
    await using nbd = await bench.startQemuNbd('-f', 'qcow2', '/disks/disk.qcow2');
    const exports = await listExports(daemon.uri());
    expect(exports.map(({ name }) => name).sort()).toEqual(['vda', 'vdb']);
    const copies = [
      { uri: daemon.uri('vda'), output: path('vda.copy'), truth: path('disk.raw') },
      { uri: daemon.uri('vdb'), output: path('vdb.copy'), truth: path('other.raw') },
      { uri: nbd.uri(), output: path('third.copy'), truth: path('qcow2-truth.raw') },
    ];
    await Promise.all(copies.map(({ uri, output }) => exampleJson('copy-disk', [uri, output])));
    for (const { output, truth } of copies) await assertSameContent(output, truth);
  });
});

/** A raw disk with 3 MiB of noise at each offset (cut off at its end) and holes between. */
async function writeDisk(path: string, offsets: readonly number[]): Promise<void> {
  await using file = await open(path, 'wx', 0o644);
  await file.truncate(SIZE);
  for (const offset of offsets) {
    const noise = randomFillSync(Buffer.alloc(Math.min(3 * MIB, SIZE - offset)));
    await file.write(noise, 0, noise.length, offset);
  }
}

/** Copies `base` to `target` and puts the ranges of `increment` over it. */
async function patch(
  base: string,
  increment: string,
  ranges: readonly { offset: number; length: number }[],
  target: string,
): Promise<void> {
  const bytes = await readFile(base);
  const newer = await readFile(increment);
  for (const { offset, length } of ranges) newer.copy(bytes, offset, offset, offset + length);
  await using file = await open(target, 'wx');
  await file.writeFile(bytes);
}
