import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, NbdUsageError } from 'nbd-ts-client';
import {
  createImage,
  leftovers,
  makeTemporaryFolder,
  requireServers,
  startQemuNbd,
  type TemporaryFolder,
} from '../harness/index.ts';
import { KIB, MIB, rejection } from './nbd-checks.fixture.ts';

const servers = requireServers('qemu-nbd', 'qemu-img', 'qemu-io');

/** The header of a TRIM of the first MiB, as it stands on the wire. */
function trimRequest(): Buffer {
  const request = Buffer.alloc(28);
  request.writeUInt32BE(0x25609513, 0);
  request.writeUInt16BE(4, 6);
  request.writeUInt32BE(MIB, 24);
  return request;
}

/** Numbers whose memory is that, repeated. */
function trims(): Uint32Array {
  const bytes = Buffer.concat(Array.from({ length: 32 }, trimRequest));
  return new Uint32Array(new Uint8Array(bytes).buffer);
}

describe.skipIf(servers.skip)(
  servers.title('arguments that no compiler has seen, at a real qemu-nbd'),
  () => {
    let folder: TemporaryFolder;
    let image: string;

    beforeAll(async () => {
      folder = makeTemporaryFolder('nbd');
      image = join(folder.path, 'disk.raw');
      const fill = [{ pattern: 7, offset: 0, length: 4 * MIB }];
      await createImage({ path: image, size: 4 * MIB, format: 'raw', fill });
    });

    afterAll(() => {
      folder.remove();
      expect(leftovers()).toEqual([]);
    });

    it('values of a request are never carried out as requests; the connection and its neighbours go on', async () => {
      await using server = await startQemuNbd({
        image,
        format: 'raw',
        readOnly: false,
        args: ['--discard=unmap'],
      });
      await using nbd = await connect(server.uri);
      const given = Uint8Array.from(new Uint8Array(trims().buffer));
      const neighbours = [nbd.write(2 * MIB, Buffer.alloc(KIB, 9)), nbd.read(3 * MIB, KIB)];
      const late = rejection(nbd.write(MIB, given));
      structuredClone(given.buffer, { transfer: [given.buffer] });
      const wrong: readonly unknown[] = [
        trims(),
        new Uint16Array(trims().buffer),
        [...trims()],
        trims().buffer,
      ];
      for (const value of wrong) {
        const bytes = value as Uint8Array;
        expect(await rejection(nbd.write(MIB, bytes))).toBeInstanceOf(NbdUsageError);
        expect(await rejection(nbd.readInto(bytes, 0))).toBeInstanceOf(NbdUsageError);
      }
      expect(await late).toBeInstanceOf(NbdUsageError);
      await Promise.all(neighbours);
      await nbd.flush();
      expect((await nbd.read(0, 2 * MIB)).equals(Buffer.alloc(2 * MIB, 7))).toBe(true);
      await nbd.close();
      const content = readFileSync(image);
      expect(content.subarray(0, 2 * MIB).equals(Buffer.alloc(2 * MIB, 7))).toBe(true);
      expect(content.subarray(2 * MIB, 2 * MIB + KIB).equals(Buffer.alloc(KIB, 9))).toBe(true);
    });

    it('shared memory of a fixed length is read into and written from', async () => {
      await using server = await startQemuNbd({ image, format: 'raw', readOnly: false });
      await using nbd = await connect(server.uri);
      const bytes = new Uint8Array(new SharedArrayBuffer(2 * MIB), KIB, MIB).fill(3);
      await nbd.write(3 * MIB, bytes);
      bytes.fill(0);
      await nbd.readInto(bytes, 3 * MIB);
      expect(Buffer.from(bytes).equals(Buffer.alloc(MIB, 3))).toBe(true);
    });
  },
);
