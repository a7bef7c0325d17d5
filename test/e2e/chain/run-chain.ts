import { join } from 'node:path';
import { rmSync } from 'node:fs';
import { BackupRepository } from 'libvirt-ts-backup';
import { backUp } from './back-up.ts';
import { type Bench, openBench } from './bench.ts';
import { type CareStep, careFor, isCareStep, openCopies } from './care.ts';
import { carryOut, type Outcome } from './carry-out.ts';
import { Ledger, type Restore, restoreWithPython } from './ledger.ts';
import { expectNothingLeft } from './leftovers.ts';
import { ChainProblem, type ProblemKind } from './problem.ts';
import { type Random, randomFrom } from './random.ts';
import { diskPlans, REPOSITORIES, type Step, stepAt, type StepOptions } from './steps.ts';

export interface ChainOptions extends StepOptions {
  readonly seed: number;
  /** The steps to run, by their index. */
  readonly indexes: readonly number[];
  /** Problems that are counted and lived with; any other ends the chain. */
  readonly tolerate?: readonly ProblemKind[] | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

export interface ChainReport {
  /** By kind of step, and of backup fault: how many were carried out, refused, or had nothing to do. */
  readonly outcomes: ReadonlyMap<string, Readonly<Record<Outcome['result'], number>>>;
  /** Disks restored and compared. */
  readonly compared: number;
  /** The problems that were lived with. */
  readonly problems: readonly string[];
}

/** Every so many steps everything that is kept is compared. */
const FULL_CHECK_EVERY = 25;

/** Every so many steps the newest points are also restored by the program in the repository. */
const PYTHON_CHECK_EVERY = 10;

/** What `restore.py` can read. */
const COMPRESSIONS = ['deflate', 'none'] as const;

/** Older points that are compared after a step. */
const OLDER_POINTS = { afterBackup: 2, otherwise: 0 };

class Run {
  readonly #bench: Bench;
  readonly #ledgers: readonly Ledger[];
  readonly #copies: BackupRepository;
  readonly #options: ChainOptions;
  readonly #random: Random;
  readonly outcomes = new Map<string, Record<Outcome['result'], number>>();
  readonly problems: string[] = [];
  compared = 0;

  constructor(
    bench: Bench,
    { ledgers, copies }: { readonly ledgers: readonly Ledger[]; readonly copies: BackupRepository },
    options: ChainOptions,
  ) {
    this.#bench = bench;
    this.#ledgers = ledgers;
    this.#copies = copies;
    this.#options = options;
    this.#random = randomFrom(options.seed, -2);
  }

  async step(index: number, step: Step): Promise<void> {
    const started = Date.now();
    const outcome = await this.#carryOut(index, step);
    if (step.op === 'clear-bitmap') for (const ledger of this.#ledgers) ledger.auditsAll = true;
    this.#count(step, outcome);
    const done = outcome.result === 'done' ? '' : ` ${outcome.result}: ${outcome.message.trim()}`;
    this.#options.log?.(`step ${index} ${JSON.stringify(step)} ${Date.now() - started} ms${done}`);
    await this.#compareSome(index, step.op === 'backup' ? OLDER_POINTS.afterBackup : OLDER_POINTS.otherwise);
  }

  async #carryOut(index: number, step: Step): Promise<Outcome> {
    if (step.op === 'backup') return this.#backUp(index, step);
    return isCareStep(step) ? this.#careFor(step) : carryOut(this.#bench, step);
  }

  async #careFor(step: CareStep): Promise<Outcome> {
    const tools = { workDir: this.#bench.libvirtd.workDir, random: this.#random };
    let outcome: Outcome = { result: 'done' };
    await this.#live(async () => {
      outcome = await careFor(step, this.#ledger(step), this.#copies, tools);
    });
    return outcome;
  }

