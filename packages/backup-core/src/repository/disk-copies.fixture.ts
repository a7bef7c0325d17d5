import type { BlockSource } from '../ports/block-source.ts';
import type { SinkRange } from '../ports/sink.ts';
import { copyRanges } from '../transfer/copy.ts';
import type { BaseTree } from './tree/builder.ts';
import { DiskReader } from './tree/disk-reader.ts';
import { DiskWriter, type WrittenDisk } from './tree/disk-writer.ts';
import type { TreeStore } from './tree/tree-store.ts';

/** A disk that is a buffer. Answers take turns, so that they do not come in order. */
export function bufferSource(disk: Buffer): BlockSource {
  let turn = 0;
  return {
    exportSize: disk.length,
    metaContexts: [],
    statistics: { readBytesRequested: 0 },
    read: (offset, length) => Promise.resolve(Buffer.from(disk.subarray(offset, offset + length))),
    readInto: async (buffer, offset) => {
      for (let turns = turn++ % 3; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      buffer.set(disk.subarray(offset, offset + buffer.length));
    },
    blockStatus: () => Promise.reject(new Error('not used')),
    close: () => Promise.resolve(),
    destroy: () => undefined,
  };
}

/** Ranges as a layout gives them. */
export async function* rangesOf(list: Iterable<SinkRange>): AsyncGenerator<SinkRange, void, undefined> {
  for (const range of list) yield await Promise.resolve(range);
}

/** Stores ranges of a disk and makes them readable. */
export async function storeDisk(
  store: TreeStore,
  disk: Buffer,
  ranges: Iterable<SinkRange>,
  options: { readonly base?: BaseTree | undefined; readonly maxPackBytes?: number | undefined } = {},
): Promise<WrittenDisk> {
  const packs = store.createPackWriter({ maxBytes: options.maxPackBytes });
  const writer = await DiskWriter.open(store, { packs, size: disk.length, base: options.base });
  await copyRanges([bufferSource(disk)], rangesOf(ranges), writer, { requestBytes: 4 * 65536, inFlight: 4 });
  const written = await writer.finish();
  await packs.seal();
  return written;
}

/** The whole of a stored disk. */
export async function readDisk(store: TreeStore, tree: BaseTree): Promise<Buffer> {
  const reader = new DiskReader(store, tree);
  const disk = Buffer.alloc(tree.size);
  for await (const { type, offset, length } of reader.extents())
    if (type === 'data') disk.set(await reader.read(offset, length), offset);
  return disk;
}
