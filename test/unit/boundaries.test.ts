import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Import {
  readonly file: string;
  /** `import type`: not there at run time. */
  readonly isType: boolean;
  readonly specifier: string;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(file))
    .map((file) => join(folder, file));
}

function importsOf(folder: string): Import[] {
  return sources(folder).flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    const matches = text.matchAll(
      /(?:^|\n)(?:import|export)\s(type\s)?[^;]*?from\s+'([^']+)'|import\(\s*'([^']+)'/g,
    );
    return [...matches].map(([, type, from, dynamic]) => ({
      file,
      isType: type !== undefined,
      specifier: from ?? dynamic ?? '',
    }));
  });
}

/** Files that import one of `specifiers`, outside of `allowed`. */
function offenders(folder: string, specifiers: RegExp, allowed: RegExp): string[] {
  return importsOf(folder)
    .filter(({ file, specifier }) => specifiers.test(specifier) && !allowed.test(file))
    .map(({ file, specifier }) => `${file} imports ${specifier}`);
}

const NOWHERE = /^$/;

describe('package boundaries', () => {
  it('finds imports at all', () => {
    expect(importsOf('packages/nbd-client/src').length).toBeGreaterThan(20);
    expect(importsOf('packages/backup-core/src').length).toBeGreaterThan(50);
  });

  it.each(['nbd-client', 'libvirt-rpc'])('%s imports nothing but Node itself', (name) => {
    expect(offenders(`packages/${name}/src`, /^(?!node:|\.)/, NOWHERE)).toEqual([]);
  });

  it('backup-core reaches the protocol packages only through its adapters', () => {
    expect(offenders('packages/backup-core/src', /^(nbd-ts-client|libvirt-ts-rpc)/, /\/adapters\//)).toEqual(
      [],
    );
  });

  it.each([
    ['nbd-client', /\/dial\.ts$/],
    ['libvirt-rpc', /\/transports\/[\w-]+\.ts$/],
  ])('only the dialling files of %s touch node:net and node:tls', (name, dialling) => {
    expect(offenders(`packages/${name}/src`, /^node:(net|tls)$/, dialling)).toEqual([]);
  });

  it('no package starts a process, but for the one file that starts ssh', () => {
    const ssh = /^packages\/libvirt-rpc\/src\/transports\/process-transport\.ts$/;
    for (const name of ['nbd-client', 'libvirt-rpc', 'backup-core'])
      expect(offenders(`packages/${name}/src`, /^node:child_process$/, ssh)).toEqual([]);
  });

  it.each(['nbd-client', 'libvirt-rpc', 'backup-core'])(
    'index.ts of %s is imported by nobody inside',
    (name) => {
      expect(offenders(`packages/${name}/src`, /\/index\.ts$/, NOWHERE)).toEqual([]);
    },
  );

  it.each(['nbd-client', 'libvirt-rpc', 'backup-core'])('%s has no import cycle at run time', (name) => {
    const graph = new Map<string, string[]>();
    for (const { file, isType, specifier } of importsOf(`packages/${name}/src`)) {
      if (isType || !specifier.startsWith('.')) continue;
      const target = relative(root, resolve(root, dirname(file), specifier));
      graph.set(file, [...(graph.get(file) ?? []), target]);
    }
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      expect(path, 'a cycle').not.toContain(file);
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of graph.keys()) visit(file, []);
  });
});
