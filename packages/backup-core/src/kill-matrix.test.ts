import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import pLimit from 'p-limit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  carryOut,
  guestAfter,
  placesIn,
  POINTS,
  prepare,
  type Scenario,
  SCENARIOS,
} from './kill-scenarios.fixture.ts';
import { contentOf, openFor, readBack } from './protect/protected-domain.fixture.ts';
import { type FaultyStorage, faultyStorage, type Operation } from './testing/faulty-storage.ts';

/** At each operation, or at one of each kind. */
const IS_EXHAUSTIVE: boolean = process.env.KILL_MATRIX === 'all';
/** A lease of somebody who may live is watched for a minute: this is much less. */
const AT_ONCE_MS = 30_000;
const WRITES = new Set(['put', 'replace', 'create', 'write', 'commit', 'remove']);

let folder: string;
let template: string;
let program: string;
let count = 0;

beforeAll(async () => {
  // In memory, where there is some: it is made durable over and over.
  folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kill-'));
  template = join(folder, 'template');
  program = join(folder, 'program.mjs');
  await mkdir(template);
  const entry = fileURLToPath(new URL('killed-process.fixture.ts', import.meta.url));
  const noTests = join(folder, 'no-tests.mjs');
  await writeFile(noTests, 'export const expect = undefined;');
  await build({
    entryPoints: [entry],
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
    alias: { ...SOURCES, vitest: noTests },
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  await prepare(template);
});

afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

const sourceOf = (path: string): string =>
  fileURLToPath(new URL(`../../${path}/src/index.ts`, import.meta.url));
const SOURCES = { 'nbd-ts-client': sourceOf('nbd-client'), 'libvirt-ts-rpc': sourceOf('libvirt-rpc') };

async function fresh(): Promise<string> {
  const place = join(folder, `place-${++count}`);
  await cp(template, place, { recursive: true });
  await mkdir(dirname(placesIn(place).output), { recursive: true });
  return place;
}

/** What a scenario asks of its storage when nothing happens. */
async function operationsOf(scenario: Scenario): Promise<readonly Operation[]> {
  const place = await fresh();
  let storage: FaultyStorage | undefined;
  await carryOut(scenario, place, (inner) => (storage = faultyStorage(inner, () => undefined)));
  return storage?.operations ?? expect.fail('no storage');
}

interface Death {
  readonly at: number;
  readonly when: 'before' | 'during';
}

function deathsOf(operations: readonly Operation[]): readonly Death[] {
  const deaths = new Map<string, Death>();
  for (const { number: at, kind, name } of operations) {
    if (IS_EXHAUSTIVE) {
      for (const when of ['before', 'during'] as const) deaths.set(`${at} ${when}`, { at, when });
      continue;
    }
    const [room = ''] = name.split('/');
    const alike = [kind, room, name.endsWith('.end')].join(' ');
    const death = { at, when: WRITES.has(kind) ? 'during' : 'before' } as const;
    // The first of those that are alike; of removals, which are the end of everything, the last.
    if (!deaths.has(alike) || kind === 'remove') deaths.set(alike, death);
  }
  return [...deaths.values()];
}

/** Has a process do it and die. */
async function killedAt(scenario: Scenario, place: string, { at, when }: Death): Promise<void> {
  const child = spawn(process.execPath, [program, scenario, place, String(at), when], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  expect(signal, `${scenario}, ${when} operation ${at}: ${stderr}`).toBe('SIGKILL');
}

/** Every point of a repository is exactly what the guest had. @returns how many changes there were before each */
async function pointsIn(path: string): Promise<readonly number[]> {
  const domain = guestAfter(0);
  await using repository = await openFor(domain, path, { create: false });
  const truths = Array.from({ length: POINTS + 1 }, (_, changes) => contentOf(guestAfter(changes)));
  const found: number[] = [];
  for (const point of await repository.points()) {
    const disk = await readBack(repository, point);
    found.push(truths.findIndex((truth) => truth.equals(disk)));
  }
  expect(found, 'a point that is none of the guest').not.toContain(-1);
  expect((await repository.verify({ mode: 'deep' })).isWhole).toBe(true);
  return found;
}

/** Nothing that is half done, in a repository in which nobody works. */
async function expectTidy(path: string): Promise<void> {
  const names = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1));
  const known =
    /^(repository\.json|README\.txt|restore\.py|packs\/[0-9A-Z]{26}\.\d+|points\/[0-9a-f-]{36}\/[0-9A-Z]{26}\.[0-9a-f]{64})$/;
  expect(names.filter((name) => !known.test(name))).toEqual([]);
  await using repository = await openFor(guestAfter(0), path, { create: false });
  const { removedPacks, hindrances } = await repository.prune({}, { dryRun: true });
  expect({ removedPacks, hindrances }, 'packs of no point').toEqual({ removedPacks: 0, hindrances: [] });
}

const AFTER: Readonly<Record<Scenario, (place: string) => Promise<void>>> = {
  creation: async (place) => {
    await carryOut('creation', place);
    await expectTidy(join(place, 'new'));
    expect(readFileSync(join(place, 'new', 'restore.py'), 'utf8')).toMatch(/^#!.*python3/);
  },
  backup: async (place) => {
    const { repo } = placesIn(place);
    const then = await pointsIn(repo);
    expect([...then, POINTS].slice(0, POINTS + 1)).toEqual([0, 1, 2, POINTS]);
    await carryOut('backup', place);
    expect(await pointsIn(repo)).toEqual([...then, POINTS]);
    await expectTidy(repo);
  },
  prune: async (place) => {
    const { repo } = placesIn(place);
    expect(await pointsIn(repo)).toContain(POINTS - 1);
    await carryOut('prune', place);
    expect(await pointsIn(repo)).toEqual([POINTS - 1]);
    await expectTidy(repo);
  },
  copy: async (place) => {
    const { repo, copy } = placesIn(place);
    expect(await pointsIn(copy)).toContain(0);
    await carryOut('copy', place);
    expect(await pointsIn(copy)).toEqual([0, 1, 2]);
    for (const path of [repo, copy]) await expectTidy(path);
  },
  restore: async (place) => {
    const { repo, output } = placesIn(place);
    if (!existsSync(output)) await carryOut('restore', place);
    expect(readFileSync(output).equals(contentOf(guestAfter(1)))).toBe(true);
    expect(readdirSync(dirname(output))).toEqual(['vda.raw']);
    // Whoever comes next cleans up after one who could only read.
    await carryOut('backup', place);
    await expectTidy(repo);
  },
};

describe('a process that is killed', () => {
  it.each(SCENARIOS)(
    'in %s, at any operation: nothing is lost, and nothing is left',
    { timeout: 3_600_000 },
    async (scenario) => {
      const operations = await operationsOf(scenario);
      const limit = pLimit(2);
      const deaths = deathsOf(operations);
      await Promise.all(
        deaths.map((death) =>
          limit(async () => {
            const place = await fresh();
            await killedAt(scenario, place, death);
            const what = `${death.when} operation ${death.at}, ${JSON.stringify(operations[death.at - 1])}`;
            const start = performance.now();
            try {
              await AFTER[scenario](place);
            } catch (error) {
              throw new Error(`${what}: ${String(error)}`, { cause: error });
            }
            expect(performance.now() - start, what).toBeLessThan(AT_ONCE_MS);
            rmSync(place, { recursive: true });
          }),
        ),
      );
      expect(deaths.length).toBeGreaterThan(5);
    },
  );
});
