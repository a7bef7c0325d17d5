import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './processes.ts';
import { commandPath } from './requirements.ts';

/** Makes the folder `path` with keys.psk, a file of pre-shared keys for the users named; returns the file. */
export async function makePresharedKeys(path: string, ...users: readonly string[]): Promise<string> {
  mkdirSync(path, { mode: 0o755 });
  const file = join(path, 'keys.psk');
  for (const user of users) await run(commandPath('psktool'), ['-u', user, '-p', file]);
  return file;
}
