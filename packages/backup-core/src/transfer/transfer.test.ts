import { describe, expect, it } from 'vitest';
import type { LayoutRange } from '../extents/layout.ts';
import type { BlockSource } from '../ports/block-source.ts';
import type { Sink } from '../sinks/sink.ts';
import { type Chunk, cutToRequests, readChunks } from './chunks.ts';
import { copyRanges } from './copy.ts';

const SIZE = 64 * 1024;
const disk = Buffer.from(Array.from({ length: SIZE }, (_, index) => (index * 7) % 251));

interface Probe {
  active: number;
  most: number;
  reads: [number, number][];
  destroyed: boolean;
}

function source(fail?: (offset: number) => Error | undefined): BlockSource & { probe: Probe } {
  const probe: Probe = { active: 0, most: 0, reads: [], destroyed: false };
  const read = async (offset: number, length: number): Promise<Buffer> => {
    probe.most = Math.max(probe.most, ++probe.active);
    probe.reads.push([offset, length]);
    // Later reads are faster: order must not depend on it.
    await new Promise((resolve) => setTimeout(resolve, offset === 0 ? 5 : 1));
    probe.active--;
    const error = probe.destroyed ? new Error('destroyed') : fail?.(offset);
    if (error !== undefined) throw error;
    return Buffer.from(disk.subarray(offset, offset + length));
  };
  return {
    probe,
    exportSize: SIZE,
    metaContexts: [],
    statistics: { readBytesRequested: 0 },
    read,
    readInto: async (buffer, offset) => {
      buffer.set(await read(offset, buffer.length));
    },
    blockStatus: () => Promise.reject(new Error('not used')),
    close: () => Promise.resolve(),
    destroy: () => {
      probe.destroyed = true;
    },
  };
}

async function* ranges(...list: LayoutRange[]): AsyncGenerator<LayoutRange, void, undefined> {
  for (const range of list) yield await Promise.resolve(range);
}

const everything: LayoutRange = { type: 'data', offset: 0, length: SIZE };

function memorySink(): Sink & { content: Buffer } {
  const content = Buffer.alloc(SIZE, 0xff);
  return {
    content,
    write(offset, bytes) {
      content.set(bytes, offset);
      return Promise.resolve();
    },
    zero(offset, length) {
      content.fill(0, offset, offset + length);
      return Promise.resolve();
    },
    finish: () => Promise.resolve(),
    discard: () => Promise.resolve(),
  };
}

describe('readChunks', () => {
  it('yields in order, with no more than the window under way', async () => {
    const from = source();
    const chunks: Chunk[] = [];
    const zero: LayoutRange = { type: 'zero', offset: 8192, length: 4096 };
    const all = ranges({ ...everything, length: 8192 }, zero, { type: 'data', offset: 12288, length: 20000 });
    for await (const chunk of readChunks(from, all, { requestBytes: 1024, inFlight: 3 })) chunks.push(chunk);
    let next = 0;
    for (const chunk of chunks) {
      expect(chunk.offset).toBe(next);
      if (chunk.type === 'data')
        expect(Buffer.from(chunk.bytes).equals(disk.subarray(next, next + chunk.bytes.length))).toBe(true);
      next += chunk.type === 'data' ? chunk.bytes.length : chunk.length;
    }
    expect(next).toBe(32288);
    expect(from.probe.most).toBe(3);
  });

  it('issues nothing more while the consumer is busy, and settles what is under way when it stops', async () => {
    const from = source();
    for await (const chunk of readChunks(from, ranges(everything), { requestBytes: 1024, inFlight: 4 })) {
      expect(chunk.offset).toBe(0);
      await new Promise((resolve) => setTimeout(resolve, 30));
      expect(from.probe.reads.length).toBeLessThanOrEqual(5);
      break;
    }
    expect(from.probe.active).toBe(0);
  });

  it('fails with the read that failed', async () => {
    const error = new Error('EIO');
    const from = source((offset) => (offset === 4096 ? error : undefined));
    const read = async (): Promise<number> => {
      let bytes = 0;
      for await (const chunk of readChunks(from, ranges(everything), { requestBytes: 1024 }))
        bytes += chunk.type === 'data' ? chunk.bytes.length : 0;
      return bytes;
    };
    await expect(read()).rejects.toBe(error);
    expect(from.probe.active).toBe(0);
  });
});

describe('cutToRequests', () => {
  it('cuts at multiples of the request and leaves zeroes whole', async () => {
    const cut: LayoutRange[] = [];
    const all = ranges(
      { type: 'data', offset: 1000, length: 2000 },
      { type: 'zero', offset: 3000, length: 9000 },
    );
    for await (const range of cutToRequests(all, 1024)) cut.push(range);
    expect(cut.map(({ type, offset, length }) => [type, offset, length])).toEqual([
      ['data', 1000, 24],
      ['data', 1024, 1024],
      ['data', 2048, 952],
      ['zero', 3000, 9000],
    ]);
  });
});

describe('copyRanges', () => {
  it('copies everything from several sources, each with its window', async () => {
    const sources = [source(), source()];
    const sink = memorySink();
    const seen: number[] = [];
    const onProgress = ({ dataBytes }: { dataBytes: number }): void => void seen.push(dataBytes);
    const result = await copyRanges(sources, ranges(everything), sink, {
      requestBytes: 1024,
      inFlight: 2,
      onProgress,
    });
    expect(result).toEqual({ dataBytes: SIZE, zeroBytes: 0, ranges: 1 });
    expect(sink.content.equals(disk)).toBe(true);
    expect(seen.at(-1)).toBe(SIZE);
    for (const { probe } of sources) {
      expect(probe.most).toBe(2);
      expect(probe.reads.length).toBeGreaterThan(10);
    }
  });

  it('stops at the first failure, of a read or of the sink', async () => {
    const error = new Error('EIO');
    const from = source((offset) => (offset >= 4096 ? error : undefined));
    await expect(copyRanges([from], ranges(everything), memorySink(), { requestBytes: 1024 })).rejects.toBe(
      error,
    );
    expect(from.probe.active).toBe(0);
    expect(from.probe.reads.length).toBeLessThan(30);
    const full = { ...memorySink(), write: () => Promise.reject(error) };
    await expect(copyRanges([source()], ranges(everything), full, { requestBytes: 1024 })).rejects.toBe(
      error,
    );
  });

  it('on an abort drops the connections and rejects with the reason', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const from = source((offset) => {
      if (offset === 2048) abort.abort(reason);
      return undefined;
    });
    const copy = copyRanges([from], ranges(everything), memorySink(), {
      requestBytes: 1024,
      signal: abort.signal,
    });
    await expect(copy).rejects.toBe(reason);
    expect(from.probe.destroyed).toBe(true);
    expect(from.probe.active).toBe(0);
  });
});
