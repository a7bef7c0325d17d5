import { createHash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Owner, OwnerState } from '../words/owner.ts';

const MACHINE_CHARACTERS = 16;

let own: Promise<Owner> | undefined;

/** Who this process is, so that others can tell whether it still lives. */
export function processIdentity(): Promise<Owner> {
  own ??= readIdentity();
  return own;
}

async function readIdentity(): Promise<Owner> {
  const [machine, boot, namespace, startTime] = await Promise.all([
    readText('/etc/machine-id'),
    readText('/proc/sys/kernel/random/boot_id'),
    readlink('/proc/self/ns/pid').catch(withoutFile),
    startTimeOf('self'),
  ]);
  return {
    host: hostname(),
    // The machine's id is meant to stay private: what is stored tells nobody what it is.
    machine: machine === undefined ? '' : digest(`libvirt-ts-backup ${machine}`),
    boot: boot ?? '',
    pidNamespace: namespace === undefined ? '' : (/\d+/.exec(namespace)?.[0] ?? ''),
    pid: process.pid,
    startTime: startTime ?? '',
  };
}

/**
 * Whether an owner lives, as far as this process can know. `elsewhere`: on another machine, or in another
 * container, where only watching tells.
 */
export async function ownerState(owner: Owner): Promise<OwnerState> {
  const self = await processIdentity();
  if (owner.boot === '' || self.boot === '') return 'elsewhere';
  if (owner.boot !== self.boot) {
    // Names of hosts and ids of machines are cloned; both being the same is taken for the same machine.
    const here = owner.machine !== '' && owner.machine === self.machine && owner.host === self.host;
    return here ? 'dead' : 'elsewhere';
  }
  if (owner.pidNamespace !== self.pidNamespace) return 'elsewhere';
  return (await startTimeOf(String(owner.pid))) === owner.startTime ? 'alive' : 'dead';
}

/** When a process started, in ticks since the machine did: with it a process id is not mistaken for a later one. */
async function startTimeOf(pid: string): Promise<string | undefined> {
  const stat = await readText(`/proc/${pid}/stat`);
  // The second field is the command's name in brackets and may hold anything, brackets and spaces included.
  return stat
    ?.slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .at(19);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    withoutFile(error);
    return undefined;
  }
}

function withoutFile(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  // ESRCH: the process ended while its file was read.
  if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ESRCH') throw error;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, MACHINE_CHARACTERS);
}
