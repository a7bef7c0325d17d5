// What must not grow: with the number of points, the size of the disk or the number of its extents.
import { cpSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startChild, waitUntil } from '../dist/harness/index.js';
import { medianAtMost, repeated } from './contests.mjs';
import { measure } from './measure.mjs';
import { atMost, limited, median, noted, pairs } from './pairs.mjs';
import { cli } from './repository-commands.mjs';
import { SERIES_DOMAIN, storeChain, storeStubs } from './repository-series.mjs';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const PEAK_MIB = 200;
const CHAIN = { points: 1000, size: GIB, pieces: 4, pieceBytes: MIB / 4 };
/** Each day another 64 MiB of the disk. */
const DAYS = { points: 30, pieces: 64, pieceBytes: MIB };
const PRUNED_GIB = [1, 10, 100];
/** The same changes touch more pages of a larger disk, up to one for each piece. */
const MOST_GROWTH = 2;
const SPARSE = [
  { name: '1 TiB, 100,000 extents', size: TIB, extents: 100_000 },
  { name: '16 TiB, a million extents', size: 16 * TIB, extents: 2 ** 20 },
];
const START_MS = 10_000;

const scriptPath = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Restores the last and the first point of a long series, in turns. */
export async function chainCase({ root, folder, count }) {
  process.stderr.write(`a series of ${CHAIN.points} points …\n`);
  const repository = join(folder, 'chain');
  const ids = await storeChain(repository, CHAIN);
  const output = join(folder, 'chain.raw');
  const restore = (point) => async () => {
    const from = ['--from', repository, '--domain', SERIES_DOMAIN, '--disk', 'vda', '--point', point];
    const [program, ...args] = cli(root, 'restore-disk', ...from, '--output', output, '--quiet');
    const { wallSeconds } = await measure(program, args);
    rmSync(output);
    return wallSeconds;
  };
  const { ours, theirs } = await pairs(count, restore(ids.at(-1)), restore(ids[0]));
  rmSync(repository, { recursive: true });
  return [atMost(`restore of point ${CHAIN.points}, point 1: time`, 's', 1.1, ours, theirs)];
}

/** Removes the oldest of 30 points of disks of several sizes, all of which change by as much each day. */
export async function pruneCase({ folder, count }) {
  const rows = [];
  let smallest;
  for (const gibibytes of PRUNED_GIB) {
    process.stderr.write(`prune of a disk of ${gibibytes} GiB …\n`);
    const series = join(folder, 'series');
    const repository = join(folder, 'pruned');
    await storeStubs(series, { ...DAYS, size: gibibytes * GIB });
    const runs = await repeated(count, {
      before: () => {
        rmSync(repository, { recursive: true, force: true });
        cpSync(series, repository, { recursive: true });
      },
      run: [process.execPath, scriptPath('prune-stubs.mjs'), repository, String(DAYS.points - 1)],
    });
    const cpu = runs.map(({ cpuSeconds }) => cpuSeconds);
    smallest ??= median(cpu);
    rows.push(
      gibibytes === PRUNED_GIB[0]
        ? { ...noted(`prune of a day, disk of ${gibibytes} GiB: user + system CPU`, 's', cpu, cpu) }
        : medianAtMost(
            `prune of a day, disk of ${gibibytes} GiB: user + system CPU`,
            's',
            cpu,
            Number((smallest * MOST_GROWTH).toFixed(2)),
          ),
    );
    rmSync(series, { recursive: true });
    rmSync(repository, { recursive: true });
  }
  return rows;
}

/** The most memory of full backups of disks that no machine has. */
export async function memoryCase({ folder }) {
  const rows = [];
  for (const { name, size, extents } of SPARSE) {
    process.stderr.write(`full of ${name} …\n`);
    const socket = join(folder, 'sparse.sock');
    const repository = join(folder, 'sparse');
    mkdirSync(repository);
    const server = await startChild(process.execPath, [
      scriptPath('sparse-nbd-server.mjs'),
      ...[socket, String(size), String(extents)],
    ]);
    try {
      await waitUntil(() => isSocket(socket), START_MS, 'the server to listen');
      const { peakMiB } = await measure(process.execPath, [
        scriptPath('sparse-backup.mjs'),
        ...[socket, String(size), repository],
      ]);
      rows.push(limited(`full of ${name}: peak memory`, 'MiB', peakMiB, PEAK_MIB));
    } finally {
      await server.stop();
      rmSync(socket, { force: true });
      rmSync(repository, { recursive: true });
    }
  }
  return rows;
}

function isSocket(path) {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}
