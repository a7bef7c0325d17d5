import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { LibvirtAuthError } from '../errors.ts';
import type { Credentials } from './account.ts';
import { KeyFile } from './key-file.ts';

const SYSTEM_FILE = '/etc/libvirt/auth.conf';

/** Far more than anybody has credentials for. */
const MAX_FILE_BYTES = 1024 * 1024;

/** What the place of `auth.conf` depends on. */
export interface AuthFileEnvironment {
  /** `LIBVIRT_AUTH_FILE` and `XDG_CONFIG_HOME` count. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** `authfile=` of the URI. */
  readonly fromUri: string | undefined;
}

/** The files to look for in this order; the first that can be read counts. One that was named must be there. */
export interface AuthFiles {
  readonly paths: readonly string[];
  readonly isNamed: boolean;
}

export function authFiles({ variables, home, fromUri }: AuthFileEnvironment): AuthFiles {
  const { LIBVIRT_AUTH_FILE: fromVariable, XDG_CONFIG_HOME: configHome } = variables;
  for (const path of [fromVariable, fromUri])
    if (path !== undefined && path !== '') return { paths: [path], isNamed: true };
  const folder = configHome === undefined || configHome === '' ? join(home, '.config') : configHome;
  return { paths: [join(folder, 'libvirt', 'auth.conf'), SYSTEM_FILE], isNamed: false };
}

/**
 * Looks for the credentials of a host in libvirt's `auth.conf`.
 *
 * @throws LibvirtAuthError if there are none, or the file is wrong
 */
export async function readAuthFile(host: string, { paths, isNamed }: AuthFiles): Promise<Credentials> {
  for (const path of paths) {
    const bytes = await readWhole(path, isNamed);
    if (bytes !== undefined) return lookUp(new KeyFile(path, bytes), host);
  }
  throw new LibvirtAuthError(
    `the option credentials was not given, and none of ${paths.join(', ')} can be read`,
    'credentials',
  );
}

/**
 * Takes a host's credentials from the file: `[auth-libvirt-HOST]`, or else `[auth-libvirt-default]`, tells which
 * `[credentials-NAME]` are meant.
 *
 * @throws LibvirtAuthError if there are none
 */
export function lookUp(file: KeyFile, host: string): Credentials {
  const groups = [`auth-libvirt-${host}`, 'auth-libvirt-default'];
  const group = groups.find((name) => file.lineOf(name) !== undefined);
  if (group === undefined)
    throw new LibvirtAuthError(
      `the option credentials was not given, and ${file.path} has no group [${groups.join('] or [')}]`,
      'credentials',
    );
  const name = file.get(group, 'credentials');
  if (name === undefined) throw missing(file, group, 'credentials=');
  const target = `credentials-${name}`;
  if (file.lineOf(target) === undefined)
    throw file.error(file.lineOf(group) ?? 0, `[${group}] refers to [${target}], which is not there`);
  // For SASL libvirt itself takes the authname alone; username is what a reader expects.
  const username = file.get(target, 'authname') ?? file.get(target, 'username');
  const password = file.get(target, 'password');
  if (username === undefined || username === '') throw missing(file, target, 'authname=');
  if (password === undefined || password === '') throw missing(file, target, 'password=');
  return { username, password };
}

function missing(file: KeyFile, group: string, what: string): LibvirtAuthError {
  return file.error(file.lineOf(group) ?? 0, `[${group}] has no ${what}`);
}

/** undefined: it is not there for us, and need not be. */
async function readWhole(path: string, mustBeThere: boolean): Promise<Buffer | undefined> {
  try {
    await using handle = await open(path);
    const { mode, size } = await handle.stat();
    if (size > MAX_FILE_BYTES)
      throw new LibvirtAuthError(`${path} has ${size} bytes: that is no auth.conf`, 'credentials');
    const bytes = await handle.readFile();
    if ((mode & 0o004) !== 0) warnOnce(path);
    return bytes;
  } catch (cause) {
    if (cause instanceof LibvirtAuthError) throw cause;
    const { code = '' } = cause as NodeJS.ErrnoException;
    if (!mustBeThere && ['ENOENT', 'ENOTDIR', 'EACCES'].includes(code)) return undefined;
    throw new LibvirtAuthError(`${path} cannot be read (${code})`, 'credentials', { cause });
  }
}

const warned = new Set<string>();

function warnOnce(path: string): void {
  if (warned.has(path)) return;
  warned.add(path);
  process.emitWarning(`${path} holds passwords and can be read by every user of this machine; chmod 600 it`, {
    type: 'LibvirtWarning',
    code: 'LIBVIRT_AUTH_FILE_READABLE',
  });
}
