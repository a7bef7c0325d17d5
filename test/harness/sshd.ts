import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort, retryWhilePortTaken } from './free-port.ts';
import { isListeningTcp, processesWithEnvironmentBelow } from './proc-table.ts';
import { type Child, endProcesses, run, runAny, startChild, waitUntil } from './processes.ts';
import { commandPath } from './requirements.ts';
import { makeTemporaryFolder, type TemporaryFolder } from './temporary-folder.ts';
import { unprivilegedUser } from './user.ts';

const START_TIMEOUT_MS = 10_000;
const PRIVILEGE_SEPARATION_FOLDER = '/run/sshd';

export interface SshdOptions {
  /** What the commands of a session find in their environment, besides a PATH. */
  readonly env: Readonly<Record<string, string>>;
  /** The only commands that a session finds; default: all of the system. */
  readonly commands?: readonly string[];
}

/** An sshd of our own on a port of 127.0.0.1, and a client configuration that knows nothing but it. */
export interface Sshd extends AsyncDisposable {
  readonly port: number;
  /** Whom to log in as. Commands run as the unprivileged user all the same. */
  readonly userName: string;
  /** The one key that it accepts, and one that it does not. */
  readonly keyFile: string;
  readonly strangerKeyFile: string;
  /** Holds its host key. */
  readonly knownHostsFile: string;
  /** A folder whose `ssh` is the system's, without the configuration, keys and known hosts of the machine. */
  readonly clientFolder: string;
  /** That `ssh`. */
  readonly client: string;
  /** What it has written, for messages. */
  log(): string;
  /** The pids of what runs for its clients now. */
  sessions(): number[];
  stop(): Promise<void>;
}

/** Starts sshd and waits until it listens. As root it can be reached as root, else as oneself. */
export async function startSshd(options: SshdOptions): Promise<Sshd> {
  const folder = makeTemporaryFolder('ssh');
  try {
    for (const name of ['host', 'client', 'stranger'])
      await run(commandPath('ssh-keygen'), ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder.path, name)]);
    writeSession(folder, options);
    const clientFolder = writeClient(folder);
    const { port, daemon, undo } = await retryWhilePortTaken(() => launch(folder));
    const hostKey = readFileSync(join(folder.path, 'host.pub'), 'utf8');
    writeFileSync(join(folder.path, 'known_hosts'), `[127.0.0.1]:${port} ${hostKey}`);
    const offspring = (): ReturnType<typeof processesWithEnvironmentBelow> =>
      processesWithEnvironmentBelow(folder.path).filter(({ pid }) => pid !== daemon.pid);
    let stopping: Promise<void> | undefined;
    const endAll = async (): Promise<void> => {
      await daemon.stop();
      await endProcesses(offspring());
      undo();
      folder.remove();
    };
    const stop = (): Promise<void> => (stopping ??= endAll());
    return {
      port,
      userName: userInfo().username,
      keyFile: join(folder.path, 'client'),
      strangerKeyFile: join(folder.path, 'stranger'),
      knownHostsFile: join(folder.path, 'known_hosts'),
      clientFolder,
      client: join(clientFolder, 'ssh'),
      log: () => daemon.output(),
      sessions: () => offspring().map(({ pid }) => pid),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    folder.remove();
    throw error;
  }
}

function writeProgram(path: string, lines: readonly string[]): void {
  writeFileSync(path, `${['#!/bin/sh', ...lines].join('\n')}\n`);
  chmodSync(path, 0o755);
}

/** Every command of a client runs with its own environment, and never as root. */
function writeSession(folder: TemporaryFolder, { env, commands }: SshdOptions): void {
  const bin = folder.subfolder('bin');
  for (const command of commands ?? []) symlinkSync(commandPath(command), join(bin, command));
  const path = commands === undefined ? '/usr/local/bin:/usr/bin:/bin' : bin;
  const home = folder.subfolder('home');
  // TMPDIR tells its processes from all others.
  const variables = Object.entries({ HOME: home, ...env, TMPDIR: home, PATH: path });
  const { uid, gid } = unprivilegedUser();
  const isRoot = process.getuid?.() === 0;
  const as = isRoot ? `${commandPath('setpriv')} --reuid=${uid} --regid=${gid} --clear-groups ` : '';
  writeProgram(join(folder.path, 'session'), [
    ...variables.map(([name, value]) => `export ${name}='${value}'`),
    `exec ${as}/bin/sh -c "$SSH_ORIGINAL_COMMAND"`,
  ]);
}