  #ledger({ repository }: { readonly repository: number }): Ledger {
    const ledger = this.#ledgers[repository];
    if (ledger === undefined) throw new Error(`there is no repository ${repository}`);
    return ledger;
  }

  #count(step: Step, { result }: Outcome): void {
    const kind = step.op === 'backup' && step.fault !== undefined ? `backup, ${step.fault.kind}` : step.op;
    const counts = this.outcomes.get(kind) ?? { done: 0, refused: 0, idle: 0 };
    counts[result] += 1;
    this.outcomes.set(kind, counts);
  }

  async #backUp(index: number, step: Extract<Step, { readonly op: 'backup' }>): Promise<Outcome> {
    const ledger = this.#ledger(step);
    await this.#bench.on();
    const truths = await this.#bench.truths();
    const othersJob = this.#ledgers.some((each) => each !== ledger && each.wasKilled);
    try {
      const { outcome, point, remarks } = await backUp(this.#bench, ledger, step);
      for (const { reason, message } of remarks) this.#options.log?.(`  remark ${reason}: ${message}`);
      if (point === undefined) for (const file of truths.values()) rmSync(file);
      else {
        ledger.add({ step: index, point, truths });
        ledger.needsFull = false;
      }
      await this.#live(() => expectNothingLeft(this.#bench, this.#ledgers, ledger, point !== undefined));
      return outcome;
    } catch (error) {
      if (!(error instanceof ChainProblem) || error.kind !== 'backup-failed') throw error;
      // The job of another repository's killed backup is in the way until that repository removes it.
      if (!othersJob) await this.#live(() => Promise.reject(error));
      return { result: 'refused', message: error.message };
    }
  }

  /** Has a problem end the chain unless it is one to be lived with. */
  async #live(action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      if (!(error instanceof ChainProblem)) throw error;
      if (this.#options.tolerate?.includes(error.kind) !== true) throw error;
      this.problems.push(error.message);
      this.#options.log?.(`  ${error.message}`);
      return false;
    }
  }

  async #compareSome(index: number, others: number): Promise<void> {
    if ((index + 1) % PYTHON_CHECK_EVERY === 0)
      for (const ledger of this.#ledgers) await this.#compare(ledger, ledger.newest(), restoreWithPython);
    const all = (index + 1) % FULL_CHECK_EVERY === 0;
    for (const ledger of this.#ledgers)
      await this.#compare(ledger, all ? ledger.all() : ledger.sample(this.#random, others));
  }

  async compareAll(): Promise<void> {
    for (const ledger of this.#ledgers) {
      await this.#compare(ledger, ledger.all());
      await this.#compare(ledger, ledger.all(), restoreWithPython);
    }
  }

  async #compare(ledger: Ledger, points: ReturnType<Ledger['all']>, restore?: Restore): Promise<void> {
    for (const kept of points) {
      this.compared += kept.point.disks.length;
      if (await this.#live(() => ledger.check(kept, this.#bench.libvirtd.workDir, restore))) continue;
      ledger.drop(kept);
      ledger.needsFull = true;
    }
  }
}

/** Names a chain so that it can be run again. */
export function replayLine({ seed, indexes, clearBitmaps }: ChainOptions): string {
  const last = indexes.at(-1) ?? 0;
  const whole = indexes.length === last + 1;
  const steps = whole ? `--steps ${indexes.length}` : `--only ${indexes.join(',')}`;
  return `npm run soak:chain -- --seed ${seed} ${steps}${clearBitmaps === true ? ' --clear-bitmaps' : ''}`;
}

/** Runs steps of a chain. Rejects at the first problem, with the line that runs the same again. */
export async function runChain(options: ChainOptions): Promise<ChainReport> {
  await using bench = await openBench(diskPlans(options.seed));
  const ledgers: Ledger[] = [];
  try {
    for (let index = 0; index < REPOSITORIES; index++) ledgers.push(await openLedger(bench, index));
    await using copies = await openCopies(bench);
    return await runSteps(new Run(bench, { ledgers, copies }, options), bench, options);
  } finally {
    for (const ledger of ledgers) await ledger[Symbol.asyncDispose]();
  }
}

async function openLedger({ libvirtd }: Bench, index: number): Promise<Ledger> {
  const folder = join(libvirtd.workDir, `repository-${index}`);
  return new Ledger(await BackupRepository.open(folder, { compression: COMPRESSIONS[index] }));
}

async function runSteps(run: Run, bench: Bench, options: ChainOptions): Promise<ChainReport> {
  const { seed, indexes } = options;
  for (const [count, index] of indexes.entries()) {
    try {
      await run.step(index, stepAt(seed, index, options));
      if ((count + 1) % FULL_CHECK_EVERY === 0) await bench.sweep();
      if (count + 1 === indexes.length) await run.compareAll();
    } catch (error) {
      const upToHere = { ...options, indexes: indexes.slice(0, count + 1) };
      const message = `step ${index}: ${error instanceof Error ? error.message : String(error)}`;
      const text = `${message}\n${replayLine(upToHere)}`;
      if (error instanceof ChainProblem) throw new ChainProblem(error.kind, text, error);
      throw new Error(text, { cause: error });
    }
  }
  return { outcomes: run.outcomes, compared: run.compared, problems: run.problems };
}
