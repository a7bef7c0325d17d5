// Removes from the packages' `dist` what no source is behind any more: it would be published.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packages = fileURLToPath(new URL('../packages', import.meta.url));

for (const name of readdirSync(packages)) {
  const dist = join(packages, name, 'dist');
  if (!existsSync(dist)) continue;
  for (const file of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(d\.ts|js)(\.map)?$/.test(file)) continue;
    const source = join(packages, name, 'src', file.replace(/\.(d\.ts|js)(\.map)?$/, '.ts'));
    if (!existsSync(source)) rmSync(join(dist, file));
  }
}
