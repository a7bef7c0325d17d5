import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Measurement } from './measure.ts';

/** Two ways to do the same thing. */
export interface Contest {
  readonly name: string;
  readonly peer: string;
  /** Which of the peer's measurements ours is compared in. */
  readonly measure: keyof Measurement;
  /** Ours divided by the peer's must not be more than this. */
  readonly atMost: number;
  readonly ours: () => Promise<Measurement>;
  readonly theirs: () => Promise<Measurement>;
}

/** The outcome of one contest: medians over all pairs. */
export interface Outcome {
  readonly name: string;
  readonly peer: string;
  readonly ours: Measurement;
  readonly theirs: Measurement;
  readonly measure: keyof Measurement;
  /** Median of the ratios ours / theirs, pair by pair. */
  readonly ratio: number;
  readonly atMost: number;
  readonly reached: boolean;
}

const PAIRS = 5;
const results = fileURLToPath(new URL('../../../bench-results/', import.meta.url));

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** One pair as a warm-up, then five: neighbours in time share what else the machine does. */
export async function compete(contest: Contest): Promise<Outcome> {
  const { name, peer, measure, atMost } = contest;
  await contest.ours();
  await contest.theirs();
  const pairs: { ours: Measurement; theirs: Measurement }[] = [];
  for (let pair = 0; pair < PAIRS; pair++)
    pairs.push({ ours: await contest.ours(), theirs: await contest.theirs() });
  const ours = medians(pairs.map((pair) => pair.ours));
  const theirs = medians(pairs.map((pair) => pair.theirs));
  const ratio = median(pairs.map((pair) => pair.ours[measure] / pair.theirs[measure]));
  return { name, peer, ours, theirs, measure, ratio, atMost, reached: ratio <= atMost };
}

function medians(all: readonly Measurement[]): Measurement {
  const of = (key: keyof Measurement): number => median(all.map((one) => one[key]));
  return {
    wallSeconds: of('wallSeconds'),
    cpuSeconds: of('cpuSeconds'),
    userSeconds: of('userSeconds'),
    peakMiB: of('peakMiB'),
  };
}

/** Prints a table and writes the same as JSON. */
export function report(benchmark: string, outcomes: readonly Outcome[]): void {
  const format = ({ wallSeconds, cpuSeconds, peakMiB }: Measurement): string =>
    `${wallSeconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s CPU, ${peakMiB.toFixed(0)} MiB`;
  for (const { name, peer, ours, theirs, measure, ratio, atMost, reached } of outcomes) {
    process.stdout.write(`\n${name}\n  ours: ${format(ours)}\n  ${peer}: ${format(theirs)}\n`);
    const goal = `${measure} ours/theirs ${ratio.toFixed(2)}, goal ≤ ${atMost.toFixed(2)}`;
    process.stdout.write(`  ${goal}: ${reached ? 'reached' : 'NOT reached'}\n`);
  }
  mkdirSync(results, { recursive: true });
  const file = join(results, `${benchmark}.json`);
  const machine = { node: process.version, cpus: cpus().length, model: cpus()[0]?.model };
  writeFileSync(file, `${JSON.stringify({ machine, outcomes }, null, 2)}\n`);
  process.stdout.write(`\nWritten to ${file}\n`);
}
