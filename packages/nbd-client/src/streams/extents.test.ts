import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { Extent } from '../commands/command.ts';
import { connect } from '../connect.ts';
import { NbdProtocolError } from '../errors.ts';
import { eachExtent, iterateExtentBatches } from './extents.ts';
import { FakeServer, type Script } from '../fake-server.fixture.ts';
import { NBD_CMD, NBD_REPLY_TYPE } from '../protocol/constants.ts';
import { chunk, extendedChunk, type Request } from '../wire.fixture.ts';

const CONTEXT = 'qemu:dirty-bitmap:b';
const TIB = 2 ** 40;
const EXTENT_BYTES = 2 ** 24;
/** As many as QEMU puts into one reply. */
const EXTENTS_PER_REPLY = 2 ** 17;

/** 2^20 extents of 16 MiB, every other one dirty. */
function sixteenTebibytes(extended: boolean): Script {
  const status = (request: Request): Buffer => {
    const extentsBytes = extended ? 16 : 8;
    const headerBytes = extended ? 8 : 4;
    const count = Math.min(EXTENTS_PER_REPLY, Math.ceil(request.length / EXTENT_BYTES));
    const body = Buffer.alloc(headerBytes + count * extentsBytes);
    body.writeUInt32BE(1, 0);
    if (extended) body.writeUInt32BE(count, 4);
    for (let index = 0; index < count; index++) {
      const at = headerBytes + index * extentsBytes + (extended ? 4 : 0);
      body.writeUInt32BE(EXTENT_BYTES, at);
      body.writeUInt32BE((request.offset / EXTENT_BYTES + index) % 2, at + (extended ? 8 : 4));
    }
    return extended
      ? extendedChunk(request, NBD_REPLY_TYPE.BLOCK_STATUS_EXT, body)
      : chunk(request, NBD_REPLY_TYPE.BLOCK_STATUS, body);
  };
  return {
    size: BigInt(16 * TIB),
    extended,
    request: (request) => (request.type === NBD_CMD.BLOCK_STATUS ? status(request) : undefined),
  };
}

/** Live bytes on the heap and in buffers, garbage collected. */
function liveBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

describe('16 TiB', { timeout: 120_000 }, () => {
  it.each([
    // The first reply brings 131,072, as many as one may; the others then 8,192 each.
    ['extended', true, 1 + 112],
    ['structured', false, 4097], // at most 4 GiB each
  ])(
    'in 2^20 extents, with %s headers: all of them, in memory that stays flat',
    async (_title, extended, replies) => {
      await using server = await FakeServer.start(sixteenTebibytes(extended));
      await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
      const before = liveBytes();
      let most = 0;
      let count = 0;
      let offset = 0;
      for await (const extent of nbd.extents(CONTEXT)) {
        if (extent.offset !== offset || extent.flags !== count % 2) expect.fail(`extent ${count} is wrong`);
        offset += extent.length;
        if (++count % 2 ** 17 === 2 ** 16) most = Math.max(most, liveBytes());
      }
      expect([count, offset]).toEqual([2 ** 20, 16 * TIB]);
      expect(server.requests.length).toBe(replies);
      // One reply of 2^17 extents is about 20 MiB as objects; all 2^20 of them would be well over 100 MiB.
      expect(most - before).toBeLessThan(64 * 2 ** 20);
    },
  );

  it('left in the middle asks no further', async () => {
    await using server = await FakeServer.start(sixteenTebibytes(true));
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    let count = 0;
    for await (const { length } of nbd.extents(CONTEXT)) {
      expect(length).toBe(EXTENT_BYTES);
      if (++count === 1000) break;
    }
    expect(server.requests.length).toBe(1);
    await nbd.close();
  });

  it('aborted in the middle rejects with the reason, and the connection goes on', async () => {
    await using server = await FakeServer.start(sixteenTebibytes(true));
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    const abort = new AbortController();
    const reason = new Error('enough');
    let count = 0;
    const walk = async (): Promise<void> => {
      for await (const { length } of nbd.extents(CONTEXT, { signal: abort.signal }))
        if (length > 0 && ++count === 2 ** 18 + 5) abort.abort(reason);
    };
    await expect(walk()).rejects.toBe(reason);
    expect(count).toBeLessThanOrEqual(2 ** 19);
    expect(await nbd.read(16 * TIB - 512, 512)).toHaveLength(512);
  });
});

describe('a walk through extents', () => {
  const collect = async (extents: AsyncIterable<Extent>): Promise<Extent[]> => {
    const all: Extent[] = [];
    for await (const extent of extents) all.push(extent);
    return all;
  };
  const range = { start: 0, end: 4096, windowBytes: 4096, alignment: 512 };

  it('an answer that ends within a block is continued from that block on', async () => {
    const asked: [number, number][] = [];
    const ask = (offset: number, length: number): Promise<ReadonlyMap<string, Extent[]>> => {
      asked.push([offset, length]);
      const extents =
        offset === 0
          ? [{ offset: 0, length: 700, flags: 1 }]
          : [
              { offset: 512, length: 188, flags: 1 },
              { offset: 700, length: 3396, flags: 0 },
            ];
      return Promise.resolve(new Map([['x:y', extents]]));
    };
    expect(await collect(eachExtent(iterateExtentBatches(ask, 'x:y', range)))).toEqual([
      { offset: 0, length: 700, flags: 1 },
      { offset: 700, length: 3396, flags: 0 },
    ]);
    expect(asked).toEqual([
      [0, 4096],
      [512, 3584],
    ]);
  });

  it('an answer that brings nothing new is an error, not an endless loop', async () => {
    const ask = (): Promise<ReadonlyMap<string, Extent[]>> =>
      Promise.resolve(new Map([['x:y', [{ offset: 0, length: 100, flags: 1 }]]]));
    await expect(collect(eachExtent(iterateExtentBatches(ask, 'x:y', range)))).rejects.toThrow(
      NbdProtocolError,
    );
  });

  it('of an empty export has none', async () => {
    await using server = await FakeServer.start({ size: 0n });
    await using nbd = await connect(server.endpoint, { metaContexts: [CONTEXT] });
    expect(await collect(nbd.extents(CONTEXT))).toEqual([]);
  });
});
