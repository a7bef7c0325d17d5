import { readdirSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addBitmap,
  assertSameContent,
  convertToRaw,
  createImage,
  imageIo,
  makeTemporaryFolder,
  requireServers,
  startNbdkit,
  startQemuNbd,
  type TemporaryFolder,
} from '../harness/index.ts';
import { example, exampleJson, interruptedExample } from './commands.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'qemu-io', 'nbdkit');
const MIB = 1024 * 1024;

describe.skipIf(servers.skip)(servers.title('copy-disk and list-extents'), () => {
  let folder: TemporaryFolder;
  let image: string;
  const path = (name: string): string => join(folder.path, name);

  beforeAll(async () => {
    folder = makeTemporaryFolder('copy');
    image = path('disk.qcow2');
    await createImage({ path: image, size: 64 * MIB });
    await imageIo(image, 'qcow2', ['write -P 0x11 0 8M', 'write -P 0x22 32M 4M']);
    await addBitmap(image, 'b0');
    await imageIo(image, 'qcow2', ['write -P 0x33 1M 128k', 'write -z 4M 1M']);
  });

  afterAll(() => {
    folder.remove();
  });

  it.each(['1', '3'])('copies an export to a sparse file over %s connection(s)', async (connections) => {
    await using server = await startQemuNbd({ image });
    const output = path(`copy-${connections}.raw`);
    const result = await exampleJson('copy-disk', [
      server.uri,
      output,
      '--connections',
      connections,
      '--quiet',
    ]);
    expect(result).toMatchObject({ bytes: 11 * MIB, zeroBytes: 53 * MIB, connections: Number(connections) });
    await assertSameContent(output, await convertToRaw(image, path(`truth-${connections}.raw`), {}));
    expect(statSync(output).blocks * 512).toBeLessThanOrEqual(12 * MIB);
  });

  it('copies of the data only the dirty extents of a bitmap', async () => {
    await using server = await startQemuNbd({ image, bitmaps: ['b0'] });
    const output = path('dirty.raw');
    const result = await exampleJson('copy-disk', [server.uri, output, '--context', 'qemu:dirty-bitmap:b0']);
    // What reads as zeroes is copied whatever the bitmap says.
    expect(result).toMatchObject({ bytes: 128 * 1024, zeroBytes: 53 * MIB, extents: 4 });
    const bytes = await readFile(output);
    expect(bytes.length).toBe(64 * MIB);
    expect(bytes.subarray(MIB, MIB + 128 * 1024).equals(Buffer.alloc(128 * 1024, 0x33))).toBe(true);
    expect(bytes.subarray(0, MIB).equals(Buffer.alloc(MIB))).toBe(true);
  });

  it('lists extents as text and as JSON', async () => {
    await using server = await startQemuNbd({ image, bitmaps: ['b0'] });
    const args = [server.uri, '--context', 'qemu:dirty-bitmap:b0'];
    expect(await exampleJson('list-extents', [...args, '--json'])).toEqual([
      { offset: 0, length: MIB, flags: 0, type: 'clean' },
      { offset: MIB, length: 128 * 1024, flags: 1, type: 'dirty' },
      { offset: MIB + 128 * 1024, length: 3 * MIB - 128 * 1024, flags: 0, type: 'clean' },
      { offset: 4 * MIB, length: MIB, flags: 1, type: 'dirty' },
      { offset: 5 * MIB, length: 59 * MIB, flags: 0, type: 'clean' },
    ]);
    const { stdout } = await example('list-extents', [server.uri]);
    expect(stdout).toMatch(/^ +0 +4194304 0 data$/m);
    expect(stdout).toMatch(/hole,zero$/m);
  });

  it('refuses a context the server does not offer, and makes no file', async () => {
    await using server = await startQemuNbd({ image });
    const { code, stderr } = await example('copy-disk', [
      server.uri,
      path('none.raw'),
      '--context',
      'qemu:dirty-bitmap:b9',
    ]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/does not offer the metadata context qemu:dirty-bitmap:b9/),
    ]);
    expect(readdirSync(folder.path).filter((name) => name.includes('none.raw'))).toEqual([]);
  });

  const isThere = (): boolean => readdirSync(folder.path).some((name) => name.includes('broken.raw'));

  it('leaves no file behind after a read error', async () => {
    const parameters = ['64M', 'error-pread=EIO', 'error-pread-rate=100%'];
    await using server = await startNbdkit({ plugin: 'pattern', parameters, filters: ['error'] });
    const { code, stderr } = await example('copy-disk', [server.uri, path('broken.raw')]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/NBD_CMD_READ .* failed with EIO/)]);
    expect(isThere()).toBe(false);
  });

  it('leaves no file behind after a signal', async () => {
    const parameters = ['64M', 'delay-read=100ms'];
    await using server = await startNbdkit({ plugin: 'pattern', parameters, filters: ['delay'] });
    const { code, stderr } = await interruptedExample(
      'copy-disk',
      [server.uri, path('broken.raw')],
      'SIGTERM',
      isThere,
    );
    expect([code, stderr]).toEqual([143, expect.stringMatching(/interrupted by SIGTERM/)]);
    expect(isThere()).toBe(false);
  });
});
