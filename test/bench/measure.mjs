// Times whole processes: start-up counts.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

// Seldom, because looking takes from what is measured; it is a high-water mark that is read.
const SAMPLE_MS = 20;
const KIB_PER_MIB = 1024;

/** Runs a command to its end: seconds by the clock, of user and of all CPU time, and the peak of its memory in MiB. */
export async function measure(command, args) {
  // The shell's own clock knows the CPU time of a child that has ended.
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>&3';
  const shell = spawn('bash', ['-c', script, '_', command, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  let times = '';
  let complaints = '';
  let peakKiB = 0;
  shell.stderr?.on('data', (text) => (times += text));
  shell.stdio[3]?.on('data', (text) => (complaints += text));
  const timer = setInterval(() => (peakKiB = Math.max(peakKiB, peakOfChild(shell.pid))), SAMPLE_MS);
  const code = await new Promise((resolve, reject) => {
    shell.once('error', reject);
    shell.once('close', resolve);
  });
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${complaints.trim()}`);
  const [wall = NaN, user = NaN, system = NaN] = times.trim().split(' ').map(Number);
  return {
    wallSeconds: wall,
    userSeconds: user,
    cpuSeconds: user + system,
    peakMiB: peakKiB / KIB_PER_MIB,
  };
}

function peakOfChild(parent) {
  try {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
    const status = readFileSync(`/proc/${children[0]}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0);
  } catch {
    return 0; // It has ended.
  }
}
