// Whole commands, measured in pairs or against a limit. A command is { before, run, after }: only `run` counts.
import { measure } from './measure.mjs';
import { atMost, limited, median, noted, pairs } from './pairs.mjs';

/**
 * Two commands in turns: rows for their time, CPU and memory.
 *
 * @param {{ name: string, peer: string, pairs: number, wall: number, cpuSeconds?: number, peakMiB: number }} wanted
 *   `wall`: the largest share of the peer's time
 */
export async function contest(wanted, ours, theirs) {
  const { name, peer, wall, cpuSeconds, peakMiB } = wanted;
  process.stderr.write(`${name}, against ${peer} …\n`);
  const runs = { ours: [], theirs: [] };
  const timed = (side, work) => async () => {
    const result = await timedRun(work);
    runs[side].push(result);
    return result.wallSeconds;
  };
  const times = await pairs(wanted.pairs, timed('ours', ours), timed('theirs', theirs));
  // Without the warm-up.
  const values = (side, key) => runs[side].slice(1).map((each) => each[key]);
  const title = (what) => `${name}, ${peer}: ${what}`;
  const cpu = noted(
    title('user + system CPU'),
    's',
    values('ours', 'cpuSeconds'),
    values('theirs', 'cpuSeconds'),
  );
  return [
    atMost(title('time'), 's', wall, times.ours, times.theirs),
    cpuSeconds === undefined ? cpu : { ...cpu, goal: `<= ${cpuSeconds} s`, reached: cpu.ours <= cpuSeconds },
    limited(title('peak memory'), 'MiB', Math.max(...values('ours', 'peakMiB')), peakMiB),
  ];
}

/** One command, so often, after one to warm up. */
export async function repeated(count, work) {
  await timedRun(work);
  const runs = [];
  for (let round = 0; round < count; round++) runs.push(await timedRun(work));
  return runs;
}

/** A row for the median of a value, which is to be at most so much. */
export function medianAtMost(name, unit, values, most) {
  return { ...limited(name, unit, median(values), most), runs: { ours: values } };
}

async function timedRun({ before, run: [program, ...args], after }) {
  await before?.();
  const result = await measure(program, args);
  await after?.();
  return result;
}