function writeClient(folder: TemporaryFolder): string {
  const clientFolder = join(folder.path, 'client-bin');
  mkdirSync(clientFolder);
  const config = join(folder.path, 'ssh_config');
  const known = `UserKnownHostsFile ${folder.path}/known_hosts`;
  const lines = [known, 'GlobalKnownHostsFile /dev/null', 'IdentityAgent none', 'IdentitiesOnly yes'];
  writeFileSync(config, `${lines.join('\n')}\n`);
  writeProgram(join(clientFolder, 'ssh'), [`exec ${commandPath('ssh')} -F ${config} "$@"`]);
  return clientFolder;
}

interface Launched {
  readonly port: number;
  readonly daemon: Child;
  /** Takes back what had to be changed on the machine. */
  readonly undo: () => void;
}

async function launch(folder: TemporaryFolder): Promise<Launched> {
  const port = await freePort();
  const config = join(folder.path, 'sshd_config');
  const at = (name: string): string => join(folder.path, name);
  writeFileSync(
    config,
    [
      'ListenAddress 127.0.0.1',
      `Port ${port}`,
      `HostKey ${at('host')}`,
      `AuthorizedKeysFile ${at('client.pub')}`,
      `ForceCommand ${at('session')}`,
      'StrictModes no',
      `UsePAM ${needsPam() ? 'yes' : 'no'}`,
      'PermitRootLogin prohibit-password',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PidFile none',
    ].join('\n'),
  );
  const { wrapper, undo } = await privilegeSeparation();
  const [command, ...args] = [...wrapper, commandPath('sshd'), '-D', '-e', '-f', config];
  const daemon = await startChild(command, args, { env: { PATH: process.env['PATH'], TMPDIR: at('home') } });
  try {
    await waitUntil(() => isListeningTcp(port) || !daemon.isRunning, START_TIMEOUT_MS, 'sshd to listen');
    if (!daemon.isRunning) throw new Error('sshd ended at once');
    return { port, daemon, undo };
  } catch (error) {
    await daemon.stop();
    undo();
    throw new Error(`${(error as Error).message}: ${daemon.output().trim()}`, { cause: error });
  }
}

/** Without PAM sshd lets nobody in whose password is locked, or cannot be read, which takes root. */
function needsPam(): boolean {
  if (process.getuid?.() !== 0) return true;
  return /^root:!/m.test(existsSync('/etc/shadow') ? readFileSync('/etc/shadow', 'utf8') : '');
}

/**
 * As root sshd wants a folder in /run that its service makes when it starts. Where there is none, ours sees a
 * /run of its own; where that is forbidden, the folder is made and removed.
 */
async function privilegeSeparation(): Promise<{ wrapper: string[]; undo: () => void }> {
  const nothing = (): void => undefined;
  if (process.getuid?.() !== 0 || existsSync(PRIVILEGE_SEPARATION_FOLDER))
    return { wrapper: [], undo: nothing };
  const unshare = [commandPath('unshare'), '--mount', '--propagation', 'private', 'sh', '-c'];
  const prepare = `mount -t tmpfs -o size=1m none /run && mkdir ${PRIVILEGE_SEPARATION_FOLDER}`;
  const [command = '', ...args] = unshare;
  const { code } = await runAny(command, [...args, prepare]);
  if (code === 0) return { wrapper: [...unshare, `${prepare} && exec "$@"`, 'sh'], undo: nothing };
  mkdirSync(PRIVILEGE_SEPARATION_FOLDER, { mode: 0o755 });
  return {
    wrapper: [],
    undo: () => {
      rmdirSync(PRIVILEGE_SEPARATION_FOLDER);
    },
  };
}
