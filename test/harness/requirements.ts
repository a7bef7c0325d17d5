import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** System folders come last: a plain user's PATH often lacks the sbin folders where daemons live. */
function searchPath(): string[] {
  const own = (process.env['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/'));
  return [...own, '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];
}

/** The full path of a command, or undefined when this machine does not have it. */
export function findCommand(name: string): string | undefined {
  for (const folder of searchPath()) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return undefined;
}

/** The full path of a command. Throws when this machine does not have it. */
export function commandPath(name: string): string {
  const path = findCommand(name);
  if (path === undefined) throw new Error(`${name} is not installed (searched ${searchPath().join(':')})`);
  return path;
}

/** Whether libsasl2 has the plugin, such as `libscram.so`: each is a package of its own. */
function hasSaslPlugin(name: string): boolean {
  const folders = [
    '/usr/lib64',
    ...readdirSync('/usr/lib').map((folder) => join('/usr/lib', folder)),
    '/usr/lib',
  ];
  return folders.some((folder) => existsSync(join(folder, 'sasl2', name)));
}

/** Several programs are called nc, and some of them know no unix sockets. */
const PROOFS: Readonly<Record<string, (path: string) => boolean>> = {
  nc: (path) => /(?:^|[\s[])-\w*U/m.test(helpOf(path)),
};

function helpOf(path: string): string {
  const { stdout, stderr } = spawnSync(path, ['-h'], { encoding: 'utf8', timeout: 5_000 });
  return `${stdout}${stderr}`;
}

function isMissing(command: string): boolean {
  if (command.startsWith('sasl2/')) return !hasSaslPlugin(command.slice('sasl2/'.length));
  const path = findCommand(command);
  return path === undefined || PROOFS[command]?.(path) === false;
}

/** To be used as `describe.skipIf(servers.skip)(servers.title('…'), …)`. */
export interface ServerRequirement {
  readonly missing: readonly string[];
  readonly skip: boolean;
  /** The title, followed by the reason when the tests are skipped. */
  title(name: string): string;
}

/**
 * Names the commands a test file needs, and the plugins of libsasl2 as `sasl2/libscram.so`. Where one is missing its tests are skipped, with the reason in the
 * title; where REQUIRE_SERVERS=1 a missing command is an error and the test file fails.
 */
export function requireServers(...commands: readonly string[]): ServerRequirement {
  const missing = commands.filter(isMissing);
  if (missing.length > 0 && process.env['REQUIRE_SERVERS'] === '1') {
    throw new Error(`REQUIRE_SERVERS=1, but this machine lacks ${missing.join(', ')}`);
  }
  const skip = missing.length > 0;
  return { missing, skip, title: (name) => (skip ? `${name} (skipped: no ${missing.join(', ')})` : name) };
}
