// Puts the command and our packages into a few files: loading hundreds takes longer than a small backup. What others
// wrote stays a dependency.
import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = new URL('../packages/cli/', import.meta.url);
const { dependencies } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
const outdir = fileURLToPath(new URL('bundle/', root));

rmSync(outdir, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['main', 'program'].map((name) => fileURLToPath(new URL(`dist/${name}.js`, root))),
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  external: Object.keys(dependencies),
  logLevel: 'warning',
  metafile: true,
});
const foreign = Object.keys(metafile.inputs).filter((path) => path.includes('node_modules/'));
if (foreign.length > 0)
  throw new Error(`dependencies that packages/cli does not state: ${foreign.join(', ')}`);
