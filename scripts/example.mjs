// `npm run --silent example -- NAME ARGS` runs examples/dist/NAME.js in this very process,
// so that signals, standard streams and the exit status are the example's own.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { endWithNpm } from './end-with-npm.mjs';

const dist = fileURLToPath(new URL('../examples/dist/', import.meta.url));

function fail(message, status) {
  process.stderr.write(`${message}\n`);
  process.exit(status);
}

/** Scripts stand directly in the folder; what they share is in folders below it. */
function availableExamples() {
  try {
    return readdirSync(dist)
      .filter((file) => file.endsWith('.js') && !file.endsWith('.test.js') && file !== 'index.js')
      .map((file) => basename(file, '.js'))
      .sort();
  } catch {
    return [];
  }
}

const [name, ...args] = process.argv.slice(2);
const examples = availableExamples();
if (examples.length === 0) fail('The examples are not built yet: run "npm ci" and "npm run build" first.', 1);
if (name === undefined || !examples.includes(name)) {
  const reason = name === undefined ? 'No example named.' : `There is no example "${name}".`;
  const list = examples.map((example) => `  ${example}`).join('\n');
  fail(`${reason} Usage: npm run --silent example -- NAME ARGS, where NAME is one of\n${list}`, 2);
}

const script = join(dist, `${name}.js`);
// npm changes to the repository's folder; relative paths count from where the user stands.
if (process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);
process.argv = [process.argv[0], script, ...args];
endWithNpm();
await import(pathToFileURL(script).href);
