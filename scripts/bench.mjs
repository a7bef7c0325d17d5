// `npm run bench -- NAME`: prepares what is missing, then runs test/bench/NAME.mjs.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { endWithNpm } from './end-with-npm.mjs';
import { prepare, PrepareError, root } from './prepare.mjs';

const folder = join(root, 'test/bench');
const names = readdirSync(folder)
  .filter(
    (file) => /^[a-z]+\.mjs$/.test(file) && !['contests.mjs', 'measure.mjs', 'pairs.mjs'].includes(file),
  )
  .map((file) => file.slice(0, -4));
const name = process.argv[2] ?? '';
if (!names.includes(name) || !existsSync(join(folder, `${name}.mjs`))) {
  process.stderr.write(`Usage: npm run bench -- NAME, where NAME is one of: ${names.join(', ')}\n`);
  process.exit(2);
}
try {
  await prepare({ for: 'bench' });
} catch (error) {
  if (!(error instanceof PrepareError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(error.exitCode);
}
endWithNpm();
const { default: run } = await import(pathToFileURL(join(folder, `${name}.mjs`)).href);
process.exitCode = (await run({ root, args: process.argv.slice(3) })) ? 0 : 1;
