import { describe, expect, it } from 'vitest';
import { TestStorage } from './memory-storage.fixture.ts';
import { createRepositoryFile, openRepositoryFile } from './repository-file.ts';

describe('the repository file', () => {
  it('is made once, whoever comes first', async () => {
    const storage = new TestStorage();
    const both = await Promise.all([createRepositoryFile(storage), createRepositoryFile(storage)]);
    expect(both[0]).toEqual(both[1]);
    expect(await openRepositoryFile(storage)).toEqual(both[0]);
    expect(both[0]).toMatchObject({ format: 2, blockSize: 65536, compression: 'none', keys: undefined });
    storage.objects.set('packs/x', Buffer.alloc(1));
    expect(await createRepositoryFile(storage)).toEqual(both[0]);
  });

  it('can be made where a crash, or a new file system, left harmless things', async () => {
    const storage = new TestStorage();
    storage.objects.set('lost+found/x', Buffer.alloc(0));
    storage.objects.set('restore.py', Buffer.from('old'));
    await createRepositoryFile(storage, { companions: { 'restore.py': Buffer.from('new') } });
    expect(storage.objects.get('restore.py')?.toString()).toBe('old');
  });

  it('is not made among other things', async () => {
    const storage = new TestStorage();
    storage.objects.set('holiday.jpg', Buffer.alloc(1));
    await expect(createRepositoryFile(storage)).rejects.toMatchObject({ reason: 'foreign' });
    expect([...storage.objects.keys()]).toEqual(['holiday.jpg']);
  });

  it.each([
    ['absent', undefined],
    ['foreign', 'PNG'],
    ['format', '{"format":9,"id":"00000000"}'],
    ['format', '{"format":2,"id":"../x","blockSize":65536,"compression":"none"}'],
    ['format', '{"format":2,"id":"00000000","blockSize":65536,"compression":"rar"}'],
  ])('that is %s is not opened: %s', async (reason, content) => {
    const storage = new TestStorage();
    if (content !== undefined) storage.objects.set('repository.json', Buffer.from(content));
    await expect(openRepositoryFile(storage)).rejects.toMatchObject({ reason });
  });
});
