import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import ts from 'typescript';

/**
 * The titles of the tests in a folder and those in it, by the name of the file: first arguments of calls, and first elements of arrays, which
 * are the titles of the rows of a table.
 */
export function testTitles(folder: string): ReadonlyMap<string, ReadonlySet<string>> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const tests = files.filter((file) => file.endsWith('.test.ts'));
  return new Map(tests.map((file) => [basename(file), titlesOf(join(folder, file))]));
}

function titlesOf(path: string): ReadonlySet<string> {
  const titles = new Set<string>();
  const visit = (node: ts.Node): void => {
    let title: ts.Node | undefined;
    if (ts.isCallExpression(node)) title = node.arguments[0];
    if (ts.isArrayLiteralExpression(node)) title = node.elements[0];
    if (title !== undefined && ts.isStringLiteralLike(title)) titles.add(title.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2023));
  return titles;
}
