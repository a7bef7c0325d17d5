import { join } from 'node:path';
import { unpackFromBackports } from './debian-backports.ts';
import { run } from './processes.ts';
import { findCommand, type ServerRequirement } from './requirements.ts';

/** Since this release QEMU's server speaks extended headers. */
const FIRST_WITH_EXTENDED_HEADERS = [8, 2] as const;

const COMMANDS = ['qemu-nbd', 'qemu-img', 'qemu-io', 'qemu-storage-daemon'] as const;

/** Tools of a QEMU that speaks extended headers. */
export interface Qemu10 extends ServerRequirement {
  /** The full path of one of its commands. */
  command(name: (typeof COMMANDS)[number]): string;
}

/**
 * A QEMU with extended headers: the machine's own if it is new enough, else that of Debian's backports,
 * unpacked into a private folder. Where it cannot be had, tests are skipped with the reason; where
 * REQUIRE_SERVERS=1 that is an error.
 */
export async function requireQemu10(): Promise<Qemu10> {
  try {
    const folder = await findQemu10();
    return {
      missing: [],
      skip: false,
      title: (name) => name,
      command: (name) => join(folder, name),
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (process.env['REQUIRE_SERVERS'] === '1')
      throw new Error(`REQUIRE_SERVERS=1, but there is no QEMU 10: ${reason}`, { cause: error });
    return {
      missing: ['QEMU 10'],
      skip: true,
      title: (name) => `${name} (skipped: no QEMU 10: ${reason})`,
      command: (name) => {
        throw new Error(`no ${name} of QEMU 10: ${reason}`);
      },
    };
  }
}

/** The folder with its commands. */
async function findQemu10(): Promise<string> {
  const own = findCommand('qemu-nbd');
  if (own !== undefined && (await isNewEnough(own))) return join(own, '..');
  const folder = join(await unpackFromBackports('qemu-utils'), 'usr/bin');
  for (const name of COMMANDS) await checkLibraries(join(folder, name));
  if (await isNewEnough(join(folder, 'qemu-nbd'))) return folder;
  throw new Error('the qemu-nbd of the backports is too old for extended headers');
}

async function isNewEnough(qemuNbd: string): Promise<boolean> {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(await run(qemuNbd, ['--version'])) ?? [];
  const [firstMajor, firstMinor] = FIRST_WITH_EXTENDED_HEADERS;
  return Number(major) > firstMajor || (Number(major) === firstMajor && Number(minor) >= firstMinor);
}

/** The unpacked commands use the machine's libraries, which its own QEMU has brought along. */
async function checkLibraries(command: string): Promise<void> {
  const missing = [...(await run('ldd', [command])).matchAll(/^\s*(\S+) => not found/gm)].map(
    ([, library]) => library,
  );
  if (missing.length > 0) throw new Error(`${command} needs ${missing.join(', ')}`);
}
