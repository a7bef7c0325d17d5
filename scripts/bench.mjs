// `npm run bench -- NAME`: compares one part with its peers, in pairs. Needs the build and the peers.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = fileURLToPath(new URL('../test/dist/bench/', import.meta.url));
const suffix = '.bench.js';
const names = existsSync(folder)
  ? readdirSync(folder)
      .filter((file) => file.endsWith(suffix))
      .map((file) => file.slice(0, -suffix.length))
  : [];
const [name, ...args] = process.argv.slice(2);
if (!names.includes(name)) {
  const known = names.length === 0 ? 'run "npm ci" and "npm run build" first' : `one of ${names.join(', ')}`;
  process.stderr.write(`Usage: npm run bench -- NAME [CASE…], NAME: ${known}\n`);
  process.exit(2);
}
process.argv = [process.argv[0], folder + name + suffix, ...args];
await import(pathToFileURL(folder + name + suffix).href);
