import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const packages = fileURLToPath(new URL('../../packages', import.meta.url));

/** One import or re-export, type-only and dynamic ones included. */
export interface Import {
  /** Path below `packages`. */
  readonly file: string;
  /** As written. */
  readonly specifier: string;
  /** Path below `packages`, of an import by path. */
  readonly target: string | undefined;
}

/** Every import of the sources of a package; tests and their fixtures are none. */
export function importsOf(name: string): readonly Import[] {
  const folder = join(packages, name, 'src');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(file),
  );
  return files.flatMap((file) => {
    const path = join(folder, file);
    const { importedFiles } = ts.preProcessFile(readFileSync(path, 'utf8'), true, true);
    return importedFiles.map(({ fileName }) => ({
      file: relative(packages, path),
      specifier: fileName,
      target: fileName.startsWith('.') ? relative(packages, resolve(dirname(path), fileName)) : undefined,
    }));
  });
}

/** Groups of files of which each leads to every other. */
export function circles(imports: readonly Import[]): readonly (readonly string[])[] {
  const graph = new Map<string, string[]>();
  for (const { file, target } of imports)
    if (target !== undefined) graph.set(file, [...(graph.get(file) ?? []), target]);
  const reach = new Map([...graph.keys()].map((file) => [file, reachable(graph, file)]));
  const found: string[][] = [];
  for (const [file, reached] of reach) {
    if (!reached.has(file) || found.some((circle) => circle.includes(file))) continue;
    found.push([...reached].filter((other) => reach.get(other)?.has(file) === true).sort());
  }
  return found;
}

/** What `start` leads to; itself only if it is part of a circle. */
function reachable(graph: ReadonlyMap<string, readonly string[]>, start: string): ReadonlySet<string> {
  const reached = new Set<string>();
  const left = [...(graph.get(start) ?? [])];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (reached.has(next)) continue;
    reached.add(next);
    left.push(...(graph.get(next) ?? []));
  }
  return reached;
}
