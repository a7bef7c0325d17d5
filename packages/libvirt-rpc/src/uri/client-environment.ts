import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { LibvirtUsageError } from '../errors.ts';
import { LibvirtConf } from './libvirt-conf.ts';
import type { TargetEnvironment } from './target.ts';

const SYSTEM_CONF = '/etc/libvirt/libvirt.conf';

/** The process we run in, and libvirt.conf: root's is the system's, everybody else has one's own. */
export async function readEnvironment(): Promise<TargetEnvironment> {
  const isRoot = process.geteuid?.() === 0;
  const home = homedir();
  const path = isRoot ? SYSTEM_CONF : join(configFolder(home), 'libvirt/libvirt.conf');
  return { isRoot, home, runtimeDir: process.env['XDG_RUNTIME_DIR'], conf: await readConf(path) };
}

function configFolder(home: string): string {
  const given = process.env['XDG_CONFIG_HOME'];
  return given === undefined || given === '' ? join(home, '.config') : given;
}

async function readConf(path: string): Promise<LibvirtConf> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return LibvirtConf.NONE;
    throw new LibvirtUsageError(`cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  return LibvirtConf.parse(text, path);
}

/**
 * The URI to connect to: the one given, else `LIBVIRT_DEFAULT_URI`, else `uri_default` of libvirt.conf; an alias
 * of `uri_aliases` is replaced by what it stands for.
 *
 * @throws LibvirtUsageError if there is none
 */
export function chooseUri(given: string | undefined, conf: LibvirtConf): string {
  const uri = given ?? (process.env['LIBVIRT_DEFAULT_URI'] || conf.text('uri_default')) ?? '';
  if (uri === '')
    throw new LibvirtUsageError(
      'no URI was given, LIBVIRT_DEFAULT_URI is not set, and libvirt.conf has no uri_default',
    );
  return conf.alias(uri) ?? uri;
}
