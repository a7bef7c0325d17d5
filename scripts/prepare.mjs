// Brings a bare clone to the point where it can run: system packages, npm packages, build.
// Uses nothing but Node itself, because it runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const OLDEST_NODE = { major: 20, minor: 19 };
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const POLICY = '/usr/sbin/policy-rc.d';

/** A step that cannot go on; the message is all the user has to know. */
export class PrepareError extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

const hasCommand = (name) =>
  [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_FOLDERS].some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** libvirtd's driver for QEMU is a plugin in a package of its own. */
function hasQemuDriver() {
  const folders = ['/usr/lib', '/usr/lib64', '/usr/local/lib'].filter((folder) => existsSync(folder));
  const nested = existsSync('/usr/lib')
    ? readdirSync('/usr/lib').filter((name) => name.includes('-linux-'))
    : [];
  return [...folders, ...nested.map((name) => join('/usr/lib', name))].some((folder) =>
    existsSync(join(folder, 'libvirt/connection-driver/libvirt_driver_qemu.so')),
  );
}

/** Each of libsasl2's plugins is in a package of its own. */
function hasSaslPlugin(name) {
  const nested = existsSync('/usr/lib') ? readdirSync('/usr/lib') : [];
  const folders = ['/usr/lib64', '/usr/lib', ...nested.map((folder) => join('/usr/lib', folder))];
  return folders.some((folder) => existsSync(join(folder, 'sasl2', name)));
}

const hasPythonLibvirt = () => existsSync('/usr/lib/python3/dist-packages/libvirt.py');

/** Several programs are called nc, and some of them know no unix sockets. */
function hasUnixNetcat() {
  const env = { ...process.env, PATH: [process.env.PATH, ...SYSTEM_FOLDERS].join(delimiter) };
  const { stdout, stderr } = spawnSync('nc', ['-h'], { env, encoding: 'utf8', timeout: 5_000 });
  return /(?:^|[\s[])-\w*U/m.test(`${stdout}${stderr}`);
}

const command = (name, debianPackage) => ({ name, debianPackage, present: () => hasCommand(name) });

const saslPlugin = (name, debianPackage) => ({ name, debianPackage, present: () => hasSaslPlugin(name) });

const FOR_DEMO = [
  command('libvirtd', 'libvirt-daemon'),
  { name: "libvirt's QEMU driver", debianPackage: 'libvirt-daemon-driver-qemu', present: hasQemuDriver },
  command('qemu-system-x86_64', 'qemu-system-x86'),
  command('qemu-img', 'qemu-utils'),
  command('qemu-io', 'qemu-utils'),
];

const REQUIREMENTS = {
  demo: FOR_DEMO,
  bench: [
    ...FOR_DEMO,
    command('virsh', 'libvirt-clients'),
    command('qemu-nbd', 'qemu-utils'),
    command('nbdkit', 'nbdkit'),
    command('nbdcopy', 'libnbd-bin'),
    command('nbdinfo', 'libnbd-bin'),
    command('psktool', 'gnutls-bin'),
    // The Python binding that the small calls are compared with: for the system's own Python.
    { name: 'python3-libvirt', debianPackage: 'python3-libvirt', present: hasPythonLibvirt },
  ],
  verify: [
    ...FOR_DEMO,
    command('qemu-nbd', 'qemu-utils'),
    command('qemu-storage-daemon', 'qemu-system-common'),
    command('virsh', 'libvirt-clients'),
    command('nbdkit', 'nbdkit'),
    command('nbd-server', 'nbd-server'),
    command('nbdinfo', 'libnbd-bin'),
    command('nbdcopy', 'libnbd-bin'),
    command('certtool', 'gnutls-bin'),
    command('saslpasswd2', 'sasl2-bin'),
    saslPlugin('libscram.so', 'libsasl2-modules'),
    saslPlugin('libsasldb.so', 'libsasl2-modules-db'),
    command('ssh', 'openssh-client'),
    command('ssh-keygen', 'openssh-client'),
    command('sshd', 'openssh-server'),
    command('virt-ssh-helper', 'libvirt-daemon'),
    { name: 'nc for unix sockets', debianPackage: 'netcat-openbsd', present: hasUnixNetcat },
    command('psktool', 'gnutls-bin'),
  ],
  // Where no container engine answers: one that can be started. It comes with containerd and runc.
  containers: [command('dockerd', 'docker.io'), command('unshare', 'util-linux')],
};

const say = (text) => process.stderr.write(`${text}\n`);

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE.major || (major === OLDEST_NODE.major && minor >= OLDEST_NODE.minor)) return;
  throw new PrepareError(
    `Node ${OLDEST_NODE.major}.${OLDEST_NODE.minor} or newer is needed; this is Node ${process.versions.node}.`,
  );
}

