import type { Params } from 'cli-progress';

/** How far things are, shown on stderr; one line for each thing that advances. */
export interface Progress {
  update(name: string, done: number, total: number): void;
  stop(): void;
}

const MIB = 1024 * 1024;
const LINE_INTERVAL_MS = 5_000;
const LONGEST_BAR = 40;
const SHORTEST_BAR = 8;
const NOTHING: Progress = { update: () => undefined, stop: () => undefined };

/** Bars where stderr is a terminal, lines of text now and then where that is a dumb one, else nothing. */
export async function startProgress(quiet: boolean): Promise<Progress> {
  if (quiet || !process.stderr.isTTY) return NOTHING;
  return process.env['TERM'] === 'dumb' ? progressLines() : progressBars();
}

/** No escape code, no carriage return: a line when something starts, at intervals and when it ends. */
function progressLines(): Progress {
  const shown = new Map<string, number>();
  return {
    update(name, done, total) {
      const last = shown.get(name) ?? -Infinity;
      const isDone = done >= total && last < Infinity;
      if (!isDone && performance.now() - last < LINE_INTERVAL_MS) return;
      shown.set(name, isDone ? Infinity : performance.now());
      process.stderr.write(`${name} ${percentage(done, total)}, ${mebibytes(done, total)}\n`);
    },
    stop: () => undefined,
  };
}

async function progressBars(): Promise<Progress> {
  // Only now: most runs have no use for it.
  const { MultiBar } = await import('cli-progress');
  const bars = new MultiBar({
    format: (_options, params: Params, payload: { readonly name: string }) =>
      formatBar(payload.name, params, process.stderr.columns),
    stream: process.stderr,
    hideCursor: true,
    // The command has its own way with signals.
    gracefulExit: false,
  });
  const known = new Map<string, ReturnType<typeof bars.create>>();
  return {
    update(name, done, total) {
      const bar = known.get(name) ?? bars.create(total, 0, { name });
      known.set(name, bar);
      bar.update(done, { name });
    },
    stop() {
      bars.stop();
    },
  };
}

/** One line that fits: name and percentage always, then what there is room for. */
export function formatBar(
  name: string,
  { value, total, eta }: Pick<Params, 'value' | 'total' | 'eta'>,
  columns: number,
): string {
  const width = columns - 1; // a cursor behind the last column wraps on some terminals
  const percent = percentage(value, total);
  let line = `${name.slice(0, Math.max(1, width - percent.length - 1))} ${percent}`;
  const left = Number.isFinite(eta) && value < total ? `, ${duration(eta)} left` : '';
  for (const more of [` ${mebibytes(value, total)}`, left])
    if (line.length + more.length <= width) line += more;
    else break;
  const bar = Math.min(LONGEST_BAR, width - line.length - ' []'.length);
  if (bar < SHORTEST_BAR) return line;
  const filled = Math.floor(bar * share(value, total));
  return line.replace(` ${percent}`, () => ` [${'='.repeat(filled).padEnd(bar, '-')}] ${percent}`);
}

function share(done: number, total: number): number {
  return total > 0 ? Math.min(1, done / total) : 1;
}

function percentage(done: number, total: number): string {
  return `${Math.floor(share(done, total) * 100)}%`;
}

function mebibytes(done: number, total: number): string {
  return `${Math.floor(done / MIB)}/${Math.ceil(total / MIB)} MiB`;
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${whole % 60}s`;
  return `${Math.floor(whole / 3600)}h${Math.floor((whole % 3600) / 60)}m`;
}
