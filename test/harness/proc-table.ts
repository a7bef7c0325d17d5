import { readdirSync, readFileSync } from 'node:fs';

/** One row of the kernel's process table. `startTime` tells two users of one pid apart. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly startTime: string;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined; // ended meanwhile, or not ours to read
  }
}

/** Reads /proc/PID/stat. Returns undefined when there is no such process. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0] ?? '?', parent: Number(fields[1]), startTime: fields[19] ?? '' };
}

/** True while the process runs; a zombie that only waits to be collected counts as ended. */
export function isRunning(pid: number, startTime?: string): boolean {
  const entry = readProcess(pid);
  if (entry === undefined || entry.state === 'Z' || entry.state === 'X') return false;
  return startTime === undefined || entry.startTime === startTime;
}

/** The command line, for messages. */
export function commandLine(pid: number): string {
  return (readText(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();
}

/**
 * Running processes that inherited a variable whose value lies below `folder`.
 * libvirtd hands its folders down to every QEMU it starts (HOME, XDG_*), and the folder's name is unique,
 * so this finds exactly the offspring of one daemon, also after they were re-parented to init.
 */
export function processesWithEnvironmentBelow(folder: string): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const environment = readText(`/proc/${name}/environ`);
    if (!environment?.includes(`=${folder}/`)) continue;
    const entry = readProcess(Number(name));
    if (entry !== undefined && entry.pid !== process.pid && entry.state !== 'Z') found.push(entry);
  }
  return found;
}

/** The pids of a process's children, those included that have ended and were not waited for. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && readProcess(Number(name))?.parent === parent)
    .map(Number);
}

/** True when some process listens on this unix socket path. Makes no connection. */
export function isListeningUnix(path: string): boolean {
  const acceptsConnections = 0x10000;
  return (readText('/proc/net/unix') ?? '').split('\n').some((line) => {
    if (!line.endsWith(` ${path}`)) return false;
    return (Number.parseInt(line.split(/\s+/)[3] ?? '0', 16) & acceptsConnections) !== 0;
  });
}

/** True when some process listens on this TCP port. Makes no connection. */
export function isListeningTcp(port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = `${readText('/proc/net/tcp') ?? ''}\n${readText('/proc/net/tcp6') ?? ''}`.split('\n');
  return rows.some((row) => {
    const [, local, , state] = row.trim().split(/\s+/);
    return state === '0A' && local?.endsWith(suffix) === true;
  });
}
