// A Docker engine that belongs to whoever starts it: state, sockets and processes end with it.
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { engineAnswers, removeFromEngine } from './engine.mjs';

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 20_000;
const START = 'mount -t tmpfs tmpfs /run && exec dockerd --config-file "$0"';
const CGROUPS = '/sys/fs/cgroup';

/** Where containers' groups of processes are; the engine leaves its empty folders there. */
const groups = () =>
  ['', ...(existsSync(CGROUPS) ? readdirSync(CGROUPS) : [])].map((name) => join(CGROUPS, name, 'docker'));

/** Settings of dockerd, instead of the machine's own in /etc/docker. */
const settings = (folder, host) => ({
  hosts: [host],
  'data-root': join(folder, 'data'),
  'exec-root': join(folder, 'exec'),
  pidfile: join(folder, 'pid'),
  'deprecated-key-path': join(folder, 'key.json'),
  group: '', // the socket is root's alone
  // No bridge of its own, no rule, no route: containers get networks made for them, and a published port is
  // a port of 127.0.0.1 that a process of the engine forwards.
  bridge: 'none',
  iptables: false,
  ip6tables: false,
  'ip-forward': false,
  'ip-masq': false,
  ip: '127.0.0.1',
  'userland-proxy': true,
  'exec-opts': ['native.cgroupdriver=cgroupfs'], // systemd is not asked for anything
});

/**
 * dockerd as the first process of a pid namespace, in a mount namespace: with it, however it ends, go containerd,
 * the containers and what they have mounted. It is asked to end (SIGTERM) when unshare dies, and unshare dies with us.
 * Its /run is empty and its own: some paths there cannot be set.
 * `detached`: a Ctrl-C at the terminal is for the command, which may still need the engine.
 */
function spawnEngine(configFile, logFile) {
  const log = openSync(logFile, 'w');
  const namespaces = [
    '--mount',
    '--propagation',
    'slave',
    '--pid',
    '--fork',
    '--kill-child=SIGTERM',
    '--mount-proc',
  ];
  const args = ['--pdeathsig', 'KILL', 'unshare', ...namespaces, 'sh', '-c', START, configFile];
  try {
    return spawn('setpriv', args, { stdio: ['ignore', log, log], detached: true });
  } finally {
    closeSync(log);
  }
}

/** The pid of the one child of `pid`, as we see it; undefined if there is none. */
function childOf(pid) {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    return child ? Number(child) : undefined;
  } catch {
    return undefined; // `pid` itself has ended
  }
}

async function waitUntilReady(host, ended) {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await engineAnswers(host))) {
    if (ended()) throw new Error('dockerd ended at once');
    if (Date.now() > deadline) throw new Error(`dockerd did not answer within ${START_TIMEOUT_MS} ms`);
    await sleep(100);
  }
}

/**
 * Starts an engine. `environment` leads a command to it; `stop` ends it and removes all it had.
 * Rejects, with the end of dockerd's log, if it does not start.
 */
export async function startPrivateEngine() {
  const made = groups().filter((path) => !existsSync(path));
  const folder = mkdtempSync(join(tmpdir(), 'engine-'));
  const host = `unix://${join(folder, 'docker.sock')}`;
  const logFile = join(folder, 'log');
  const configFile = join(folder, 'daemon.json');
  writeFileSync(configFile, JSON.stringify(settings(folder, host)));
  const unshare = spawnEngine(configFile, logFile);
  let ended = false;
  const exited = new Promise((resolve) => {
    for (const event of ['error', 'exit'])
      unshare.once(event, () => {
        ended = true;
        resolve(undefined);
      });
  });
  // unshare passes no signal on; it ends with dockerd.
  const signal = (name) => {
    const dockerd = childOf(unshare.pid);
    if (dockerd === undefined) unshare.kill(name);
    else process.kill(dockerd, name);
  };
  const stop = async () => {
    if (!ended) await removeFromEngine(host).catch(() => undefined); // dockerd leaves networks as they are
    signal('SIGTERM');
    const timer = setTimeout(signal, STOP_TIMEOUT_MS, 'SIGKILL');
    await exited;
    clearTimeout(timer);
    rmSync(folder, { recursive: true, force: true });
    for (const path of made) removeIfEmpty(path);
  };
  try {
    await waitUntilReady(host, () => ended);
  } catch (error) {
    const log = readFileSync(logFile, 'utf8').trim().split('\n').slice(-10).join('\n');
    await stop();
    throw new Error(`${error instanceof Error ? error.message : error}\n${log}`, { cause: error });
  }
  // Without the second one, testcontainers looks for an engine's address by a bridge that this one lacks.
  return { environment: { DOCKER_HOST: host, TESTCONTAINERS_HOST_OVERRIDE: '127.0.0.1' }, stop };
}

function removeIfEmpty(folder) {
  try {
    rmdirSync(folder);
  } catch {
    // another engine uses it
  }
}
