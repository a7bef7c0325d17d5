import { join } from 'node:path';
import { freePort, retryWhilePortTaken } from './free-port.ts';
import { isListeningTcp, isListeningUnix } from './proc-table.ts';
import { startChild, waitUntil, type Child } from './processes.ts';
import { commandPath } from './requirements.ts';
import { makeTemporaryFolder } from './temporary-folder.ts';
import type { ImageFormat } from './images.ts';

const START_TIMEOUT_MS = 10_000;

/** Where a server listens: a unix socket in a folder of its own, or a free port of 127.0.0.1. */
export type NbdTransport = 'unix' | 'tcp';

/** A running NBD server. */
export interface NbdServer extends AsyncDisposable {
  /** `nbd+unix:///EXPORT?socket=PATH` or `nbd://127.0.0.1:PORT/EXPORT` */
  readonly uri: string;
  /** The same server with another export name. */
  uriOf(exportName: string): string;
  readonly endpoint: { readonly path: string } | { readonly host: string; readonly port: number };
  readonly pid: number;
  readonly isRunning: boolean;
  /** What the server has printed, for messages. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

interface Address {
  readonly transport: NbdTransport;
  readonly path: string;
  readonly port: number;
}

async function launch(command: string, args: readonly string[], address: Address): Promise<Child> {
  const child = await startChild(commandPath(command), args);
  const listens = (): boolean =>
    address.transport === 'unix' ? isListeningUnix(address.path) : isListeningTcp(address.port);
  try {
    // Looking at the kernel's socket table instead of connecting: a connection would count as a client.
    await waitUntil(() => listens() || !child.isRunning, START_TIMEOUT_MS, `${command} to listen`);
    if (!child.isRunning) throw new Error(`${command} ended at once`);
  } catch (error) {
    await child.stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${reason}: ${child.output().trim()}`, { cause: error });
  }
  return child;
}

/** Starts any NBD server that stays in the foreground; `argsFor` puts the address into its arguments. */
export async function startNbdServer(
  command: string,
  transport: NbdTransport,
  exportName: string,
  argsFor: (address: Address) => string[],
): Promise<NbdServer> {
  const folder = makeTemporaryFolder('nbd');
  const path = join(folder.path, 's');
  let address: Address = { transport, path, port: 0 };
  let server: Child;
  try {
    server = await retryWhilePortTaken(async () => {
      if (transport === 'tcp') address = { ...address, port: await freePort() };
      return launch(command, argsFor(address), address);
    });
  } catch (error) {
    folder.remove();
    throw error;
  }
  const uriOf = (name: string): string =>
    transport === 'unix'
      ? `nbd+unix:///${encodeURIComponent(name)}?socket=${path}`
      : `nbd://127.0.0.1:${address.port}/${encodeURIComponent(name)}`;
  const stop = async (): Promise<void> => {
    server.kill('SIGCONT');
    await server.stop();
    folder.remove();
  };
  return {
    uri: uriOf(exportName),
    uriOf,
    endpoint: transport === 'unix' ? { path } : { host: '127.0.0.1', port: address.port },
    pid: server.pid,
    get isRunning(): boolean {
      return server.isRunning;
    },
    output: () => server.output(),
    kill: (signal) => {
      server.kill(signal);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

export interface QemuNbdOptions {
  readonly image: string;
  /** Ignored when `imageOpts` is given. Default qcow2. */
  readonly format?: ImageFormat;
  /** A `--image-opts` string instead of `image` and `format`. */
  readonly imageOpts?: string;
  readonly transport?: NbdTransport;
  readonly exportName?: string;
  /** Default true. */
  readonly readOnly?: boolean;
  /** Names of persistent bitmaps offered as `qemu:dirty-bitmap:NAME`. */
  readonly bitmaps?: readonly string[];
  /** Offer `qemu:allocation-depth` too (`-A`). */
  readonly allocationDepth?: boolean;
  readonly args?: readonly string[];
}

/** Serves a disk image with qemu-nbd to any number of clients until stopped. */
export function startQemuNbd(options: QemuNbdOptions): Promise<NbdServer> {
  const { exportName = '', transport = 'unix' } = options;
  return startNbdServer('qemu-nbd', transport, exportName, (address) => {
    const args = ['-t', '-e', '0', '-x', exportName];
    if (options.readOnly !== false) args.push('-r');
    if (options.allocationDepth === true) args.push('-A');
    for (const bitmap of options.bitmaps ?? []) args.push('-B', bitmap);
    if (address.transport === 'unix') args.push('-k', address.path);
    else args.push('-b', '127.0.0.1', '-p', String(address.port));
    args.push(...(options.args ?? []));
    if (options.imageOpts !== undefined) return [...args, '--image-opts', options.imageOpts];
    return [...args, '-f', options.format ?? 'qcow2', options.image];
  });
}

export interface NbdkitOptions {
  readonly plugin: string;
  /** Plugin and filter parameters, e.g. `64M`, `error-pread=EIO`. */
  readonly parameters?: readonly string[];
  /** Outermost first. */
  readonly filters?: readonly string[];
  readonly transport?: NbdTransport;
  /** For `uri` only; nbdkit's plugin decides which exports exist. */
  readonly exportName?: string;
  readonly readOnly?: boolean;
  /** Options before the plugin, e.g. `--no-sr`, `-o`, `--tls=require`. */
  readonly args?: readonly string[];
}

/** Serves an nbdkit plugin behind filters until stopped. */
export function startNbdkit(options: NbdkitOptions): Promise<NbdServer> {
  return startNbdServer('nbdkit', options.transport ?? 'unix', options.exportName ?? '', (address) => [
    '--foreground',
    '--exit-with-parent',
    ...(options.readOnly === true ? ['-r'] : []),
    ...(address.transport === 'unix'
      ? ['-U', address.path]
      : ['-i', '127.0.0.1', '-p', String(address.port)]),
    ...(options.args ?? []),
    ...(options.filters ?? []).map((filter) => `--filter=${filter}`),
    options.plugin,
    ...(options.parameters ?? []),
  ]);
}

export interface StorageDaemonOptions {
  /** `--blockdev` values in order. */
  readonly blockdevs: readonly string[];
  /** Node name that is exported. */
  readonly node: string;
  readonly exportName?: string;
  readonly writable?: boolean;
  /** Options before the block devices, e.g. `--object throttle-group,…` or `--chardev` and `--monitor`. */
  readonly args?: readonly string[];
}

/** Serves one block node with qemu-storage-daemon on a unix socket until stopped. */
export function startStorageDaemon(options: StorageDaemonOptions): Promise<NbdServer> {
  const { exportName = '', node } = options;
  const writable = options.writable === true ? 'on' : 'off';
  return startNbdServer('qemu-storage-daemon', 'unix', exportName, ({ path }) => [
    ...(options.args ?? []),
    ...options.blockdevs.flatMap((blockdev) => ['--blockdev', blockdev]),
    '--nbd-server',
    `addr.type=unix,addr.path=${path},max-connections=0`,
    '--export',
    `type=nbd,id=e0,node-name=${node},name=${exportName},writable=${writable}`,
  ]);
}
