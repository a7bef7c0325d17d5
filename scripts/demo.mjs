// `npm run demo`: prepares what is missing, then runs the compiled demo in this very process,
// so that signals and the exit status are the demo's own.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { endWithNpm } from './end-with-npm.mjs';
import { prepare, PrepareError, root } from './prepare.mjs';

try {
  await prepare({ for: 'demo' });
} catch (error) {
  if (!(error instanceof PrepareError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(error.exitCode);
}

const script = join(root, 'test/dist/demo/demo.js');
if (!existsSync(script)) {
  process.stderr.write(`The build made no ${script}.\n`);
  process.exit(1);
}
process.argv.splice(1, 1, script);
endWithNpm();
await import(pathToFileURL(script).href);
