import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makePkiFolder, type PkiFiles } from './certificates.ts';
import { freePort, retryWhilePortTaken } from './free-port.ts';
import { commandPath } from './requirements.ts';
import { endProcesses, startChild, waitUntil, type Child } from './processes.ts';
import { isListeningTcp, isListeningUnix, processesWithEnvironmentBelow } from './proc-table.ts';
import { makeTemporaryFolder, type TemporaryFolder } from './temporary-folder.ts';
import { giveTo, unprivilegedUser, type User } from './user.ts';

const START_TIMEOUT_MS = 20_000;
const STOP_GRACE_MS = 10_000;
const LOG_TAIL_LINES = 20;
const NOT_DEADLY: readonly NodeJS.Signals[] = ['SIGSTOP', 'SIGCONT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];

export interface LibvirtdOptions {
  /** Lines added to the daemon's qemu.conf. */
  readonly qemuConf?: string;
  /** Lines added to the daemon's libvirtd.conf. */
  readonly libvirtdConf?: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** Ports of 127.0.0.1 on which it listens besides its socket. */
  readonly listen?: ListenOptions;
}

export interface ListenOptions {
  /** Plain TCP, without authentication unless `libvirtdConf` says `auth_tcp`. */
  readonly tcp?: boolean;
  /** TLS with these files of the server. It checks certificates of clients unless `libvirtdConf` says otherwise. */
  readonly tls?: PkiFiles;
}

/** A libvirtd of our own that shares nothing with the machine's. */
export interface PrivateLibvirtd extends AsyncDisposable {
  /** `qemu+unix:///session?socket=…` */
  readonly uri: string;
  readonly socketPath: string;
  /** Those that `listen` asked for, else 0. */
  readonly ports: Ports;
  /** Its folder; everything it makes is below it. */
  readonly dir: string;
  /** For disk images: belongs to `user`. */
  readonly imagesDir: string;
  /** For sockets and scratch files of backups: belongs to `user`. */
  readonly scratchDir: string;
  /** For files of the test itself. */
  readonly workDir: string;
  /** Whom it and its QEMUs run as. */
  readonly user: User;
  readonly pid: number;
  /** What the daemon has written to its standard error, over all its starts. */
  log(): string;
  /** What QEMU has written about one domain. */
  domainLog(name: string): string;
  /** The pids of the QEMUs, virtlogd and helpers it has started and that still run. */
  offspring(): number[];
  /** Sends a signal to the daemon alone; after a deadly one waits until it is gone. Domains go on. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends the daemon unless it has ended, and starts it again. Domains go on. */
  restart(): Promise<void>;
  /** Ends the daemon and everything it started, waits until they are gone, removes the folder. */
  stop(): Promise<void>;
}

interface Ports {
  readonly tcp: number;
  readonly tls: number;
}

interface Layout {
  readonly folder: TemporaryFolder;
  readonly user: User;
  readonly env: NodeJS.ProcessEnv;
  readonly socketPath: string;
  readonly logPath: string;
}

function prepareFolders(options: LibvirtdOptions): Layout {
  const user = unprivilegedUser();
  const folder = makeTemporaryFolder();
  const config = folder.subfolder('config', user);
  const env = {
    PATH: '/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin',
    LC_ALL: 'C',
    HOME: folder.subfolder('home', user),
    TMPDIR: folder.subfolder('tmp', user),
    XDG_RUNTIME_DIR: folder.subfolder('run', user, 0o700),
    XDG_CONFIG_HOME: config,
    XDG_CACHE_HOME: folder.subfolder('cache', user),
    XDG_DATA_HOME: folder.subfolder('data', user),
    ...options.env,
  };
  folder.subfolder('images', user);
  folder.subfolder('scratch', user);
  folder.subfolder('work', { uid: process.getuid?.() ?? user.uid, gid: process.getgid?.() ?? user.gid });
  const libvirtConfig = join(config, 'libvirt');
  mkdirSync(libvirtConfig);
  giveTo(user, libvirtConfig);
  // With "file" QEMU writes its log itself and no virtlogd is started, which would outlive the daemon.
  // libvirt heeds the first of two equal keys, so the caller's come first.
  writeFileSync(join(libvirtConfig, 'qemu.conf'), `${options.qemuConf ?? ''}\nstdio_handler = "file"\n`);
  return {
    folder,
    user,
    env,
    socketPath: join(env.XDG_RUNTIME_DIR, 'libvirt', 'libvirt-sock'),
    logPath: join(folder.path, 'libvirtd.log'),
  };
}

function readIfPresent(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Chooses free ports and writes them into libvirtd.conf, behind what the caller has in it. */
async function writeConf(layout: Layout, { libvirtdConf, listen = {} }: LibvirtdOptions): Promise<Ports> {
  const { folder, user, env } = layout;
  const { tcp = false, tls } = listen;
  const ports = { tcp: tcp ? await freePort() : 0, tls: tls === undefined ? 0 : await freePort() };
  const lines = libvirtdConf === undefined ? [] : [libvirtdConf];
  if (tcp || tls !== undefined) {
    lines.push('listen_addr = "127.0.0.1"', 'auth_tcp = "none"');
    lines.push(`listen_tcp = ${Number(tcp)}`, `listen_tls = ${Number(tls !== undefined)}`);
  }
  if (tcp) lines.push(`tcp_port = "${ports.tcp}"`);
  if (tls !== undefined) {
    const pki = makePkiFolder(join(folder.path, 'pki'), tls, user);
    lines.push(`tls_port = "${ports.tls}"`, `ca_file = "${pki}/cacert.pem"`);
    lines.push(`cert_file = "${pki}/servercert.pem"`, `key_file = "${pki}/serverkey.pem"`);
    if (tls.crl !== undefined) lines.push(`crl_file = "${pki}/cacrl.pem"`);
  }
  // An empty libvirtd.conf is a syntax error to the daemon.
  if (lines.length > 0)
    writeFileSync(join(env['XDG_CONFIG_HOME'] ?? '', 'libvirt/libvirtd.conf'), `${lines.join('\n')}\n`);
  return ports;
}

async function startDaemon(layout: Layout, args: readonly string[], ports: Ports): Promise<Child> {
  const outputFd = openSync(layout.logPath, 'a');
  let child: Child;
  try {
    child = await startChild(commandPath('libvirtd'), args, {
      env: layout.env,
      cwd: layout.folder.path,
      user: layout.user,
      outputFd,
    });
  } finally {
    closeSync(outputFd);
  }
  try {
    const listens = (): boolean =>
      isListeningUnix(layout.socketPath) &&
      [ports.tcp, ports.tls].every((port) => port === 0 || isListeningTcp(port));
    await waitUntil(
      () => listens() || !child.isRunning,
      START_TIMEOUT_MS,
      `libvirtd to listen on ${layout.socketPath}`,
    );
    if (!child.isRunning) {
      const { code, signal } = await child.exited;
      throw new Error(`libvirtd ended at once (${signal ?? `exit status ${code ?? '?'}`})`);
    }
  } catch (error) {
    await child.stop();
    const tail = readIfPresent(layout.logPath).trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${reason}; its log ends with:\n${tail}`, { cause: error });
  }
  return child;
}

/** Starts a private libvirtd and waits until it accepts connections. */
export async function startLibvirtd(options: LibvirtdOptions = {}): Promise<PrivateLibvirtd> {
  const layout = prepareFolders(options);
  const { folder, user, socketPath } = layout;
  const args = [...(options.listen === undefined ? [] : ['--listen']), ...(options.args ?? [])];
  let ports: Ports = { tcp: 0, tls: 0 };
  let daemon: Child;
  try {
    daemon = await retryWhilePortTaken(async () => {
      ports = await writeConf(layout, options);
      return startDaemon(layout, args, ports);
    });
  } catch (error) {
    folder.remove();
    throw error;
  }
  let stopping: Promise<void> | undefined;
  const endAll = async (): Promise<void> => {
    daemon.kill('SIGCONT'); // a test may have stopped it
    await daemon.stop(STOP_GRACE_MS);
    // The daemon is gone and can start nothing more: what is left now is all there is.
    await endProcesses(processesWithEnvironmentBelow(folder.path));
    folder.remove();
  };
  const stop = (): Promise<void> => (stopping ??= endAll());
  return {
    uri: `qemu+unix:///session?socket=${socketPath}`,
    socketPath,
    ports,
    dir: folder.path,
    imagesDir: join(folder.path, 'images'),
    scratchDir: join(folder.path, 'scratch'),
    workDir: join(folder.path, 'work'),
    user,
    get pid(): number {
      return daemon.pid;
    },
    log: () => readIfPresent(layout.logPath),
    domainLog: (name) => readIfPresent(join(folder.path, 'cache/libvirt/qemu/log', `${name}.log`)),
    offspring: () =>
      processesWithEnvironmentBelow(folder.path)
        .map(({ pid }) => pid)
        .filter((pid) => pid !== daemon.pid),
    async kill(signal) {
      daemon.kill(signal);
      if (!NOT_DEADLY.includes(signal)) await daemon.exited;
    },
    async restart() {
      await daemon.stop(STOP_GRACE_MS);
      daemon = await startDaemon(layout, args, ports);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
