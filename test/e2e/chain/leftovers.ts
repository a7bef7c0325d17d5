import { readdirSync } from 'node:fs';
import type { Bench } from './bench.ts';
import type { Ledger } from './ledger.ts';
import { ChainProblem } from './problem.ts';

const OURS = /^tsbackup-/;

async function hasJob({ domain }: Bench): Promise<boolean> {
  try {
    await domain.handle.backupGetXmlDesc();
    return true;
  } catch {
    return false;
  }
}

/** What QEMU says of an image that it has open, be it one that backs another. */
interface BlockNode {
  readonly file: string;
  readonly 'dirty-bitmaps'?: readonly { readonly name?: string }[];
}

/** All bitmaps of ours, in all layers of all disks. */
async function ourBitmaps({ domain }: Bench): Promise<{ readonly name: string; readonly path: string }[]> {
  const nodes = (await domain.qmp('query-named-block-nodes', { flat: true })) as readonly BlockNode[];
  return nodes.flatMap(({ file, 'dirty-bitmaps': bitmaps = [] }) =>
    bitmaps.flatMap(({ name = '' }) => (OURS.test(name) ? [{ name, path: file }] : [])),
  );
}

/** What a backup left that nothing needs any more. */
async function unneeded(bench: Bench, ledgers: readonly Ledger[], succeeded: boolean): Promise<string[]> {
  const found = readdirSync(bench.libvirtd.scratchDir).map((name) => `file ${name}`);
  for (const name of readdirSync(bench.libvirtd.imagesDir))
    if (name.includes('tsbackup')) found.push(`file ${name}`);
  if (await hasJob(bench)) found.push('a backup job');
  const names = (await bench.domain.handle.listAllCheckpoints()).map(({ name }) => name);
  const needed = new Set(ledgers.flatMap(({ checkpoints }) => [...checkpoints]));
  found.push(
    ...names.filter((name) => OURS.test(name) && !needed.has(name)).map((name) => `checkpoint ${name}`),
  );
  // A bitmap that lost its checkpoint is cleared away by a backup that goes well.
  if (!succeeded) return found;
  await bench.on();
  for (const { name, path } of await ourBitmaps(bench))
    if (!names.includes(name)) found.push(`bitmap ${name} in ${path}`);
  return found;
}

/** The bitmaps of repositories that have no part in this backup are none of its business. */
function isOf(ledger: Ledger, item: string): boolean {
  if (!item.startsWith('bitmap')) return true;
  return [...ledger.checkpoints].some((name) => item.includes(name.replace(/-[^-]*$/, '-')));
}

/** After a backup into `ledger`: nothing but what the next one needs may be left. */
export async function expectNothingLeft(
  bench: Bench,
  ledgers: readonly Ledger[],
  ledger: Ledger,
  succeeded: boolean,
): Promise<void> {
  // What was killed leaves things until a backup of the same repository finds them.
  if (ledgers.some(({ wasKilled }) => wasKilled)) return;
  const found = (await unneeded(bench, ledgers, succeeded)).filter((item) => isOf(ledger, item));
  if (found.length > 0) throw new ChainProblem('left-behind', found.join(', '));
}
