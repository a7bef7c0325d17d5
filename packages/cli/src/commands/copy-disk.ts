import {
  BASE_ALLOCATION,
  copyRanges,
  createRawFile,
  layout,
  type LayoutRange,
  nullSink,
} from 'libvirt-ts-backup/transfer';
import { connectPool, NBD_META_QEMU_DIRTY_BITMAP, type NbdPool } from 'nbd-ts-client';
import { type Command, defineCommand, type Surroundings } from '../command-line/command.ts';
import { count, flag, text } from '../command-line/option.ts';
import { UsageError } from '../command-line/usage-error.ts';
import { jsonOption } from './json-option.ts';

export const command: Command = defineCommand({
  positionals: {
    uri: {
      shown: '<nbd-uri>',
      help: 'such as nbd+unix:///vda?socket=/run/backup.sock or nbd://localhost/vda; nbds: and nbds+unix: with tls-certificates=DIR or tls-psk-file=FILE are encrypted',
    },
    file: {
      shown: '<file|null:>',
      help: 'the file must not exist; null: reads everything and keeps nothing',
    },
  },
  options: {
    context: text(
      'NAME',
      'the metadata context that tells what to copy: of qemu:dirty-bitmap:NAME the dirty extents; default base:allocation, everything but zeroes',
    ),
    connections: count('N', 1, 'connections to read with, if the server allows more than one'),
    'idle-timeout': count('SECONDS', 60, 'gives up when the server owes bytes and sends none for so long'),
    json: jsonOption('no progress bar'),
    quiet: flag('no progress bar'),
  },
  about: [
    'Copies an NBD export to a new sparse file, or to nowhere.',
    'Prints one line of JSON: bytes read, bytes of zeroes not read, extents, seconds and connections.',
  ],
  async run({ uri, file, context = BASE_ALLOCATION, connections, ...values }, surroundings) {
    const { output, signal } = surroundings;
    const dirtyBitmap = context === BASE_ALLOCATION ? undefined : context;
    if (dirtyBitmap?.startsWith(NBD_META_QEMU_DIRTY_BITMAP) === false)
      throw new UsageError(
        `--context is ${BASE_ALLOCATION} or ${NBD_META_QEMU_DIRTY_BITMAP}NAME, not ${context}`,
      );
    const idleTimeoutMs = values['idle-timeout'] * 1000;
    const started = performance.now();
    await using pool = await connectDisk(uri, { dirtyBitmap, connections, idleTimeoutMs, signal });
    const result = await copy(pool, file, dirtyBitmap, surroundings);
    const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
    await output.line(JSON.stringify({ ...result, seconds, connections: pool.connections.length }));
  },
});

async function connectDisk(
  uri: string,
  options: {
    readonly dirtyBitmap: string | undefined;
    readonly connections: number;
    readonly idleTimeoutMs: number;
    readonly signal: AbortSignal;
  },
): Promise<NbdPool> {
  const { dirtyBitmap, ...common } = options;
  const metaContexts = dirtyBitmap === undefined ? [BASE_ALLOCATION] : [BASE_ALLOCATION, dirtyBitmap];
  // The URI is the user's own: it may name certificates and keys.
  const pool = await connectPool(uri, { ...common, metaContexts, allowLocalFiles: true });
  // Without dirty bitmap base:allocation is welcome and not needed.
  const missing = metaContexts.find((context) => !pool.metaContexts.includes(context));
  if (dirtyBitmap === undefined || missing === undefined) return pool;
  await pool.close();
  throw new Error(`the server at ${uri} does not offer the metadata context ${missing}`);
}

async function copy(
  pool: NbdPool,
  file: string,
  dirtyBitmap: string | undefined,
  { signal, startProgress }: Surroundings,
): Promise<{ bytes: number; zeroBytes: number; extents: number }> {
  const progress = await startProgress();
  // Now: those that end meanwhile are to fail the copy, not to be missing from it.
  const sources = pool.connections;
  const sink = file === 'null:' ? nullSink() : await createRawFile(file, pool.exportSize, { signal });
  try {
    const ranges = rangesOf(pool, dirtyBitmap, signal);
    const {
      dataBytes,
      zeroBytes,
      ranges: extents,
    } = await copyRanges(sources, ranges, sink, {
      signal,
      onProgress: (done) => {
        progress.update('copy-disk', done.dataBytes + done.zeroBytes, pool.exportSize);
      },
    });
    await sink.finish();
    return { bytes: dataBytes, zeroBytes, extents };
  } catch (error) {
    // The first failure is the one to tell.
    await sink.discard().catch(() => undefined);
    throw error;
  } finally {
    progress.stop();
  }
}

function rangesOf(
  pool: NbdPool,
  dirtyBitmap: string | undefined,
  signal: AbortSignal,
): AsyncIterable<LayoutRange> {
  if (pool.metaContexts.includes(BASE_ALLOCATION))
    return layout(pool, dirtyBitmap === undefined ? { signal } : { dirtyBitmap, signal });
  return everything(pool.exportSize);
}

/** A server without base:allocation does not tell zeroes from data: everything is data. */
async function* everything(size: number): AsyncGenerator<LayoutRange, void, undefined> {
  if (size > 0) yield await Promise.resolve({ type: 'data', offset: 0, length: size });
}
