import type { SingleBar } from 'cli-progress';

/** Progress bars on the terminal of stderr, one for each thing that advances. */
export interface Progress {
  update(name: string, done: number, total: number): void;
  stop(): void;
}

const MIB = 1024 * 1024;

/** Shows nothing where stderr is no terminal, or if that is wanted. */
export async function startProgress(quiet: boolean): Promise<Progress> {
  if (quiet || !process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  // Only now: most runs have no use for it.
  const { MultiBar } = await import('cli-progress');
  const bars = new MultiBar({
    format: '{name} [{bar}] {percentage}% {value}/{total} MiB, {eta_formatted} left',
    stream: process.stderr,
    hideCursor: true,
    // The command has its own way with signals.
    gracefulExit: false,
  });
  const known = new Map<string, SingleBar>();
  return {
    update(name, done, total) {
      const mib = Math.ceil(total / MIB);
      const bar = known.get(name) ?? bars.create(mib, 0, { name });
      known.set(name, bar);
      bar.update(Math.floor(done / MIB), { name });
    },
    stop() {
      bars.stop();
    },
  };
}
