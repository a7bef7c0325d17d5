import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireServers } from '../../harness/index.ts';
import type { ProblemKind } from './problem.ts';
import { type ChainOptions, type ChainReport, replayLine, runChain } from './run-chain.ts';
import { shrink } from './shrink.ts';

// `npm run soak:chain` sets these.
const environment = process.env;
const SEED = Number(environment['CHAIN_SEED'] ?? 20);
const STEPS = Number(environment['CHAIN_STEPS'] ?? 100);
const ONLY = environment['CHAIN_ONLY'];
const TOLERATE = (environment['CHAIN_TOLERATE'] ?? '').split(',') as ProblemKind[];
const IS_SOAK = environment['CHAIN_SEED'] !== undefined;
/** A step takes half a second; a machine may be ten times slower. */
const MS_PER_STEP = 6_000;

const servers = requireServers('libvirtd', 'qemu-system-x86_64', 'qemu-img', 'virsh');

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Kinds of steps that came up and were never carried out: the chain says nothing about them. */
function neverDone({ outcomes }: ChainReport): string[] {
  const expectedToFail = /scratch-|aborted|killed/;
  return [...outcomes]
    .filter(([kind, { done, refused }]) => done === 0 && refused > 2 && !expectedToFail.test(kind))
    .map(([kind]) => kind);
}

describe.skipIf(servers.skip)(servers.title('a random chain of events and backups'), () => {
  const temporary = environment['TMPDIR'];

  beforeAll(() => {
    // In memory: images, scratch files and repositories are written and read over and over.
    environment['TMPDIR'] = '/dev/shm';
  });

  afterAll(() => {
    if (temporary === undefined) delete environment['TMPDIR'];
    else environment['TMPDIR'] = temporary;
  });

  it(
    'every point that is kept restores to what the disks held',
    async () => {
      const indexes = ONLY?.split(',').map(Number) ?? Array.from({ length: STEPS }, (_, index) => index);
      const options: ChainOptions = {
        seed: SEED,
        indexes,
        clearBitmaps: environment['CHAIN_CLEAR_BITMAPS'] === '1',
        tolerate: TOLERATE,
        log: IS_SOAK ? say : undefined,
      };
      say(replayLine(options));
      let report: ChainReport;
      try {
        report = await runChain(options);
      } catch (error) {
        if (environment['CHAIN_SHRINK'] === '1') say(await shrink(options, error));
        throw error;
      }
      if (IS_SOAK) {
        for (const [kind, counts] of report.outcomes) say(`${kind}: ${JSON.stringify(counts)}`);
        say(`${report.compared} disks compared, ${report.problems.length} problems lived with`);
      }
      expect(report.compared).toBeGreaterThan(0);
      expect(neverDone(report), 'kinds of steps that were refused each time').toEqual([]);
    },
    Math.max(240_000, STEPS * MS_PER_STEP) * (environment['CHAIN_SHRINK'] === '1' ? 20 : 1),
  );
});
