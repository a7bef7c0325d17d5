import { compare, compareNumbers, compareStructs } from './compare.mjs';
import { readSource } from './source.mjs';
import { describeError, describeTable } from './table.mjs';
import { SourceError } from './tokens.mjs';

/**
 * Compares the table with the libvirt in `folder`. Resolves with { status, output, error }: 0 if all match, 1 if
 * not, 2 if that cannot be told. The last line of the output is the result.
 */
export async function checkProtocol(folder, loadTables) {
  if (!folder) {
    const error =
      'Set LIBVIRT_SOURCE to the folder of a libvirt source tree: the procedures are compared with it.';
    return { status: 2, output: '', error };
  }
  try {
    const { lines, succeeded } = report(readSource(folder), await loadTables());
    return { status: succeeded ? 0 : 1, output: lines.join('\n'), error: '' };
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    return { status: 2, output: '', error: error.message };
  }
}

function report(source, tables) {
  const { matching, total, differences, newer } = compare(describeTable(tables), source);
  differences.push(...compareStructs('The error reply', describeError(tables), source.error));
  differences.push(...compareNumbers(tables.errorNumbers, source.errorNumbers));
  for (const [program, theirs] of Object.entries(source.programs)) {
    const ours = tables.PROGRAMS[program];
    if (ours !== theirs)
      differences.push(`The program ${program} has the number ${theirs} in libvirt, ${ours} here`);
  }
  const apart = newer.length === 0 ? [] : ['Newer than this libvirt:', ...newer.map((row) => `  ${row}`)];
  for (const path of source.missing) apart.push(`What ${path} tells is not compared: it is not there.`);
  return {
    lines: [...differences, ...apart, `${matching} of ${total} procedures match`],
    succeeded: differences.length === 0 && total > 0,
  };
}
