// Every check of the repository, one after another. Ends with a line `N passed, N failed`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithNpm } from './end-with-npm.mjs';
import { prepare, PrepareError, root } from './prepare.mjs';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const totals = { passed: 0, failed: 0, skipped: 0 };
let current;
let interruptedBy;

for (const signal of SIGNALS) {
  process.on(signal, () => {
    interruptedBy = signal;
    current?.kill(signal);
  });
}

/** Runs a tool of node_modules and resolves with its exit status. */
function runTool(name, args) {
  return new Promise((resolve) => {
    const program = join(root, 'node_modules/.bin', name);
    current = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    current.once('error', (error) => {
      process.stderr.write(`${name} could not be started: ${error.message}\n`);
      resolve(127);
    });
    current.once('close', (code, signal) => {
      resolve(signal ? 128 + constants.signals[signal] : code);
    });
  }).finally(() => {
    current = undefined;
  });
}

/** A stage that is one or more tools; a failure counts as one. */
const tools =
  (...commands) =>
  async () => {
    for (const [name, ...args] of commands) {
      if ((await runTool(name, args)) === 0) continue;
      totals.failed += 1;
      return false;
    }
    return true;
  };

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return {};
  }
}

/** Projects that may skip all their tests, having said why: not every machine runs a container engine. */
const OPTIONAL = ['containers'];

/** A stage that is one vitest project; its tests are counted. A project that ran no test has failed. */
const tests = (project) => async () => {
  const folder = mkdtempSync(join(tmpdir(), 'verify-'));
  try {
    const output = join(folder, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${output}`];
    const status = await runTool('vitest', ['run', '--project', project, ...reporters]);
    const report = readReport(output);
    const passed = report.numPassedTests ?? 0;
    const failed = report.numFailedTests ?? 0;
    totals.passed += passed;
    const skipped = (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0);
    totals.skipped += skipped;
    const none = passed + failed === 0 && !(OPTIONAL.includes(project) && skipped > 0);
    if (none && status === 0) process.stderr.write(`No test of project "${project}" ran.\n`);
    if (status === 0 && failed === 0 && !none) return true;
    totals.failed += Math.max(failed, 1); // a file that does not load has no failed test of its own
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

const libraries = ['nbd-client', 'libvirt-rpc', 'backup-core'].map((name) => join('packages', name));

/** What a published package has to be: files, entry points and types in agreement. */
const checkPackage = (folder) => [
  ['publint', folder],
  ['attw', '--pack', folder, '--profile', 'esm-only', '--format', 'ascii'],
];

/** As `npm run build`. */
async function build() {
  await import('./remove-stale.mjs');
  if (!(await tools(['tsc', '-b'])())) return false;
  await import('./bundle-cli.mjs');
  return true;
}

/** @type {readonly (readonly [title: string, run: () => Promise<boolean>])[]} */
const stages = [
  ['format', tools(['prettier', '--check', '.'])],
  ['build', build],
  [
    'lint',
    tools(
      ['eslint', '.', '--max-warnings', '0'],
      ['tsc', '--noEmit', '-p', 'tsconfig.tests.json'],
      ['tsc', '--noEmit', '-p', 'tsconfig.scripts.json'],
    ),
  ],
  ['packages', tools(['knip'], ...libraries.flatMap(checkPackage), ['publint', 'packages/cli'])],
  ['unit tests', tests('unit')],
  ['integration tests', tests('integration')],
  ['end-to-end tests', tests('e2e')],
  ['container tests', tests('containers')],
];

async function main() {
  process.stdout.write('== preparation\n');
  try {
    await prepare({ for: 'verify', build: false }); // building is a stage of its own
  } catch (error) {
    if (!(error instanceof PrepareError)) throw error;
    process.stderr.write(`${error.message}\n`);
    totals.failed += 1;
    return false;
  }
  for (const [title, stage] of stages) {
    process.stdout.write(`\n== ${title}\n`);
    if (interruptedBy || !(await stage())) {
      process.stdout.write(`\n== failed: ${title}\n`);
      return false;
    }
  }
  return true;
}

endWithNpm();
const succeeded = await main();
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed${skipped}\n`);
process.exitCode = interruptedBy ? 128 + constants.signals[interruptedBy] : succeeded ? 0 : 1;
