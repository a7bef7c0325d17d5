// `npm run soak:chain -- --steps N --seed S`: the random chain of test/e2e/chain for as long as one likes.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const USAGE = `usage: npm run soak:chain -- [--steps N] [--seed S] [--only I,J,…] [--clear-bitmaps] [--shrink]
                            [--tolerate KIND,…]

  --steps N          how many steps (default 1000)
  --seed S           which chain (default: by the clock)
  --only I,J,…       these steps of the chain alone
  --clear-bitmaps    also clears bitmaps, which only an audit can notice
  --shrink           after a failure looks for the fewest steps that fail in the same way
  --tolerate KIND,…  goes on after wrong-bytes, not-restored, backup-failed or left-behind
`;

function parse() {
  const { values } = parseArgs({
    options: {
      steps: { type: 'string', default: '1000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      only: { type: 'string' },
      tolerate: { type: 'string' },
      'clear-bitmaps': { type: 'boolean', default: false },
      shrink: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  for (const name of ['steps', 'seed'])
    if (!/^\d+$/.test(values[name])) throw new Error(`--${name} is to be a whole number`);
  return values;
}

let values;
try {
  values = parse();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  process.exit(2);
}

const root = fileURLToPath(new URL('..', import.meta.url));
const env = {
  ...process.env,
  CHAIN_SEED: values.seed,
  CHAIN_STEPS: values.steps,
  ...(values.only !== undefined && { CHAIN_ONLY: values.only }),
  ...(values.tolerate !== undefined && { CHAIN_TOLERATE: values.tolerate }),
  ...(values['clear-bitmaps'] && { CHAIN_CLEAR_BITMAPS: '1' }),
  ...(values.shrink && { CHAIN_SHRINK: '1' }),
};
const vitest = join(root, 'node_modules/.bin/vitest');
const args = ['run', 'test/e2e/chain/chain.test.ts', '--project', 'e2e', '--disable-console-intercept'];
const child = spawn(vitest, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
/** @type {readonly NodeJS.Signals[]} */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
for (const signal of signals) process.on(signal, () => child.kill(signal));
child.once('close', (code) => {
  process.exitCode = code ?? 1;
});
