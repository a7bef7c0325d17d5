/**
 * A model of how writers, readers and a sweep work on one repository (docs/repository-protocol.md), small enough to
 * look at every order in which their steps can happen. Each step is one operation of the storage.
 *
 * In the beginning there are two points, 0 and 1: both hold pack 0, point 1 holds pack 1 too. Pack 4 belongs to
 * nobody. Writers A and B put packs 2 and 3 and points 2 and 3, sharing all the packs of the newest point they
 * find. Every process may crash at each step. A sweep may also take somebody for dead who lives.
 */

/** Parts of the protocol that can be left out, to see that each is needed. */
export interface Protocol {
  /** The sweep waits for the leases that it finds. */
  readonly waits: boolean;
  /** It looks for leases after it listed packs, not before. */
  readonly leasesLast: boolean;
  /** It looks at the points again when it has waited. */
  readonly looksAgain: boolean;
  /** A writer seals its lease before its commit, and gives up if the lease was taken. */
  readonly seals: boolean;
  /** What a dead writer put stays if its commit was done. */
  readonly asksForCommit: boolean;
  /** A point is not removed while the seal of its commit is there. */
  readonly sparesSealed: boolean;
  /** The lease is put before anything is looked at. */
  readonly leaseFirst: boolean;
}

/** The protocol as it is. */
export const PROTOCOL: Protocol = {
  waits: true,
  leasesLast: true,
  looksAgain: true,
  seals: true,
  asksForCommit: true,
  sparesSealed: true,
  leaseFirst: true,
};

/** What exploring found. */
export interface Exploration {
  readonly states: number;
  readonly ends: number;
  /** The first promise that was broken, with the steps that led there; undefined: none. */
  readonly broken: string | undefined;
}

const GONE = -1;
const LOST = 90;
const CRASHED = 91;
const DONE = 92;
const SWEEPS = 1;
const WRITERS = [0, 1] as const;
const READER = 2;
const ACTORS = [0, 1, 2] as const;

interface State {
  /** Bits of packs that are there. */
  packs: number;
  /** Packs of each point; GONE: there is no such point. */
  points: number[];
  /** Bits of actors. */
  leases: number;
  taken: number;
  sealed: number;
  intents: number;
  /** Where each actor is: writer A, writer B, reader. */
  at: number[];
  /** Packs that each relies on. */
  uses: number[];
  sweep: { at: number; runs: number; seen: number; candidates: number; waitsFor: number; takes: number };
}

const START: State = {
  packs: 0b10011,
  points: [0b00001, 0b00011, GONE, GONE],
  leases: 0,
  taken: 0,
  sealed: 0,
  intents: 0,
  at: [0, 0, 0],
  uses: [0, 0, 0],
  sweep: { at: 0, runs: 0, seen: 0, candidates: 0, waitsFor: 0, takes: GONE },
};

type Step = readonly [name: string, state: State];

/**
 * Looks at every state that can be reached.
 *
 * @param idle - actors that do nothing: 0 and 1 are the writers, 2 is the reader
 */
export function explore(protocol: Protocol, idle: readonly number[] = []): Exploration {
  const start = changed(START, (next) => {
    for (const actor of idle) next.at[actor] = DONE;
  });
  const from = new Map<string, readonly [before: string, step: string]>([[keyOf(start), ['', '']]]);
  const open = [start];
  let ends = 0;
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const key = keyOf(state);
    const steps = nextSteps(state, protocol);
    if (steps.length === 0) ends++;
    const broken = brokenPromise(state) ?? (steps.length === 0 ? leftBehind(state) : undefined);
    if (broken !== undefined) return { states: from.size, ends, broken: `${broken}: ${trace(from, key)}` };
    for (const [name, next] of steps) {
      const nextKey = keyOf(next);
      if (from.has(nextKey)) continue;
      from.set(nextKey, [key, name]);
      open.push(next);
    }
  }
  return { states: from.size, ends, broken: undefined };
}

/** A short name for a state: each of its numbers is a character. */
function keyOf({ packs, points, leases, taken, sealed, intents, at, uses, sweep }: State): string {
  const { at: sweepAt, runs, seen, candidates, waitsFor, takes } = sweep;
  const rest = [packs, leases, taken, sealed, intents, sweepAt, runs, seen, candidates, waitsFor, takes];
  return String.fromCharCode(...[...points, ...at, ...uses, ...rest].map((number) => number + 1));
}

function trace(from: ReadonlyMap<string, readonly [string, string]>, end: string): string {
  const names: string[] = [];
  for (let step = from.get(end); step !== undefined && step[1] !== ''; step = from.get(step[0]))
    names.unshift(step[1]);
  return names.join(', ');
}

