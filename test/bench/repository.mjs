// Whole backups, restores and what a repository does, as commands, against virsh with nbdcopy, virtnbdbackup and
// qemu-img. Arguments: [--pairs N] [--only CASE,CASE] [CASE…]; all cases by default.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { giveTo, makeTemporaryFolder } from '../dist/harness/index.js';
import { contest, medianAtMost, repeated } from './contests.mjs';
import { report } from './pairs.mjs';
import { ourCommands, virshFull, virtnbdCommands } from './repository-commands.mjs';
import { exportQcow2, startDomains } from './repository-domains.mjs';
import { chainCase, memoryCase, pruneCase } from './repository-scale.mjs';
import { padPoints } from './repository-series.mjs';

const PAIRS = 5;
const GIBIBYTES = 2;
const PEAK_MIB = 200;
const MIB = 2 ** 20;
const POINTS = 2000;
/** 64 MiB in pieces of 8 MiB. */
const DIRTY = Array.from({ length: 8 }, (_, index) => ({ offset: index * 200 * MIB, length: 8 * MIB }));
const LOOP_DELAY = fileURLToPath(new URL('loop-delay.mjs', import.meta.url));

/** Each takes the tools and resolves with the rows of its table. `bare`: needs no domain. */
const CASES = {
  full: async ({ versus, ours, bench, folder }) =>
    versus(
      { name: 'full of 2 GiB', peer: 'virsh + nbdcopy', wall: 1.4, cpuSeconds: 3.2 },
      ours().full,
      virshFull(await bench(), folder),
    ),

  'full-virtnbdbackup': ({ versus, ours, theirs }) =>
    versus({ name: 'full of 2 GiB', peer: 'virtnbdbackup', wall: 0.45 }, ours().full, theirs().full),

  delay: async ({ count, ours, folder }) => {
    const file = join(folder, 'loop-delay');
    const { before, run } = ours().full;
    const [node, ...args] = run;
    const delays = [];
    const after = () => delays.push(JSON.parse(readFileSync(file, 'utf8')));
    await repeated(count, {
      before,
      run: ['env', `LOOP_DELAY=${file}`, node, '--import', LOOP_DELAY, ...args],
      after,
    });
    const values = (key) => delays.slice(1).map((each) => each[key]);
    return [medianAtMost('full of 2 GiB: event-loop delay, 99 %', 'ms', values('p99'), 20)];
  },

  incremental: async ({ versus, ours, theirs, bench }) => {
    const { scribble } = await bench();
    await ours().base();
    await theirs().base();
    const name = 'incremental of 64 MiB in pieces of 8 MiB';
    return versus(
      { name, peer: 'virtnbdbackup', wall: 0.25 },
      { ...ours().incremental, before: () => scribble('ours', DIRTY) },
      { ...theirs().incremental, before: () => scribble('theirs', DIRTY) },
    );
  },

  empty: async ({ count, ours }) => {
    const { repository, base, incremental } = ours();
    await base();
    const rows = [];
    for (const points of [1, POINTS]) {
      if (points > 1) await padPoints(repository, points);
      const runs = await repeated(count, incremental);
      const times = runs.map(({ wallSeconds }) => wallSeconds);
      rows.push(medianAtMost(`an empty incremental behind ${points} points: time`, 's', times, 0.35));
    }
    return rows;
  },

  restore: async ({ versus, ours, bench, folder }) => {
    await ours().base();
    const image = join(folder, 'peer.qcow2');
    const output = join(folder, 'peer.raw');
    await exportQcow2((await bench()).domains.ours, image);
    const convert = ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, output];
    const rows = await versus(
      { name: 'restore of 2 GiB', peer: 'qemu-img convert', wall: 3 },
      ours().restore,
      { run: convert, after: () => rmSync(output) },
    );
    rmSync(image);
    return rows;
  },

  'restore-virtnbdbackup': async ({ versus, ours, theirs }) => {
    await ours().base();
    await theirs().base();
    const wanted = { name: 'restore of 2 GiB', peer: 'virtnbdrestore', wall: 0.35 };
    return versus(wanted, ours().restore, theirs().restore);
  },

  verify: async ({ count, ours }) => {
    await ours().base();
    const runs = await repeated(count, ours().verify);
    const cpu = runs.map(({ cpuSeconds }) => cpuSeconds / GIBIBYTES);
    const times = runs.map(({ wallSeconds }) => wallSeconds / GIBIBYTES);
    return [
      medianAtMost('deep verify: user + system CPU of a GiB', 's', cpu, 1),
      medianAtMost('deep verify: time of a GiB', 's', times, 1),
    ];
  },

  chain: chainCase,
  prune: pruneCase,
  memory: memoryCase,
};

export default async function run({ root, args }) {
  const wanted = chosenCases(args);
  if (typeof wanted === 'string') {
    process.stderr.write(`${wanted}\n`);
    return false;
  }
  const folder = makeTemporaryFolder('bench', '/dev/shm');
  const rows = [];
  /** @type {ReturnType<typeof startFilled> | undefined} */
  let bench;
  // Cases without a domain do not wait for one.
  const started = () => (bench ??= startFilled(folder.path));
  try {
    for (const name of wanted.names) {
      const domains = ['chain', 'prune', 'memory'].includes(name) ? undefined : await started();
      const tools = { bench: domains, folder: folder.path, root };
      rows.push(
        ...(await CASES[name]({
          ...tools,
          bench: started,
          count: wanted.pairs,
          ours: () => ourCommands(tools),
          theirs: () => virtnbdCommands(tools),
          versus: (row, ours, theirs) =>
            contest({ peakMiB: PEAK_MIB, pairs: wanted.pairs, ...row }, ours, theirs),
        })),
      );
    }
    return report(root, 'repository', rows);
  } finally {
    await (await bench)?.stop();
    folder.remove();
  }
}

/** @returns a sentence where the arguments make no sense */
function chosenCases(args) {
  const { values, positionals } = parseArgs({
    args,
    options: { only: { type: 'string' }, pairs: { type: 'string' } },
    allowPositionals: true,
  });
  const names = [...positionals, ...(values.only ?? '').split(',').filter(Boolean)];
  const unknown = names.filter((name) => !Object.hasOwn(CASES, name));
  if (unknown.length > 0)
    return `There is no case ${unknown.join(', ')}; the cases are ${Object.keys(CASES).join(', ')}`;
  const count = Number(values.pairs ?? PAIRS);
  if (!Number.isInteger(count) || count < 1) return '--pairs takes a number from 1 on';
  return { names: names.length === 0 ? Object.keys(CASES) : names, pairs: count };
}

/** Two domains with the same amount of random data. */
async function startFilled(folder) {
  mkdirSync(join(folder, 'images'));
  const tools = ['ours', 'theirs'];
  const bench = await startDomains(folder, { gibibytes: GIBIBYTES, tools });
  try {
    giveTo(bench.libvirtd.user, join(folder, 'images'));
    const pieces = Array.from({ length: GIBIBYTES * 4 }, (_, index) => ({
      offset: index * 256 * MIB,
      length: 256 * MIB,
    }));
    for (const tool of tools) await bench.scribble(tool, pieces);
    return bench;
  } catch (error) {
    await bench.stop();
    throw error;
  }
}
