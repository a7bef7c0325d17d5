import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyPoints } from './backup-repository.ts';
import type { RepositoryMessage } from './diagnostics.ts';
import {
  contentOf,
  domainOf,
  failure,
  openFor,
  readBack,
  writeBlock,
} from './protect/protected-domain.fixture.ts';
import { BLOCK_SIZE } from './repository/format.ts';
import { TestStorage } from './repository/memory-storage.fixture.ts';
import { HypervisorError } from './words/errors.ts';

const CHANNEL = 'libvirt-ts-backup:repository';
const messages: RepositoryMessage[] = [];
const listen = (message: unknown): void => {
  messages.push(message as RepositoryMessage);
};

beforeEach(() => {
  messages.length = 0;
  subscribe(CHANNEL, listen);
});

afterEach(() => {
  unsubscribe(CHANNEL, listen);
});

/** What was told since the last time: `work event`, or `event`. */
function told(): string[] {
  return messages
    .splice(0)
    .map((message) => ('work' in message ? `${message.work} ${message.event}` : message.event));
}

describe('the channel of the repository', () => {
  it('tells what is done, with what was counted, and nothing of what is stored', async () => {
    const domain = domainOf(12);
    const key = Buffer.alloc(32, 'K');
    await using repository = await openFor(domain, new TestStorage(), { encryption: { key } });
    const { point, storedBytes } = await repository.backup(domain);
    expect(messages).toMatchObject([
      { event: 'start', work: 'backup', repository: repository.id, domain: domain.uuid, elapsedMs: 0 },
      {
        event: 'point-stored',
        repository: repository.id,
        domain: domain.uuid,
        point: point.id,
        counts: { storedBytes, readBytes: 12 * BLOCK_SIZE, disks: 1 },
      },
      { event: 'end', work: 'backup', counts: { storedBytes, remarks: 0, disks: 1 } },
    ]);
    told();

    await readBack(repository, point);
    expect(messages).toMatchObject([
      { event: 'start', work: 'restore', point: point.id, disk: 'vda' },
      { event: 'end', work: 'restore', counts: { writtenBytes: 12 * BLOCK_SIZE } },
    ]);
    told();

    await repository.verify({ mode: 'deep' });
    expect(messages.at(-1)).toMatchObject({
      event: 'end',
      counts: { points: 1, blocks: 12, damagedPoints: 0 },
    });
    expect(told()).toEqual(['verify start', 'verify end']);

    await using other = await openFor(domain, new TestStorage());
    await copyPoints(repository, other);
    expect(messages.at(-1)).toMatchObject({ repository: other.id, counts: { copied: 1, damaged: 0 } });
    expect(told()).toEqual(['copy-points start', 'copy-points end']);

    await repository.prune({ keepLast: 1 }, { dryRun: true });
    expect(messages.at(-1)).toMatchObject({ dryRun: true, counts: { keep: 1, remove: 0 } });
    await repository.forgetPoints([point.id]);
    expect(messages.at(-1)).toMatchObject({ counts: { remove: 1, removedPacks: 1, hindrances: 0 } });
    expect(told()).toEqual(['prune start', 'prune end', 'forget-points start', 'forget-points end']);
  });

  it('tells of a bitmap that an audit has caught', async () => {
    const domain = domainOf(12);
    await using repository = await openFor(domain, new TestStorage());
    await repository.backup(domain);
    told();
    contentBehind(domain, 5);
    await repository.backup(domain, { audit: 1 });
    const difference = messages.find(({ event }) => event === 'audit-difference');
    expect(difference).toEqual({
      event: 'audit-difference',
      repository: repository.id,
      domain: domain.uuid,
      disk: 'vda',
      counts: { auditedBytes: 12 * BLOCK_SIZE, changedBytes: BLOCK_SIZE },
    });
    expect(told()).toEqual(['backup start', 'audit-difference', 'point-stored', 'backup end']);
  });

  it('tells of what fails, with the error, and shows neither key nor content', async () => {
    const domain = domainOf(4);
    domain.write('vda', 0, Buffer.alloc(BLOCK_SIZE, 'very secret '));
    const key = Buffer.alloc(32, 'K');
    await using repository = await openFor(domain, new TestStorage(), { encryption: { key } });
    const { point } = await repository.backup(domain);
    writeBlock(domain, 1, 1);
    domain.failures.set('beginBackup', new HypervisorError('failed', 'no'));
    const error = await failure(repository.backup(domain));
    expect(messages.at(-1)).toMatchObject({ event: 'error', work: 'backup', error });
    const none = await failure(repository.forgetPoints(['01J00000000000000000000000']));
    expect(messages.at(-1)).toMatchObject({ event: 'error', work: 'forget-points', error: none });
    expect((await readBack(repository, point)).equals(contentOf(domain))).toBe(false);
    const text = JSON.stringify(messages);
    for (const secret of ['very secret', key.toString('base64'), 'KKKK', '75,75,75'])
      expect(text).not.toContain(secret);
  });
});

/** A write that no bitmap sees. */
function contentBehind(domain: ReturnType<typeof domainOf>, block: number): void {
  domain.disks.get('vda')?.content.fill(0xee, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
}
