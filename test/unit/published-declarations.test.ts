import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const packages = fileURLToPath(new URL('../../packages', import.meta.url));

/**
 * One rule for all: what was built and what it was built from. Every declaration a type leads to is there, and
 * so is every file that a source map names. Tests are not.
 */
const FILES = ['dist', 'src', '!src/**/*.test.ts', '!src/**/*.fixture.ts', 'README.md', 'LICENSE'];
/** What has no declarations, since it is run and not imported: a few files that need nothing of ours. */
const PROGRAM = ['bundle', 'README.md', 'LICENSE'];

interface Manifest {
  readonly name: string;
  readonly files: readonly string[];
  readonly sideEffects?: boolean;
  readonly repository: { readonly directory: string };
  readonly exports: Readonly<Record<string, unknown>>;
}

it.each(readdirSync(packages))('%s publishes by the one rule, and says where it comes from', (folder) => {
  const manifest = JSON.parse(readFileSync(`${packages}/${folder}/package.json`, 'utf8')) as Manifest;
  expect(manifest.files).toEqual('bin' in manifest ? PROGRAM : FILES);
  expect(manifest.repository.directory).toBe(`packages/${folder}`);
  expect(manifest).toMatchObject({
    license: 'Apache-2.0',
    type: 'module',
    engines: { node: '>=20.19' },
    bugs: expect.stringContaining('/issues') as unknown,
    homepage: expect.stringContaining(`packages/${folder}#readme`) as unknown,
    keywords: expect.arrayContaining(['qemu']) as unknown,
  });
  for (const [path, entry] of Object.entries(manifest.exports))
    if (path !== './package.json')
      expect(entry).toEqual({
        types: expect.stringMatching(/^\.\/dist\/[\w-]+\.d\.ts$/) as unknown,
        default: expect.stringMatching(/^\.\/dist\/[\w-]+\.js$/) as unknown,
      });
});
