import { type FileHandle, open } from 'node:fs/promises';
import { DamagedError, messageOf } from '../words/errors.ts';
import type { Sink } from '../ports/sink.ts';
import type { DomainStore } from './domain-store.ts';
import { sha256 } from '../adapters/folder/durable.ts';
import type { Point, StoredDisk } from './manifest.ts';
import { type LayerRuns, resolveLayers } from './resolve.ts';
import { checkRuns, readRuns, type Run } from './runs.ts';

/** One point's share of a disk. */
export interface Layer {
  readonly pointId: string;
  readonly disk: StoredDisk;
}

export interface RestoreProgress {
  /** Bytes of the disk that are dealt with, out of `size`. */
  readonly offset: number;
  readonly size: number;
}

/**
 * The layers of a disk at a point, newest first, down to the last full.
 *
 * @param chain - the point and its ancestors, newest first
 * @throws DamagedError if the chain has no full of this disk
 */
export function layersOf(chain: readonly Point[], disk: string): readonly Layer[] {
  const layers: Layer[] = [];
  for (const point of chain) {
    const stored = point.disks.find(({ name }) => name === disk);
    if (stored === undefined) {
      const names = point.disks.map(({ name }) => name).join(', ');
      throw new DamagedError('hash', `point ${point.id} has no disk ${disk}, only ${names}`);
    }
    layers.push({ pointId: point.id, disk: stored });
    if (stored.mode === 'full') return layers;
  }
  throw new DamagedError('hash', `disk ${disk} has no full backup at or before point ${chain[0]?.id ?? ''}`);
}

/**
 * Writes a disk into a sink, every byte checked against its hash.
 *
 * @throws DamagedError if anything stored is missing or damaged; SinkError
 */
export async function restoreLayers(
  store: DomainStore,
  layers: readonly Layer[],
  sink: Sink,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: RestoreProgress) => void },
): Promise<void> {
  const size = layers[0]?.disk.size ?? 0;
  // What lay beyond the end of a disk that was smaller at a later point was cut off then.
  let limit = size;
  const lists: LayerRuns[] = [];
  for (const { pointId, disk } of layers) {
    const path = store.runsFile(pointId, disk.name);
    await checkRuns(path, disk.runsSha256);
    limit = Math.min(limit, disk.size);
    lists.push({ runs: readRuns(path), limit });
  }
  await using files = await openDataFiles(store, layers);
  for await (const segment of resolveLayers(lists, size)) {
    options.signal?.throwIfAborted();
    const { offset, length } = segment;
    if (segment.type === 'zero') {
      await sink.zero(offset, length);
    } else {
      const bytes = await files.read(segment.layer, segment.run);
      const from = offset - segment.run.offset;
      await sink.write(offset, bytes.subarray(from, from + length));
    }
    options.onProgress?.({ offset: offset + length, size });
  }
}

interface DataFiles extends AsyncDisposable {
  read(layer: number, run: Run & { type: 'data' }): Promise<Buffer>;
}

async function openDataFiles(store: DomainStore, layers: readonly Layer[]): Promise<DataFiles> {
  const files: FileHandle[] = [];
  // A run that a newer layer interrupts is needed more than once.
  const last: ({ run: Run; bytes: Buffer } | undefined)[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(files.map((file) => file.close()));
  };
  for (const { pointId, disk } of layers) {
    const path = store.dataFile(pointId, disk.name);
    try {
      files.push(await open(path, 'r'));
    } catch (error) {
      await close();
      throw new DamagedError('hash', `cannot open ${path}: ${messageOf(error)}`, { cause: error });
    }
  }
  return {
    async read(layer, run) {
      const cached = last[layer];
      if (cached?.run === run) return cached.bytes;
      const bytes = Buffer.alloc(run.length);
      const { bytesRead } = await (files[layer] as FileHandle).read(bytes, 0, run.length, run.at);
      if (bytesRead !== run.length || sha256(bytes) !== run.sha256) {
        const { pointId, disk } = layers[layer] as Layer;
        throw new DamagedError(
          'hash',
          `the data of disk ${disk.name} in point ${pointId} is damaged: ${run.length} bytes at ${run.offset}`,
        );
      }
      last[layer] = { run, bytes };
      return bytes;
    },
    [Symbol.asyncDispose]: close,
  };
}