/**
 * Runs a command with its output on stderr. A signal is passed on to it, and ends the preparation when it has ended:
 * nothing goes on behind the user's back.
 */
async function runStep(program, args, env = process.env) {
  let received;
  const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 2, 2] });
  const pass = (signal) => {
    received ??= signal;
    child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, pass);
  const line = [program, ...args].join(' ');
  try {
    const [code, signal] = await once(child, 'close');
    if (received) throw new PrepareError(`Interrupted by ${received}.`, 128 + osConstants.signals[received]);
    if (signal) throw new PrepareError(`"${line}" was ended by ${signal}.`);
    if (code !== 0) throw new PrepareError(`"${line}" failed with exit status ${code}.`);
  } catch (error) {
    if (error instanceof PrepareError) throw error;
    throw new PrepareError(
      `"${line}" could not be started: ${error instanceof Error ? error.message : error}`,
    );
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, pass);
  }
}

function isDebian() {
  try {
    const release = readFileSync('/etc/os-release', 'utf8');
    return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(release) && hasCommand('apt-get');
  } catch {
    return false;
  }
}

/** Debian starts the services of a freshly installed package, unless this file says no. We need none. */
async function withoutServiceStart(action) {
  const own = !existsSync(POLICY);
  try {
    if (own) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    await action();
  } finally {
    if (own) rmSync(POLICY, { force: true });
  }
}

async function installPackages(packages) {
  say(`Installing the missing system packages: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await withoutServiceStart(async () => {
    await runStep('apt-get', ['update', '-q'], env);
    await runStep('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], env);
  });
}

/** Installs the system packages that are missing for `purpose`. Throws PrepareError with a message for the user. */
export async function prepareSystem(purpose) {
  const requirements = REQUIREMENTS[purpose];
  const missing = requirements.filter(({ present }) => !present());
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(', ');
  if (!isDebian()) {
    throw new PrepareError(`Missing on this machine: ${names}. Install them and start again.`);
  }
  const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))];
  if (process.getuid?.() !== 0) {
    const line = `sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`;
    throw new PrepareError(
      `Missing on this machine: ${names}. Install them with\n\n  sudo apt-get update && ${line}\n\nand start again.`,
    );
  }
  await installPackages(packages);
  const still = requirements.filter(({ present }) => !present()).map(({ name }) => name);
  if (still.length > 0) {
    throw new PrepareError(`Still missing after the installation: ${still.join(', ')}.`);
  }
}

function readLock(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages ?? {};
  } catch {
    return undefined;
  }
}

/** True when node_modules holds exactly what the lock file asks for, as far as npm's own record tells. */
function modulesAgreeWithLock() {
  const wanted = readLock('package-lock.json');
  const installed = readLock('node_modules/.package-lock.json');
  if (wanted === undefined || installed === undefined) return false;
  const ofRegistry = Object.entries(wanted).filter(
    ([path, entry]) => path.includes('node_modules/') && !entry.link,
  );
  const complete = ofRegistry.every(([path, entry]) => {
    const present = installed[path];
    // Binaries for other platforms, and what only those need, are in the lock file and not in the folder.
    if (present === undefined) return entry.optional === true;
    if (!(entry.os ?? [process.platform]).includes(process.platform)) return false;
    if (!(entry.cpu ?? [process.arch]).includes(process.arch)) return false;
    return (
      present.version === entry.version &&
      present.integrity === entry.integrity &&
      existsSync(join(root, path))
    );
  });
  const linked = Object.entries(wanted).every(
    ([path, entry]) => !entry.link || existsSync(join(root, path, 'package.json')),
  );
  return complete && linked && Object.keys(installed).every((path) => path in wanted);
}

async function npm(...args) {
  // Under `npm run` this is the npm that runs us; otherwise the one in PATH.
  const path = process.env.npm_execpath;
  if (path?.endsWith('.js')) await runStep(process.execPath, [path, ...args]);
  else await runStep('npm', args);
}

/**
 * Does what is missing for `for`: 'demo', 'verify' or 'bench', and nothing when all is there.
 * `build: false` leaves the compilation to the caller.
 * Throws PrepareError with a message for the user.
 */
export async function prepare({ for: purpose, build = true }) {
  checkNode();
  await prepareSystem(purpose);
  if (!modulesAgreeWithLock()) {
    say('Installing the npm packages (npm ci)');
    await npm('ci', '--include=dev', '--no-audit', '--no-fund');
  }
  if (!build) return;
  say('Building (npm run build)');
  await npm('run', '--silent', 'build');
}
