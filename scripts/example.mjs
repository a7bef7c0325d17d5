// `npm run --silent example -- NAME ARGS` runs a command of packages/cli in this very process,
// so that signals, standard streams and the exit status are the command's own.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { endWithNpm } from './end-with-npm.mjs';

const program = new URL('../packages/cli/bundle/program.js', import.meta.url);
if (!existsSync(fileURLToPath(program))) {
  process.stderr.write('The commands are not built yet: run "npm ci" and "npm run build" first.\n');
  process.exit(1);
}
// npm changes to the repository's folder; relative paths count from where the user stands.
if (process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);
endWithNpm();
const { runProgram } = await import(program.href);
process.exitCode = await runProgram(process.argv.slice(2), {
  program: '',
  usage: 'npm run --silent example -- NAME ARGS, where NAME is one of',
  noun: 'example',
});
