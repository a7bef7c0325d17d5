import { join } from 'node:path';
import { folderStorage } from './adapters/folder/storage.ts';
import { BackupRepository, copyPoints } from './backup-repository.ts';
import type { FakeHypervisor } from './fake-hypervisor.fixture.ts';
import type { Storage } from './ports/storage.ts';
import { domainOf, openFor, writeBlock } from './protect/protected-domain.fixture.ts';

/** What is done by a process that is killed meanwhile, and by the next one. */
export const SCENARIOS = ['creation', 'backup', 'prune', 'copy', 'restore'] as const;
export type Scenario = (typeof SCENARIOS)[number];

const BLOCKS = 6;

/** The guest after so many changes, which are the same in every process. */
export function guestAfter(changes: number): FakeHypervisor {
  const domain = domainOf(BLOCKS);
  for (let change = 1; change <= changes; change++)
    for (const block of [change, change + 1]) writeBlock(domain, block % BLOCKS, 0x10 * change + block);
  return domain;
}

/** Points that are there before. */
export const POINTS = 3;

/** Where what is. */
export const placesIn = (
  folder: string,
): { readonly repo: string; readonly copy: string; readonly output: string } => ({
  repo: join(folder, 'repo'),
  copy: join(folder, 'copy'),
  output: join(folder, 'out', 'vda.raw'),
});

/** A folder in which every scenario can begin: a repository with points, and another with the first of them. */
export async function prepare(folder: string): Promise<void> {
  const { repo, copy } = placesIn(folder);
  for (let changes = 0; changes < POINTS; changes++) {
    const domain = guestAfter(changes);
    await using repository = await openFor(domain, repo);
    await repository.backup(domain);
  }
  await using from = await openFor(guestAfter(0), repo);
  await using to = await openFor(guestAfter(0), copy, { compression: 'deflate' });
  const [first] = await from.points();
  await copyPoints(from, to, { points: [first?.id ?? ''] });
}

/** Does what a scenario is about, in a folder that was prepared. @param wrap - gets between it and its storage */
export async function carryOut(
  scenario: Scenario,
  folder: string,
  wrap: (storage: Storage) => Storage = (storage) => storage,
): Promise<void> {
  const { repo, copy, output } = placesIn(folder);
  const domain = guestAfter(POINTS);
  const open = (path: string): Promise<BackupRepository> =>
    openFor(domain, wrap(folderStorage(path, { parents: false })));
  if (scenario === 'creation') {
    await using repository = await open(join(folder, 'new'));
    await repository.points();
    return;
  }
  if (scenario === 'copy') {
    await using from = await openFor(domain, repo);
    await using to = await open(copy);
    await copyPoints(from, to);
    return;
  }
  await using repository = await open(repo);
  if (scenario === 'backup') await repository.backup(domain);
  if (scenario === 'prune') await repository.prune({ keepLast: 1 });
  if (scenario === 'restore') {
    const point = (await repository.points())[1];
    if (point === undefined) throw new Error('there is no point to be restored');
    await repository.restore(point, 'vda', output);
  }
}
