import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What one run of a whole process took. */
export interface Measurement {
  readonly wallSeconds: number;
  /** User and system time together. */
  readonly cpuSeconds: number;
  readonly userSeconds: number;
  /** Peak resident memory in MiB. */
  readonly peakMiB: number;
}

const SAMPLE_MS = 5;
const KIB_PER_MIB = 1024;

/** Runs a command to its end; start-up counts. Rejects unless it exits with 0. */
export async function measure(command: string, args: readonly string[]): Promise<Measurement> {
  // The shell's own clock knows the CPU time of a child that has ended.
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>&3';
  const shell = spawn('bash', ['-c', script, '_', command, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  let times = '';
  let complaints = '';
  let peakKiB = 0;
  shell.stderr?.on('data', (text: Buffer) => (times += text.toString()));
  shell.stdio[3]?.on('data', (text: Buffer) => (complaints += text.toString()));
  const timer = setInterval(() => (peakKiB = Math.max(peakKiB, peakOfChild(shell.pid))), SAMPLE_MS);
  const code = await new Promise<number | null>((resolve, reject) => {
    shell.once('error', reject);
    shell.once('close', resolve);
  });
  clearInterval(timer);
  if (code !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${code ?? 'a signal'}: ${complaints.trim()}`);
  const [wall = 0, user = 0, system = 0] = times.trim().split(' ').map(Number);
  return { wallSeconds: wall, cpuSeconds: user + system, userSeconds: user, peakMiB: peakKiB / KIB_PER_MIB };
}

function peakOfChild(parent: number | undefined): number {
  try {
    const children = readFileSync(`/proc/${parent ?? 0}/task/${parent ?? 0}/children`, 'utf8')
      .trim()
      .split(' ');
    const status = readFileSync(`/proc/${children[0] ?? ''}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
  } catch {
    return 0; // It has ended.
  }
}
