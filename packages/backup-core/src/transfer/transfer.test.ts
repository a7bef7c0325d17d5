import { describe, expect, it } from 'vitest';
import type { LayoutRange } from './layout.ts';
import type { BlockSource } from '../ports/block-source.ts';
import type { Sink } from '../ports/sink.ts';
import { type Chunk, cutToRequests, readChunks } from './chunks.ts';
import { copyRanges } from './copy.ts';
import { BackupUsageError } from '../words/errors.ts';

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

  it('reads small ranges of one batch together, and takes zeroes as they come', async () => {
    const from = source();
    const sink = memorySink();
    const list = Array.from({ length: 128 }, (_, index): LayoutRange => {
      const type = index % 3 === 0 ? 'zero' : 'data';
      return { type, offset: index * 512, length: 512 };
    });
    const result = await copyRanges([from], ranges(...list), sink, { requestBytes: 8192, inFlight: 1 });
    expect(from.probe.most).toBe(16);
    for (const { type, offset, length } of list) {
      const wanted = type === 'zero' ? Buffer.alloc(length) : disk.subarray(offset, offset + length);
      expect(sink.content.subarray(offset, offset + length).equals(wanted), `at ${offset}`).toBe(true);
    }
    expect(result).toEqual({ dataBytes: 85 * 512, zeroBytes: 43 * 512, ranges: 128 });
  });

  /** Answers each read so many milliseconds later, however many wait; from some read on with an error. */
  function distant(milliseconds: number, fail?: { readonly after: number; readonly error: Error }) {
    const near = source();
    let underWay = 0;
    let reads = 0;
    const readInto = async (buffer: Uint8Array, offset: number): Promise<void> => {
      if (fail !== undefined && ++reads > fail.after) throw fail.error;
      near.probe.most = Math.max(near.probe.most, ++underWay);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      await near.readInto(buffer, offset);
      underWay--;
    };
    return { ...near, readInto };
  }

  it('has more requests under way where answers are late without having queued, up to the limit', async () => {
    // A batch of zeroes alone takes no time, and says nothing of the way.
    const zeroes = Array.from({ length: 64 }, (_, index): LayoutRange => {
      return { type: 'zero', offset: index * 16, length: 16 };
    });
    const rest: LayoutRange = { type: 'data', offset: 1024, length: SIZE - 1024 };
    const far = distant(30);
    const sink = memorySink();
    await copyRanges([far], ranges(...zeroes, rest), sink, { requestBytes: 512, inFlight: 6 });
    expect(far.probe.most).toBeGreaterThan(2);
    expect(far.probe.most).toBeLessThanOrEqual(6);
    expect(sink.content.subarray(1024).equals(disk.subarray(1024))).toBe(true);
  });

  it('a failure of a late request is the error, and none goes unhandled', async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    try {
      const error = new Error('EIO');
      const far = distant(20, { after: 5, error });
      const copy = copyRanges([far], ranges(everything), memorySink(), { requestBytes: 512 });
      await expect(copy).rejects.toBe(error);
      await new Promise((resolve) => setTimeout(resolve, 60));
      expect(unhandled).toEqual([]);
      expect(far.probe.active).toBe(0);
    } finally {
      process.off('unhandledRejection', note);
    }
  });

  it.each([{ requestBytes: 0 }, { requestBytes: 1.5 }, { inFlight: 0 }, { inFlight: NaN }, { inflight: 1 }])(
    'refuses %j, which would copy nothing or never end',
    async (options) => {
      await expect(
        copyRanges([source()], ranges(everything), memorySink(), options as object),
      ).rejects.toThrow(BackupUsageError);
    },
  );

  it('refuses to copy from nowhere', async () => {
    await expect(copyRanges([], ranges(everything), memorySink())).rejects.toThrow(BackupUsageError);
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