function brokenPromise({ packs, points, at, uses, taken }: State): string | undefined {
  for (const [index, needs] of points.entries())
    if (needs !== GONE && lacks(packs, needs)) return `point ${index} lacks a pack`;
  for (const actor of ACTORS) {
    const works = at[actor] !== undefined && at[actor] > 0 && at[actor] < LOST;
    if (works && (taken & bit(actor)) === 0 && lacks(packs, uses[actor] ?? 0))
      return `actor ${actor} lives and lacks a pack`;
  }
  return undefined;
}

/** What a sweep that is alone does not find. */
function leftBehind(state: State): string | undefined {
  const { packs, leases, intents, sweep } = state;
  if (sweep.at !== DONE) return undefined;
  const dead = ACTORS.filter((actor) => state.at[actor] === CRASHED).reduce<number>(
    (bits, actor) => bits | bit(actor),
    0,
  );
  if ((leases & ~dead & ~state.taken) !== 0) return 'a lease is left of somebody who ended';
  if ((intents & ~dead & ~state.taken) !== 0) return 'an intent is left of somebody who ended';
  return packs === 0 ? 'nothing is left' : undefined;
}

const bit = (index: number): number => 1 << index;
const lacks = (packs: number, needs: number): boolean => (needs & ~packs) !== 0;
const reached = (points: readonly number[]): number =>
  points.reduce((bits, needs) => (needs === GONE ? bits : bits | needs), 0);

function nextSteps(state: State, protocol: Protocol): Step[] {
  const steps = WRITERS.flatMap((writer) => writerSteps(state, writer, protocol));
  return [...steps, ...readerSteps(state, protocol), ...sweepSteps(state, protocol)];
}

function changed(state: State, change: (next: State) => void): State {
  const next = {
    ...state,
    points: [...state.points],
    at: [...state.at],
    uses: [...state.uses],
    sweep: { ...state.sweep },
  };
  change(next);
  return next;
}

function writerSteps(state: State, writer: 0 | 1, protocol: Protocol): Step[] {
  const at = state.at[writer] ?? DONE;
  if (at >= LOST) return [];
  const own = bit(2 + writer);
  const me = bit(writer);
  const step = (name: string, change: (next: State) => void): Step => [
    `${'AB'.charAt(writer)} ${name}`,
    changed(state, (next) => {
      next.at[writer] = at + 1;
      change(next);
    }),
  ];
  const putLease = step('puts its lease', (next) => (next.leases |= me));
  const look = step('looks for the newest point', (next) => {
    next.uses[writer] = Math.max(0, next.points.findLast((needs) => needs !== GONE) ?? 0);
  });
  const seal = step('seals', (next) => {
    if (!protocol.seals) return;
    if ((next.taken & me) === 0) next.sealed |= me;
    else {
      next.at[writer] = LOST;
      next.uses[writer] = 0;
    }
  });
  const program = [
    ...(protocol.leaseFirst ? [putLease, look] : [look, putLease]),
    step('puts its intent', (next) => (next.intents |= me)),
    step('puts its pack', (next) => {
      next.packs |= own;
      next.uses[writer] = (next.uses[writer] ?? 0) | own;
    }),
    seal,
    step('commits', (next) => (next.points[2 + writer] = next.uses[writer] ?? 0)),
    step('removes its intent', (next) => {
      next.intents &= ~me;
      next.uses[writer] = 0;
    }),
    step('removes its seal', (next) => (next.sealed &= ~me)),
    step('removes its lease', (next) => {
      next.leases &= ~me;
      next.at[writer] = DONE;
    }),
  ];
  const next = program[at];
  return next === undefined ? [] : [next];
}

function readerSteps(state: State, protocol: Protocol): Step[] {
  const at = state.at[READER] ?? DONE;
  if (at >= LOST) return [];
  const me = bit(READER);
  const step = (name: string, change: (next: State) => void): Step => [
    `reader ${name}`,
    changed(state, (next) => {
      next.at[READER] = at + 1;
      change(next);
    }),
  ];
  const putLease = step('puts its lease', (next) => (next.leases |= me));
  const choices = state.points.flatMap((needs, index) =>
    needs === GONE ? [] : [step(`opens point ${index}`, (next) => (next.uses[READER] = needs))],
  );
  const program = [
    ...(protocol.leaseFirst ? [[putLease], choices] : [choices, [putLease]]),
    [step('reads', (next) => (next.uses[READER] = 0))],
    [
      step('removes its lease', (next) => {
        next.leases &= ~me;
        next.at[READER] = DONE;
      }),
    ],
  ];
  return program[at] ?? [];
}

