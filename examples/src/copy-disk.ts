import {
  BASE_ALLOCATION,
  copyRanges,
  createRawFile,
  layout,
  type LayoutRange,
  nullSink,
} from 'libvirt-ts-backup';
import { connect, NBD_META_QEMU_DIRTY_BITMAP, type NbdConnection } from 'nbd-ts-client';
import { printLine } from './cli/output.ts';
import { startProgress } from './cli/progress.ts';
import { runCommand, UsageError } from './cli/run.ts';

const help = `<nbd-uri> <file|null:> [--context NAME] [--connections N] [--quiet]

Copies an NBD export to a new sparse file, or to nowhere.

  <nbd-uri>        such as nbd+unix:///vda?socket=/run/backup.sock or nbd://localhost/vda
  <file|null:>     the file must not exist; null: reads everything and keeps nothing
  --context NAME   the metadata context that tells what to copy: of qemu:dirty-bitmap:NAME the dirty
                   extents; default base:allocation, everything but zeroes
  --connections N  connections to read with, if the server allows more than one; default 1
  --quiet          no progress bar

Prints one line of JSON: bytes read, bytes of zeroes not read, extents and seconds.`;

interface Job {
  readonly uri: string;
  readonly dirtyBitmap: string | undefined;
  readonly signal: AbortSignal;
}

await runCommand(
  {
    name: 'copy-disk',
    help,
    positionals: ['<nbd-uri>', '<file|null:>'],
    switches: ['quiet'],
    settings: ['context', 'connections'],
  },
  async (args, signal) => {
    const [uri = '', output = ''] = args.positionals;
    const context = args.get('context') ?? BASE_ALLOCATION;
    const dirtyBitmap = context === BASE_ALLOCATION ? undefined : context;
    if (dirtyBitmap?.startsWith(NBD_META_QEMU_DIRTY_BITMAP) === false)
      throw new UsageError(
        `--context is ${BASE_ALLOCATION} or ${NBD_META_QEMU_DIRTY_BITMAP}NAME, not ${context}`,
      );
    const wanted = args.count('connections', 1);
    const started = performance.now();
    const connections = await connectAll({ uri, dirtyBitmap, signal }, wanted);
    try {
      const result = await copy(connections, output, { uri, dirtyBitmap, signal }, args.has('quiet'));
      const seconds = Number(((performance.now() - started) / 1000).toFixed(3));
      await printLine(JSON.stringify({ ...result, seconds, connections: connections.length }));
    } finally {
      await Promise.all(connections.map((connection) => connection.close()));
    }
  },
);

async function connectAll({ uri, dirtyBitmap, signal }: Job, wanted: number): Promise<NbdConnection[]> {
  const metaContexts = dirtyBitmap === undefined ? [BASE_ALLOCATION] : [BASE_ALLOCATION, dirtyBitmap];
  const first = await connect(uri, { metaContexts, signal });
  if (dirtyBitmap !== undefined && !first.metaContexts.includes(dirtyBitmap)) {
    await first.close();
    throw new Error(`the server at ${uri} does not offer the metadata context ${dirtyBitmap}`);
  }
  const further = first.canMultiConn ? wanted - 1 : 0;
  const others = await Promise.allSettled(Array.from({ length: further }, () => connect(uri, { signal })));
  const connections = [
    first,
    ...others.flatMap((other) => (other.status === 'fulfilled' ? [other.value] : [])),
  ];
  const failure = others.find((other) => other.status === 'rejected');
  if (failure === undefined) return connections;
  await Promise.all(connections.map((connection) => connection.close()));
  throw failure.reason;
}

async function copy(
  connections: readonly NbdConnection[],
  output: string,
  { dirtyBitmap, signal }: Job,
  quiet: boolean,
): Promise<{ bytes: number; zeroBytes: number; extents: number }> {
  const [first] = connections as [NbdConnection];
  const sink = output === 'null:' ? nullSink() : await createRawFile(output, first.exportSize);
  const progress = startProgress(quiet);
  let extents = 0;
  const counted = async function* (): AsyncGenerator<LayoutRange, void, undefined> {
    for await (const range of rangesOf(first, dirtyBitmap, signal)) {
      extents++;
      yield range;
    }
  };
  try {
    const { dataBytes, zeroBytes } = await copyRanges(connections, counted(), sink, {
      signal,
      onProgress: (done) => {
        progress.update('copy-disk', done.dataBytes + done.zeroBytes, first.exportSize);
      },
    });
    await sink.finish();
    return { bytes: dataBytes, zeroBytes, extents };
  } catch (error) {
    await sink.discard();
    throw error;
  } finally {
    progress.stop();
  }
}

/** A server without base:allocation does not tell zeroes from data: everything is data. */
async function* rangesOf(
  connection: NbdConnection,
  dirtyBitmap: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<LayoutRange, void, undefined> {
  if (connection.metaContexts.includes(BASE_ALLOCATION))
    yield* layout(connection, dirtyBitmap === undefined ? { signal } : { dirtyBitmap, signal });
  else if (connection.exportSize > 0) yield { type: 'data', offset: 0, length: connection.exportSize };
}
