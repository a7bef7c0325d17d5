// Benchmarks as pairs: ours and the other one take turns, so that what else the machine does hits both.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Runs `ours` and `theirs` once each to warm up, then in turns; both resolve with a rate. */
export async function pairs(count, ours, theirs) {
  await theirs();
  await ours();
  /** @type {{ ours: number[], theirs: number[], ratios: number[] }} */
  const result = { ours: [], theirs: [], ratios: [] };
  for (let round = 0; round < count; round++) {
    const oursFirst = round % 2 === 0;
    const first = await (oursFirst ? ours : theirs)();
    const second = await (oursFirst ? theirs : ours)();
    const [mine, other] = oursFirst ? [first, second] : [second, first];
    result.ours.push(mine);
    result.theirs.push(other);
    result.ratios.push(mine / other);
  }
  return result;
}

/** A row of the table; `ratio` is the median of the pairs' ratios. */
export function compared(name, unit, goal, result) {
  const ratio = median(result.ratios);
  return {
    name,
    unit,
    ours: median(result.ours),
    theirs: median(result.theirs),
    ratio,
    goal: `>= ${goal.toFixed(2)} x`,
    reached: ratio >= goal,
    runs: result,
  };
}

/** A row for a value that must not be exceeded. */
export function limited(name, unit, value, most) {
  return { name, unit, ours: value, goal: `<= ${most}`, reached: value <= most };
}

/** A row for what should be little: the median of the pairs' ratios is at most `goal`. */
export function atMost(name, unit, goal, ours, theirs) {
  const row = noted(name, unit, ours, theirs);
  return { ...row, goal: `<= ${goal.toFixed(2)} x`, reached: row.ratio <= goal };
}

/** A row of the table that has no goal. */
export function noted(name, unit, ours, theirs) {
  const ratios = ours.map((value, index) => value / theirs[index]);
  const runs = { ours, theirs, ratios };
  return { name, unit, ours: median(ours), theirs: median(theirs), ratio: median(ratios), runs };
}

const shown = (value) => (value === undefined ? '' : value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** Prints the table and writes the JSON file; returns whether every goal is reached. */
export function report(root, name, rows) {
  const lines = rows.map((row) => [
    row.name,
    row.unit,
    shown(row.ours),
    shown(row.theirs),
    shown(row.ratio),
    row.goal ?? '',
    row.goal === undefined ? '' : row.reached ? 'yes' : 'NO',
  ]);
  const table = [['what', 'unit', 'ours', 'theirs', 'ratio', 'goal', 'reached'], ...lines];
  const widths = table[0].map((_, column) => Math.max(...table.map((line) => line[column].length)));
  for (const line of table)
    process.stdout.write(`${line.map((cell, column) => cell.padEnd(widths[column])).join('  ')}\n`);
  const folder = join(root, 'bench-results');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.json`);
  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length };
  writeFileSync(path, `${JSON.stringify({ date: new Date().toISOString(), machine, rows }, null, 2)}\n`);
  process.stdout.write(`\n${path}\n`);
  return rows.every(({ goal, reached }) => goal === undefined || reached);
}
