import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openExistingDisk, openNbdSink } from 'libvirt-ts-backup/transfer';
import {
  faultyImage,
  makeTemporaryFolder,
  type MediaFault,
  requireServers,
  startQemuNbd,
  type TemporaryFolder,
} from '../harness/index.ts';

const MIB = 1024 * 1024;
let folder: TemporaryFolder;

beforeAll(() => {
  folder = makeTemporaryFolder('ns');
});

afterAll(() => {
  folder.remove();
});

function image(name: string, bytes: Buffer): string {
  const path = join(folder.path, name);
  writeFileSync(path, bytes);
  return path;
}

const need = requireServers('qemu-nbd');
describe.skipIf(need.skip)(need.title('an export of qemu-nbd as a sink'), () => {
  it('is written, zeroed, read and flushed', async () => {
    const content = randomBytes(8 * MIB);
    const path = image('write', content);
    await using server = await startQemuNbd({ image: path, format: 'raw', readOnly: false });
    const sink = await openNbdSink(server.uri, 8 * MIB, { compare: true });
    const shared = Buffer.from(new SharedArrayBuffer(3 * MIB)).fill('x');
    await Promise.all([
      sink.write(MIB, shared),
      sink.write(0, Buffer.from('start')),
      sink.zero(5 * MIB + 512, MIB),
    ]);
    const there = Buffer.alloc(10);
    await sink.existing?.readInto(there, 0);
    await sink.finish();
    content.fill('x', MIB, 4 * MIB);
    content.write('start');
    content.fill(0, 5 * MIB + 512, 6 * MIB + 512);
    expect(there.equals(content.subarray(0, 10))).toBe(true);
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  it('is refused when it is read-only, smaller or not there', async () => {
    const path = image('small', Buffer.alloc(MIB));
    {
      await using server = await startQemuNbd({ image: path, format: 'raw' });
      await expect(openNbdSink(server.uri, MIB)).rejects.toMatchObject({
        code: 'ERR_BACKUP_SINK',
        reason: 'denied',
      });
    }
    await using server = await startQemuNbd({ image: path, format: 'raw', readOnly: false });
    await expect(openNbdSink(server.uri, 2 * MIB)).rejects.toMatchObject({ reason: 'size' });
    await expect(openNbdSink(server.uriOf('other'), MIB)).rejects.toMatchObject({ reason: 'failed' });
    const stopped = new Error('enough');
    await expect(openNbdSink(server.uri, MIB, { signal: AbortSignal.abort(stopped) })).rejects.toBe(stopped);
  });

  it.each<[string, Omit<MediaFault, 'errno'>, number]>([
    ['full', { iotype: 'write' }, 28],
    ['failed', { iotype: 'write' }, 5],
    ['failed', { iotype: 'flush' }, 5],
  ])('says %s when %o fails with %i', async (reason, fault, errno) => {
    const path = image('faulty', Buffer.alloc(MIB));
    await using server = await startQemuNbd({
      image: path,
      imageOpts: faultyImage(path, [{ ...fault, errno }]),
      readOnly: false,
    });
    const sink = await openNbdSink(server.uri, MIB);
    const work = async (): Promise<void> => {
      await sink.write(0, Buffer.alloc(4096, 1));
      await sink.finish();
    };
    await expect(work()).rejects.toMatchObject({ code: 'ERR_BACKUP_SINK', reason });
    await sink.discard();
  });

  it('a file that QEMU has opened is not written in place', async () => {
    const path = image('used', Buffer.alloc(MIB));
    await using server = await startQemuNbd({ image: path, format: 'raw', readOnly: false });
    expect(server.isRunning).toBe(true);
    await expect(openExistingDisk(path, MIB)).rejects.toMatchObject({
      reason: 'denied',
      message: expect.stringContaining('locked') as string,
    });
  });
});
