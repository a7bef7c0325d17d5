import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { freePort, retryWhilePortTaken } from './free-port.ts';
import { isListeningTcp, isListeningUnix } from './proc-table.ts';
import { startChild, waitUntil, type Child } from './processes.ts';
import { connectQmp } from './qmp.ts';
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

/** Where a server is to listen: `path` or `port`, as `transport` says. */
export interface NbdAddress {
  readonly transport: NbdTransport;
  readonly path: string;
  readonly port: number;
  /** For servers that write one when they can serve. */
  readonly pidFile: string;
}

/** Whether somebody listens there. Looks at the kernel's table: a connection would count as a client. */
export function isListening({ transport, path, port }: Omit<NbdAddress, 'pidFile'>): boolean {
  return transport === 'unix' ? isListeningUnix(path) : isListeningTcp(port);
}

async function launch(command: string, args: readonly string[], address: NbdAddress): Promise<Child> {
  const child = await startChild(command.startsWith('/') ? command : commandPath(command), args);
  try {
    // qemu-nbd listens before it has opened the image.
    const isReady = (): boolean =>
      args.includes(address.pidFile) ? existsSync(address.pidFile) : isListening(address);
    await waitUntil(() => isReady() || !child.isRunning, START_TIMEOUT_MS, `${command} to listen`);
    if (!child.isRunning) throw new Error(`${command} ended at once`);
  } catch (error) {
    await child.stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${reason}: ${child.output().trim()}`, { cause: error });
  }
  return child;
}

/** A server that runs, as the tests see it. */
export function runningServer(
  address: Omit<NbdAddress, 'pidFile'>,
  exportName: string,
  server: Pick<NbdServer, 'pid' | 'isRunning' | 'output' | 'kill' | 'stop'>,
): NbdServer {
  const { transport, path, port } = address;
  const uriOf = (name: string): string =>
    transport === 'unix'
      ? `nbd+unix:///${encodeURIComponent(name)}?socket=${path}`
      : `nbd://127.0.0.1:${port}/${encodeURIComponent(name)}`;
  return {
    uri: uriOf(exportName),
    uriOf,
    endpoint: transport === 'unix' ? { path } : { host: '127.0.0.1', port },
    pid: server.pid,
    get isRunning(): boolean {
      return server.isRunning;
    },
    output: () => server.output(),
    kill: (signal) => {
      server.kill(signal);
    },
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/** Starts any NBD server that stays in the foreground; `argsFor` puts the address into its arguments. */
export async function startNbdServer(
  command: string,
  transport: NbdTransport,
  exportName: string,
  argsFor: (address: NbdAddress) => string[],
): Promise<NbdServer> {
  const folder = makeTemporaryFolder('nbd');
  const path = join(folder.path, 's');
  let address: NbdAddress = { transport, path, port: 0, pidFile: join(folder.path, 'pid') };
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
  return runningServer(address, exportName, {
    pid: server.pid,
    get isRunning(): boolean {
      return server.isRunning;
    },
    output: () => server.output(),
    kill: (signal) => {
      server.kill(signal);
    },
    async stop() {
      server.kill('SIGCONT');
      await server.stop();
      folder.remove();
    },
  });
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
  /** Clients at once (`-e`). Default 0: any number. */
  readonly shared?: number;
  /** Goes on after the last client has left (`-t`). Default true. */
  readonly persistent?: boolean;
  /** Full path of another qemu-nbd. */
  readonly command?: string;
  readonly args?: readonly string[];
}

/** A fault that QEMU plays: which kind of request fails with which errno, and where. */
export interface MediaFault {
  readonly iotype: 'read' | 'write' | 'write-zeroes' | 'discard' | 'flush' | 'block-status';
  /** 5 is EIO, 28 is ENOSPC. */
  readonly errno: number;
  /** Of 512 bytes; requests that touch it fail. Default: every request of the kind. */
  readonly sector?: number;
}

/** `imageOpts` for a raw image with bad sectors. */
export function faultyImage(path: string, faults: readonly MediaFault[]): string {
  const rules = faults.flatMap((fault, index) =>
    Object.entries({ event: 'none', once: 'off', ...fault }).map(
      ([key, value]) => `file.inject-error.${index}.${key}=${value}`,
    ),
  );
  const layers = ['driver=raw', 'file.driver=blkdebug', 'file.image.driver=file'];
  return [...layers, `file.image.filename=${path}`, ...rules].join(',');
}

/** Serves a disk image with qemu-nbd, by default to any number of clients until stopped. */
export function startQemuNbd(options: QemuNbdOptions): Promise<NbdServer> {
  const { command = 'qemu-nbd', exportName = '', transport = 'unix', shared = 0 } = options;
  return startNbdServer(command, transport, exportName, (address) => {
    const args = ['-e', String(shared), '-x', exportName, '--pid-file', address.pidFile];
    if (options.persistent !== false) args.push('-t');
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

/** One export of a qemu-storage-daemon. */
export interface StorageDaemonExport {
  /** Node name that is exported. */
  readonly node: string;
  readonly exportName?: string;
  readonly writable?: boolean;
  /** Names of the node's bitmaps offered as `qemu:dirty-bitmap:NAME`. */
  readonly bitmaps?: readonly string[];
  /** Offer `qemu:allocation-depth` too. */
  readonly allocationDepth?: boolean;
  readonly description?: string;
}

export interface StorageDaemonOptions extends StorageDaemonExport {
  /** `--blockdev` values in order. */
  readonly blockdevs: readonly string[];
  /** Exports beside the first one, which the options themselves describe. */
  readonly further?: readonly StorageDaemonExport[];
  /** Full path of another qemu-storage-daemon. */
  readonly command?: string;
  /** Options before the block devices, e.g. `--object throttle-group,…`. */
  readonly args?: readonly string[];
}

/** A running qemu-storage-daemon; its exports have the ids e0, e1, … */
export interface StorageDaemon extends NbdServer {
  /** Runs a command of its machine monitor and resolves with what that returned. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
}

/** Serves block nodes with qemu-storage-daemon on a unix socket until stopped. */
export async function startStorageDaemon(options: StorageDaemonOptions): Promise<StorageDaemon> {
  const { command = 'qemu-storage-daemon', exportName = '', further = [] } = options;
  const monitorOf = (path: string): string => join(dirname(path), 'q');
  const server = await startNbdServer(command, 'unix', exportName, ({ path }) => [
    '--chardev',
    `socket,id=qmp,path=${monitorOf(path)},server=on,wait=off`,
    '--monitor',
    'chardev=qmp',
    ...(options.args ?? []),
    ...options.blockdevs.flatMap((blockdev) => ['--blockdev', blockdev]),
    '--nbd-server',
    `addr.type=unix,addr.path=${path},max-connections=0`,
    ...[options, ...further].flatMap((each, index) => ['--export', exportArgument(each, index)]),
  ]);
  const { endpoint } = server;
  return Object.assign(server, {
    async execute(qmpCommand: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
      const monitor = await connectQmp(monitorOf('path' in endpoint ? endpoint.path : ''));
      try {
        return await monitor.execute(qmpCommand, args);
      } finally {
        monitor.close();
      }
    },
  });
}

function exportArgument(options: StorageDaemonExport, index: number): string {
  return JSON.stringify({
    type: 'nbd',
    id: `e${index}`,
    'node-name': options.node,
    name: options.exportName ?? '',
    writable: options.writable ?? false,
    'allocation-depth': options.allocationDepth ?? false,
    ...(options.bitmaps && { bitmaps: options.bitmaps }),
    ...(options.description !== undefined && { description: options.description }),
  });
}
