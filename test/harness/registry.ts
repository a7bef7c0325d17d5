import { existsSync, rmSync } from 'node:fs';
import { commandLine, isRunning, processesWithEnvironmentBelow } from './proc-table.ts';

// What the harness of this process has started or made and must not outlive it.
const children = new Map<number, { readonly command: string; readonly startTime: string | undefined }>();
const folders = new Set<string>();
const everMade = new Set<string>();
const lastActions = new Set<() => void>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
let installed = false;

export function rememberChild(pid: number, command: string, startTime: string | undefined): void {
  installExitHandlers();
  children.set(pid, { command, startTime });
}

export function forgetChild(pid: number): void {
  children.delete(pid);
}

export function rememberFolder(path: string): void {
  installExitHandlers();
  folders.add(path);
  everMade.add(path);
}

/** To be called once the folder is gone; `leftovers` still looks for it. */
export function forgetFolder(path: string): void {
  folders.delete(path);
}

/**
 * Has `action` called when this process ends, by a signal too; it must not wait for events.
 * Returns what takes it back.
 */
export function callAtEnd(action: () => void): () => void {
  installExitHandlers();
  lastActions.add(action);
  return () => {
    lastActions.delete(action);
  };
}

/**
 * Everything started or made by the harness of this process that still exists: children, offspring of the
 * private daemons, temporary folders. Empty after every test that cleans up.
 */
export function leftovers(): string[] {
  const found: string[] = [];
  for (const [pid, { command, startTime }] of children) {
    if (isRunning(pid, startTime)) found.push(`process ${pid}: ${command}`);
  }
  for (const folder of everMade) {
    if (existsSync(folder)) found.push(`folder ${folder}`);
    for (const { pid } of processesWithEnvironmentBelow(folder)) {
      if (!children.has(pid)) found.push(`process ${pid}: ${commandLine(pid)}`);
    }
  }
  return found;
}

/** The last resort when this process ends without having stopped its servers. Must not wait for events. */
function endEverythingNow(): void {
  const pids = new Set<number>();
  for (const [pid, { startTime }] of children) if (isRunning(pid, startTime)) pids.add(pid);
  // The daemons go first, so that they can start nothing more; then what they had started.
  killAll(pids);
  // Also what a faulty stop() left running after it had removed the folder.
  for (const folder of everMade)
    killAll(new Set(processesWithEnvironmentBelow(folder).map(({ pid }) => pid)));
  for (const folder of folders) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // nothing more can be done at this point; the next run does not depend on it
    }
  }
  for (const action of lastActions) action();
  children.clear();
  folders.clear();
  lastActions.clear();
}

function killAll(pids: ReadonlySet<number>): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended by itself
    }
  }
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (let turn = 0; turn < 200 && [...pids].some((pid) => isRunning(pid)); turn++) {
    Atomics.wait(clock, 0, 0, 10);
  }
}

function installExitHandlers(): void {
  if (installed) return;
  installed = true;
  process.on('exit', endEverythingNow); // also after an uncaught error
  for (const signal of SIGNALS) {
    const onSignal = (): void => {
      endEverythingNow();
      process.removeListener(signal, onSignal);
      // Nobody else minds the signal: die of it, as if it had never been caught.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}
