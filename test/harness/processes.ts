import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { forgetChild, rememberChild } from './registry.ts';
import { isRunning, readProcess } from './proc-table.ts';
import type { User } from './user.ts';

const OUTPUT_LIMIT = 256 * 1024;

/** How a child ended: exactly one of the two fields is set; `error` when it never started. */
export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error?: Error;
}

/** A long-running child process, addressed by its pid only. */
export interface Child extends AsyncDisposable {
  readonly command: string;
  readonly pid: number;
  /** Resolves when the child has ended, however that came about. */
  readonly exited: Promise<ChildExit>;
  readonly isRunning: boolean;
  /** The last 256 KiB of standard output and standard error. */
  output(): string;
  /** Sends a signal; does nothing when the child has ended. */
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL after `graceMs`; resolves when the child is gone. */
  stop(graceMs?: number): Promise<ChildExit>;
}

export interface ChildOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly user?: User | undefined;
  /** File descriptor that receives output; without it the output is kept in memory. */
  readonly outputFd?: number;
}

/** Polls `condition` every 20 ms. Rejects with `what` after `timeoutMs`. */
export async function waitUntil(condition: () => boolean, timeoutMs: number, what: string): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`gave up after ${timeoutMs} ms waiting for ${what}`);
    await sleep(20);
  }
}

/** Spawn credentials; only root may change them, and must. */
function credentials(user: User | undefined): { uid?: number; gid?: number } {
  return user !== undefined && process.getuid?.() === 0 ? { uid: user.uid, gid: user.gid } : {};
}

function exitOf(child: ChildProcess): Promise<ChildExit> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve({ code: null, signal: null, error });
    });
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
}

/** Starts a child that this process will end at the latest when it ends itself. */
export async function startChild(
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<Child> {
  const sink = options.outputFd ?? 'pipe';
  const stdio: StdioOptions = ['ignore', sink, sink];
  const child = spawn(command, args, {
    stdio,
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...credentials(options.user),
  });
  let output = '';
  const keep = (text: string): void => {
    output = (output + text).slice(-OUTPUT_LIMIT);
  };
  child.stdout?.setEncoding('utf8').on('data', keep);
  child.stderr?.setEncoding('utf8').on('data', keep);
  const exited = exitOf(child);
  const pid = child.pid;
  if (pid === undefined) {
    const { error } = await exited;
    throw new Error(`${command} did not start: ${error?.message ?? 'unknown reason'}`, { cause: error });
  }
  const startTime = readProcess(pid)?.startTime;
  rememberChild(pid, command, startTime);
  void exited.then(() => {
    forgetChild(pid);
  });
  const running = (): boolean =>
    child.exitCode === null && child.signalCode === null && isRunning(pid, startTime);
  const stop = async (graceMs = 3000): Promise<ChildExit> => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    const exit = await exited;
    clearTimeout(timer);
    return exit;
  };
  return {
    command,
    pid,
    exited,
    get isRunning(): boolean {
      return running();
    },
    output: () => output,
    kill: (signal) => {
      child.kill(signal);
    },
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
    },
  };
}

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end and returns what it said, whatever its exit status. */
export async function runAny(
  command: string,
  args: readonly string[],
  options: Omit<ChildOptions, 'outputFd'> = {},
): Promise<RunResult> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...credentials(options.user),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const { pid } = child;
  if (pid !== undefined) rememberChild(pid, command, readProcess(pid)?.startTime);
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (...exit) => {
        resolve(exit);
      });
    });
    return { code, signal, stdout, stderr };
  } finally {
    if (pid !== undefined) forgetChild(pid);
  }
}

/** Runs a command and returns its standard output. Rejects, with what it said, unless it exits with 0. */
export async function run(
  command: string,
  args: readonly string[],
  options: Omit<ChildOptions, 'outputFd'> = {},
): Promise<string> {
  const result = await runAny(command, args, options);
  if (result.code !== 0) {
    const status = result.signal ?? `exit status ${result.code ?? '?'}`;
    throw new Error(
      `${command} ${args.join(' ')}: ${status}: ${result.stderr.trim() || result.stdout.trim()}`,
    );
  }
  return result.stdout;
}

/** Ends processes that are not direct children: SIGTERM, SIGKILL after `graceMs`, until all are gone. */
export async function endProcesses(
  entries: readonly { readonly pid: number; readonly startTime: string }[],
  graceMs = 3000,
): Promise<void> {
  const send = (signal: NodeJS.Signals): void => {
    for (const { pid, startTime } of entries) {
      if (isRunning(pid, startTime)) process.kill(pid, signal);
    }
  };
  const gone = (): boolean => entries.every(({ pid, startTime }) => !isRunning(pid, startTime));
  send('SIGTERM');
  try {
    await waitUntil(gone, graceMs, 'processes to end');
  } catch {
    send('SIGKILL');
    await waitUntil(gone, 10_000, `processes ${entries.map(({ pid }) => pid).join(', ')} to end`);
  }
}
