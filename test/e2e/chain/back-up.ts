import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Point, Remark } from 'libvirt-ts-backup';
import type { Bench } from './bench.ts';
import type { Outcome } from './carry-out.ts';
import type { Ledger } from './ledger.ts';
import { ChainProblem } from './problem.ts';
import type { Step } from './steps.ts';

type BackupStep = Extract<Step, { readonly op: 'backup' }>;

const LAUNCHER = fileURLToPath(new URL('../../../scripts/example.mjs', import.meta.url));

export interface Attempt {
  readonly outcome: Outcome;
  /** The point, if one was stored. */
  readonly point: Point | undefined;
  readonly remarks: readonly Remark[];
}

const failed = (message: string): Attempt => ({
  outcome: { result: 'refused', message },
  point: undefined,
  remarks: [],
});
const stored = (point: Point, remarks: readonly Remark[] = []): Attempt => ({
  outcome: { result: 'done' },
  point,
  remarks,
});

function scratchFor(bench: Bench, step: BackupStep): string {
  const { scratchDir, workDir } = bench.libvirtd;
  if (step.fault?.kind === 'scratch-absent') return join(scratchDir, 'absent');
  if (step.fault?.kind !== 'scratch-denied') return scratchDir;
  const denied = join(workDir, 'denied');
  rmSync(denied, { recursive: true, force: true });
  mkdirSync(denied, { mode: 0o500 });
  return denied;
}

function targetsOf(bench: Bench, step: BackupStep): readonly string[] | undefined {
  return step.only === undefined
    ? undefined
    : bench.domain.disks.slice(step.only, step.only + 1).map(({ target }) => target);
}

/** A backup in this process. Rejects if it failed and nothing stood in its way. */
async function inProcess(bench: Bench, ledger: Ledger, step: BackupStep): Promise<Attempt> {
  const disks = targetsOf(bench, step);
  const abort = new AbortController();
  const timer =
    step.fault?.kind === 'aborted'
      ? setTimeout(() => {
          abort.abort(new Error('given up'));
        }, step.fault.afterMs)
      : undefined;
  let writing: Promise<void> | undefined;
  try {
    const { point, remarks } = await ledger.repository.backup(bench.domain.handle, {
      mode: ledger.needsFull ? 'full' : step.mode,
      scratchDir: scratchFor(bench, step),
      // Bitmaps that were cleared behind everybody's back: the default share finds that only in time.
      ...(ledger.auditsAll && { audit: 1 }),
      ...(disks !== undefined && { disks }),
      signal: abort.signal,
      onProgress: () => {
        if (step.meanwhile.length > 0) writing ??= bench.write(step.meanwhile).catch(() => undefined);
      },
    });
    return stored(point, remarks);
  } catch (error) {
    if (step.fault !== undefined) return failed(`${step.fault.kind}: ${String(error)}`);
    throw new ChainProblem('backup-failed', String(error), error);
  } finally {
    clearTimeout(timer);
    await writing;
  }
}

/** A backup in a process of its own, which is killed once its job has begun. */
async function killed(bench: Bench, ledger: Ledger, step: BackupStep, afterMs: number): Promise<Attempt> {
  const { libvirtd, domain } = bench;
  const args = ['--connect', libvirtd.uri, '--domain', domain.name, '--to', ledger.repository.description];
  args.push('--scratch', libvirtd.scratchDir, '--mode', ledger.needsFull ? 'full' : step.mode);
  if (ledger.auditsAll) args.push('--audit', '100%');
  for (const target of targetsOf(bench, step) ?? []) args.push('--disk', target);
  const child = spawn(process.execPath, [LAUNCHER, 'backup-domain', ...args], { stdio: 'ignore' });
  const before = new Set(readdirSync(libvirtd.scratchDir));
  const ended = once(child, 'close');
  const begun = (): boolean => readdirSync(libvirtd.scratchDir).some((name) => !before.has(name));
  while (child.exitCode === null && child.signalCode === null && !begun()) await delay(2);
  await delay(afterMs);
  child.kill('SIGKILL');
  await ended;
  const newest = (await ledger.repository.points(domain.handle).catch(() => [])).at(-1);
  const isNew = newest !== undefined && !ledger.known.has(newest.id);
  if (child.exitCode !== 0) ledger.wasKilled = true;
  return isNew ? stored(newest) : failed('killed');
}

/** Carries a backup step out. */
export async function backUp(bench: Bench, ledger: Ledger, step: BackupStep): Promise<Attempt> {
  if (step.fault?.kind === 'killed') return killed(bench, ledger, step, step.fault.afterMs);
  const attempt = await inProcess(bench, ledger, step);
  if (attempt.point !== undefined) ledger.wasKilled = false;
  return attempt;
}
