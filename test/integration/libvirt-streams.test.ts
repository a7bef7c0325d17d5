import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection, type StorageVolume, type StreamChunk } from 'libvirt-ts-rpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  leftovers,
  type PrivateLibvirtd,
  requireServers,
  startLibvirtd,
  virsh,
  waitUntil,
} from '../harness/index.ts';

const servers = requireServers('libvirtd', 'virsh', 'qemu-system-x86_64');
const MiB = 1024 * 1024;
const SIZE = 64 * MiB;

async function digest(stream: AsyncIterable<unknown>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe.skipIf(servers.skip)(servers.title('streams of a real daemon'), () => {
  let libvirtd: PrivateLibvirtd;
  let libvirt: Connection;
  const content = randomBytes(SIZE);

  async function newVolume(name: string, capacity = SIZE): Promise<StorageVolume> {
    await virsh(libvirtd.uri, 'vol-create-as', 'bulk', name, `${capacity}b`, '--allocation', '0');
    const pool = await libvirt.lookupStoragePoolByName('bulk');
    return pool.storageVolLookupByName(name);
  }

  async function throughVirsh(volume: StorageVolume, ...args: string[]): Promise<Buffer> {
    const path = join(libvirtd.workDir, 'oracle.img');
    await virsh(libvirtd.uri, 'vol-download', volume.name, path, '--pool', 'bulk', ...args);
    return readFileSync(path);
  }

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    await virsh(libvirtd.uri, 'pool-create-as', 'bulk', 'dir', '--target', libvirtd.imagesDir);
    libvirt = await connect(libvirtd.uri);
  });

  afterAll(async () => {
    libvirt.destroy();
    await libvirtd.stop();
    expect(leftovers()).toEqual([]);
  });

  test('what is uploaded is what virsh downloads; what virsh uploads is what is downloaded', async () => {
    const volume = await newVolume('whole');
    expect(volume.key).toBe(join(libvirtd.imagesDir, 'whole'));
    const parts = Array.from({ length: 37 }, (_, index) =>
      content.subarray(Math.floor((index * SIZE) / 37), Math.floor(((index + 1) * SIZE) / 37)),
    );
    await pipeline(Readable.from(parts), await volume.upload());
    expect(digestOf(await throughVirsh(volume))).toBe(digestOf(content));
    expect(await digest(await volume.download())).toBe(digestOf(content));
    expect(await volume.getInfo()).toMatchObject({ type: 0, capacity: SIZE });

    const other = await newVolume('by-virsh');
    const source = join(libvirtd.workDir, 'source.img');
    writeFileSync(source, content);
    await virsh(libvirtd.uri, 'vol-upload', other.name, source, '--pool', 'bulk');
    expect(await digest(await other.download())).toBe(digestOf(content));
  });

  test('a part: offset and length', async () => {
    const volume = await newVolume('part');
    await pipeline(Readable.from([content]), await volume.upload());
    const part = { offset: 3 * MiB + 5, length: 7 * MiB + 3 };
    const expected = content.subarray(part.offset, part.offset + part.length);
    expect(await digest(await volume.download(part))).toBe(digestOf(expected));
    const patch = Buffer.alloc(part.length, 0x5a);
    await pipeline(Readable.from([patch]), await volume.upload(part));
    patch.copy(content.subarray(0), part.offset);
    expect(digestOf(await throughVirsh(volume))).toBe(digestOf(content));
  });

  test('sparse both ways: holes stay holes', async () => {
    const volume = await newVolume('sparse');
    const block = content.subarray(0, MiB);
    const layout: StreamChunk[] = [
      { type: 'hole', length: 8 * MiB },
      { type: 'data', bytes: block },
      { type: 'hole', length: 40 * MiB },
      { type: 'data', bytes: block },
      { type: 'hole', length: 14 * MiB },
    ];
    await pipeline(Readable.from(layout), await volume.upload({ sparse: true }));
    expect(statSync(volume.key).blocks * 512).toBeLessThanOrEqual(3 * MiB);

    const oracle = await throughVirsh(volume, '--sparse');
    expect(oracle).toHaveLength(SIZE);
    expect(await digest(await volume.download())).toBe(digestOf(oracle));
    expect(await digest(await volume.download({ sparse: 'zeroes' }))).toBe(digestOf(oracle));

    const copy = await newVolume('sparse-copy');
    let holes = 0;
    const chunks = async function* (): AsyncGenerator<StreamChunk> {
      for await (const chunk of await volume.download({ sparse: true })) {
        if ((chunk as StreamChunk).type === 'hole') holes += (chunk as { length: number }).length;
        yield chunk as StreamChunk;
      }
    };
    await pipeline(chunks, await copy.upload({ sparse: true }));
    expect(holes).toBe(62 * MiB);
    expect(digestOf(await throughVirsh(copy))).toBe(digestOf(oracle));
    expect(statSync(copy.key).blocks * 512).toBeLessThanOrEqual(3 * MiB);
  });

  test('errors: no such volume, more than fits, an aborted transfer; the connection goes on', async () => {
    const volume = await newVolume('small', MiB);
    const pool = await libvirt.lookupStoragePoolByName('bulk');
    expect(await rejection(pool.storageVolLookupByName('none'))).toMatchObject({
      code: 'ERR_LIBVIRT_NO_STORAGE_VOL',
    });
    const upload = await volume.upload({ length: MiB });
    const failed = rejection(finished(upload));
    upload.write(Buffer.alloc(4 * MiB));
    expect(await failed).toMatchObject({ code: 'ERR_LIBVIRT_SYSTEM_ERROR', int1: 28 });

    const large = await newVolume('aborted');
    await pipeline(Readable.from([content]), await large.upload());
    for (let round = 0; round < 10; round++) {
      const abort = new AbortController();
      const stream = await large.download({ signal: abort.signal });
      if (round % 2 === 0) stream.once('data', () => undefined);
      const reason = new Error('enough');
      const ended = rejection(finished(stream));
      if (round > 4) await delay(round);
      abort.abort(reason);
      expect(await ended).toBe(reason);
    }
    expect(await libvirt.getType()).toBe('QEMU');
  });

  test('eight streams at once, while calls are answered', async () => {
    const volume = await newVolume('many');
    await pipeline(Readable.from([content]), await volume.upload());
    const started = Date.now();
    const streams = Array.from({ length: 8 }, async () => digest(await volume.download()));
    let calls = 0;
    const stop = new AbortController();
    const others = (async (): Promise<void> => {
      while (!stop.signal.aborted) {
        await libvirt.getType({ timeoutMs: 5000 });
        calls++;
      }
    })();
    expect(new Set(await Promise.all(streams))).toEqual(new Set([digestOf(content)]));
    stop.abort();
    await others;
    expect(calls).toBeGreaterThan((Date.now() - started) / 200);
  });

  test('a reader that pauses for longer than the keepalive lasts loses nothing', async () => {
    const volume = await newVolume('slow');
    await pipeline(Readable.from([content]), await volume.upload());
    await using impatient = await connect(libvirtd.uri, { keepalive: { intervalMs: 100, count: 2 } });
    const pool = await impatient.lookupStoragePoolByName('bulk');
    const stream = await (await pool.storageVolLookupByName('slow')).download();
    await delay(1000);
    expect(await digest(stream)).toBe(digestOf(content));
  });

  test('a screenshot of the test driver', async () => {
    await using test = await connect(`test+unix:///default?socket=${libvirtd.socketPath}`);
    const domain = await test.lookupDomainByName('test');
    const { mimeType, data } = await domain.screenshot();
    expect(mimeType).toBe('image/png');
    const path = join(libvirtd.workDir, 'screen.png');
    await virsh(test.uri, 'screenshot', 'test', path);
    expect(await digest(data)).toBe(digestOf(readFileSync(path)));
  });

  test('a daemon that stops answering, is killed, and is restarted in the middle of transfers', async () => {
    const volume = await newVolume('lost', 1024 * MiB);
    await using watchful = await connect(libvirtd.uri, { keepalive: { intervalMs: 100, count: 3 } });
    const pool = await watchful.lookupStoragePoolByName('bulk');
    const stopped = await (await pool.storageVolLookupByName('lost')).download();
    const endOfStopped = rejection(digest(stopped));
    await libvirtd.kill('SIGSTOP');
    expect(await endOfStopped).toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    expect(await watchful.closed).toMatchObject({ reason: 'error' });
    await libvirtd.kill('SIGCONT');

    const upload = await volume.upload();
    const download = await volume.download();
    const ends = [rejection(finished(upload)), rejection(finished(download))];
    upload.write(content);
    let received = 0;
    download.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    await waitUntil(() => received > MiB, 10_000, 'data');
    await libvirtd.kill('SIGKILL');
    for (const error of await Promise.all(ends)) expect(error).toMatchObject({ code: 'ERR_LIBVIRT_CLOSED' });
    await libvirtd.restart();
    await using again = await connect(libvirtd.uri);
    await virsh(libvirtd.uri, 'pool-create-as', 'bulk2', 'dir', '--target', libvirtd.imagesDir).catch(
      () => undefined,
    );
    expect(await again.getType()).toBe('QEMU');
  });
});
