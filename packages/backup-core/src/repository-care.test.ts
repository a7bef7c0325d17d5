import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { contentOf, domainOf, failure, openFor, readBack } from './protect/protected-domain.fixture.ts';
import { changeKey, repositoryInfo } from './repository-care.ts';
import { takeLease } from './repository/leases.ts';
import { TestStorage } from './repository/memory-storage.fixture.ts';
import { lonelyProcess } from './repository/kept-series.fixture.ts';
import { faultAt, faultyStorage } from './testing/faulty-storage.ts';
import { BackupError } from './words/errors.ts';

describe('what a repository is', () => {
  it('is told of one without keys: domains, sizes, who works in it and what is unfinished', async () => {
    const [domain, storage] = [domainOf(4), new TestStorage()];
    await using repository = await openFor(domain, storage);
    const first = (await repository.backup(domain)).point;
    const last = (await repository.backup(domain)).point;
    await takeLease(storage, lonelyProcess(7), { kind: 'restore', points: [first.id] });
    storage.objects.set('intents/01J00000000000000000000000', Buffer.from('{}'));
    storage.objects.set('jobs/tsbackup-00000000-01J00000000000000000000000', Buffer.from('{}'));
    storage.objects.set('damaged/x', Buffer.from('1234'));
    const [manifest = ''] = [...storage.objects.keys()].filter((name) => name.includes(first.id));
    storage.objects.set(manifest, Buffer.from('x'));
    const before = new Map(storage.objects);
    const info = await repositoryInfo(storage);
    expect(new Map(storage.objects)).toEqual(before);
    const packs = [...storage.objects].filter(([name]) => name.startsWith('packs/'));
    const sum = (all: readonly (readonly [string, Buffer])[]): number =>
      all.reduce((total, [, { length }]) => total + length, 0);
    expect(info).toEqual({
      description: 'memory',
      id: repository.id,
      format: 2,
      createdAt: expect.stringMatching(/^20\d\d-.*Z$/) as string,
      blockSize: 65_536,
      compression: 'none',
      encryption: null,
      domains: [{ uuid: domain.uuid, names: ['fake'], points: 2, oldest: first.id, newest: last.id }],
      points: 2,
      packs: { count: packs.length, bytes: sum(packs) },
      bytes: sum([...storage.objects]),
      leases: [
        {
          id: expect.any(String) as string,
          kind: 'restore',
          domain: null,
          host: 'here',
          pid: 7,
          since: expect.stringMatching(/^20\d\d-.*Z$/) as string,
          state: 'unsure',
        },
      ],
      intents: ['01J00000000000000000000000'],
      jobs: ['tsbackup-00000000-01J00000000000000000000000'],
      damaged: [{ name: manifest, reason: expect.stringContaining('hash') as string }],
      quarantined: { count: 1, bytes: 4 },
      unknown: [],
    });
  });

  it('is told as far as it can be where a lease makes no sense', async () => {
    const [domain, storage] = [domainOf(1), new TestStorage()];
    await using repository = await openFor(domain, storage);
    storage.objects.set('leases/01J00000000000000000000000', Buffer.from('?'));
    const { leases, points } = await repositoryInfo(storage);
    expect([points, leases]).toMatchObject([0, [{ kind: null, host: null, pid: null, state: 'unsure' }]]);
    expect(repository.id).toHaveLength(8);
  });

  it('is not told of what is none, and nothing raw comes out at any fault', async () => {
    expect(await failure(repositoryInfo(new TestStorage()))).toMatchObject({ reason: 'absent' });
    expect(await failure(repositoryInfo(''))).toMatchObject({ code: 'ERR_BACKUP_USAGE' });
    expect(await failure(repositoryInfo('/nowhere/at/all'))).toMatchObject({ reason: 'absent' });
    const [domain, storage] = [domainOf(1), new TestStorage()];
    await using repository = await openFor(domain, storage, { encryption: { key: Buffer.alloc(32, 1) } });
    await repository.backup(domain);
    const plainKey = await failure(repositoryInfo(storage, { key: Buffer.alloc(32, 2) }));
    expect(plainKey).toMatchObject({ reason: 'key' });
    for (const work of [
      (place: TestStorage) => repositoryInfo(place),
      (place: TestStorage) =>
        changeKey(place, { key: Buffer.alloc(32, 1), newKey: { key: Buffer.alloc(32, 1) } }),
    ])
      for (let number = 1; ; number++) {
        const faulty = faultyStorage(storage, faultAt(number, { type: 'fail' }));
        const outcome = await work(faulty as never).catch((error: unknown) => error);
        if (faulty.operations.length < number) break;
        expect(outcome, `at ${number}`).toBeInstanceOf(BackupError);
      }
  });
});

describe('the key of a repository in a folder', () => {
  it('changes while it is open: what runs goes on, what comes needs the new one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keys-'));
    try {
      const [key, next, domain] = [randomBytes(32), randomBytes(32), domainOf(4)];
      await using repository = await openFor(domain, join(folder, 'r'), { encryption: { key } });
      await repository.backup(domain);
      const report = await changeKey(join(folder, 'r'), { key, newKey: { key: next } });
      expect(report).toMatchObject({ keys: [{ type: 'key' }], recipients: null });
      expect([report.added, report.removed].map(({ length }) => length)).toEqual([1, 1]);
      const { point } = await repository.backup(domain, { mode: 'incremental' });
      expect(await failure(openFor(domain, join(folder, 'r'), { key }))).toMatchObject({ reason: 'key' });
      await using again = await openFor(domain, join(folder, 'r'), { key: next });
      expect((await readBack(again, point)).equals(contentOf(domain))).toBe(true);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([
    {},
    { key: 'text' },
    { key: Buffer.alloc(32), newKey: { passphrase: 'not wrapped' } },
    { key: Buffer.alloc(32), newKey: { key: { passphrase: '' } } },
    { key: Buffer.alloc(32), newKey: { key: Buffer.alloc(31) } },
    { key: Buffer.alloc(32), removeKeys: [1] },
    { key: Buffer.alloc(32), addRecipients: [Buffer.alloc(31)] },
    { key: Buffer.alloc(32), unknown: 1 },
  ])('is not changed by what makes no sense: %j', async (change) => {
    const storage = new TestStorage();
    await using repository = await openFor(domainOf(1), storage, { encryption: { key: Buffer.alloc(32) } });
    const before = storage.objects.get('repository.json');
    expect(await failure(changeKey(storage, change as never))).toMatchObject({ code: 'ERR_BACKUP_USAGE' });
    expect(storage.objects.get('repository.json')).toBe(before);
    expect(repository.id).toHaveLength(8);
  });
});