function sweepSteps(state: State, protocol: Protocol): Step[] {
  const { at } = state.sweep;
  if (at === DONE) return [];
  const step = (name: string, change: (next: State) => void): Step => [
    `sweep ${name}`,
    changed(state, (next) => {
      next.sweep.at = at + 1;
      change(next);
    }),
  ];
  const again = (next: State): void => {
    const runs = next.sweep.runs + 1;
    next.sweep = { at: runs < SWEEPS ? 0 : DONE, runs, seen: 0, candidates: 0, waitsFor: 0, takes: GONE };
  };
  const findLeases = step('looks for leases', (next) => {
    next.sweep.waitsFor = protocol.waits ? next.leases : 0;
  });
  const list = step('lists packs', (next) => (next.sweep.seen = next.packs));
  const mark = step('decides what may go', (next) => {
    next.sweep.candidates = next.sweep.seen & ~reached(next.points);
    next.sweep.seen = 0;
  });
  const program = [
    [
      step('will remove no point', () => undefined),
      step('will remove all points but the newest', (next) => {
        const newest = next.points.findLastIndex((needs) => needs !== GONE);
        next.sweep.seen = next.points.reduce((bits, needs, index) => {
          return needs === GONE || index === newest ? bits : bits | bit(index);
        }, 0);
      }),
    ],
    [
      step('removes points', (next) => {
        const spared = protocol.sparesSealed ? next.sealed << 2 : 0;
        const removed = next.sweep.seen & ~spared;
        next.points = next.points.map((needs, index) => ((removed & bit(index)) === 0 ? needs : GONE));
        next.sweep.seen = 0;
      }),
    ],
    ...(protocol.leasesLast ? [[list], [mark], [findLeases]] : [[findLeases], [list], [mark]]),
    waitSteps(state, protocol),
    [
      step('looks at the points again', (next) => {
        if (protocol.looksAgain) next.sweep.candidates &= ~reached(next.points);
      }),
    ],
    removals(state, step),
  ];
  const crash = step('crashes', again);
  const steps = program[at];
  if (steps === undefined) return [step('ends', again)];
  return at === 0 ? steps : [...steps, crash];
}

function removals(state: State, step: (name: string, change: (next: State) => void) => Step): Step[] {
  const { candidates } = state.sweep;
  if (candidates === 0) return [step('has removed all', () => undefined)];
  const lowest = candidates & -candidates;
  return [
    step(`removes packs ${lowest.toString(2)}`, (next) => {
      next.packs &= ~lowest;
      next.sweep.candidates &= ~lowest;
      next.sweep.at = state.sweep.at;
    }),
  ];
}

/** Waits; takes the leases of the dead, and of those whom it may take for dead. */
function waitSteps(state: State, protocol: Protocol): Step[] {
  const { waitsFor, takes } = state.sweep;
  const step = (name: string, change: (next: State) => void): Step => [
    `sweep ${name}`,
    changed(state, change),
  ];
  const left = ACTORS.filter((actor) => (waitsFor & bit(actor)) !== 0);
  if (takes !== GONE)
    return [
      step(`undoes and ends the lease of ${takes}`, (next) => {
        settle(next, takes, protocol);
        next.leases &= ~bit(takes);
        next.sweep.waitsFor &= ~bit(takes);
        next.sweep.takes = GONE;
      }),
    ];
  if (left.length === 0) return [step('has waited', (next) => next.sweep.at++)];
  return left.flatMap((actor) => {
    const me = bit(actor);
    if ((state.leases & me) === 0)
      return [step(`sees that ${actor} has ended`, (next) => (next.sweep.waitsFor &= ~me))];
    const dies = step(`takes the lease of ${actor}, who is dead`, (next) => {
      next.at[actor] = CRASHED;
      next.uses[actor] = 0;
      next.sweep.takes = actor;
    });
    if ((state.sealed & me) !== 0) return [dies];
    return [
      dies,
      step(`takes the lease of ${actor}, who lives`, (next) => {
        next.taken |= me;
        next.sweep.takes = actor;
      }),
    ];
  });
}

function settle(next: State, actor: number, protocol: Protocol): void {
  const me = bit(actor);
  const isCommitted = (next.sealed & me) !== 0 && next.points[2 + actor] !== GONE;
  if ((next.intents & me) !== 0 && !(protocol.asksForCommit && isCommitted)) next.packs &= ~bit(2 + actor);
  next.intents &= ~me;
  next.sealed &= ~me;
}
