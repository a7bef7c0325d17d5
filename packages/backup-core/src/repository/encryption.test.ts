import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { BackupRepository } from '../backup-repository.ts';
import { readDisk, storeDisk } from './disk-copies.fixture.ts';
import { BLOCK_SIZE } from './format.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { pointOf } from './point.fixture.ts';
import { listPoints, putPoint } from './points.ts';
import { createRepositoryFile, type OpenRepositoryFile, openRepositoryFile } from './repository-file.ts';
import { generateRecipient } from './seal.ts';
import { TreeStore } from './tree/tree-store.ts';

const stores: TreeStore[] = [];
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

function open(storage: TestStorage, file: OpenRepositoryFile): TreeStore {
  const store = new TreeStore(storage, file, { workers: 1 });
  stores.push(store);
  return store;
}

const disk = Buffer.concat([Buffer.alloc(6 * BLOCK_SIZE, 'very secret text '), randomBytes(4 * BLOCK_SIZE)]);
const whole = [{ type: 'data', offset: 0, length: disk.length }] as const;

describe('who brings recipients', () => {
  it('is told where what is stored is not sealed to any', async () => {
    const { publicKey, privateKey } = generateRecipient();
    const encryption = { key: randomBytes(32), recipients: [publicKey] };
    const [sealed, open] = [new TestStorage(), new TestStorage()];
    await (await BackupRepository.open(sealed, { encryption, privateKey, workers: 0 })).close();
    await (await BackupRepository.open(sealed, { encryption, workers: 0 })).close();
    await createRepositoryFile(open, { encryption: { key: encryption.key } });
    await expect(BackupRepository.open(open, { encryption })).rejects.toMatchObject({
      reason: 'key',
      message: expect.stringContaining('not sealed to recipients') as string,
    });
  });

  it.each([Buffer.alloc(32), Buffer.alloc(31, 1)])('is told what is no public key: %s', async (recipient) => {
    const storage = new TestStorage();
    const creating = createRepositoryFile(storage, {
      encryption: { key: randomBytes(32), recipients: [recipient] },
    });
    await expect(creating).rejects.toMatchObject({ code: 'ERR_BACKUP_USAGE' });
    expect([...storage.objects.keys()]).toEqual([]);
  });
});

describe('an encrypted repository', () => {
  it.each(['none', 'deflate'] as const)(
    'shows nothing of a disk, and gives it back (%s)',
    async (compression) => {
      const storage = new TestStorage();
      const key = compression === 'none' ? { passphrase: 'correct horse' } : randomBytes(32);
      await createRepositoryFile(storage, { compression, encryption: { key } });
      const file = await openRepositoryFile(storage, { key });
      const { root } = await storeDisk(open(storage, file), disk, whole);
      await putPoint(storage, pointOf({ domain: { ...pointOf().domain, name: 'very secret' } }), file);
      for (const bytes of storage.objects.values()) expect(bytes.includes('secret')).toBe(false);
      const again = await openRepositoryFile(storage, { key });
      expect((await readDisk(open(storage, again), { root, size: disk.length })).equals(disk)).toBe(true);
      expect((await listPoints(storage, again)).points[0]?.point.domain.name).toBe('very secret');
      // What is the same is found without a block being read.
      const base = { root, size: disk.length };
      expect((await storeDisk(open(storage, again), disk, whole, { base })).counts.reusedBytes).toBe(
        disk.length,
      );
    },
  );

  it('does not open without its key, or with another', async () => {
    const storage = new TestStorage();
    const key = randomBytes(32);
    await createRepositoryFile(storage, { encryption: { key, wrapped: Buffer.from('id of the key') } });
    for (const wrong of [undefined, randomBytes(32), { passphrase: 'x' }])
      await expect(openRepositoryFile(storage, { key: wrong })).rejects.toMatchObject({ reason: 'key' });
    const asked: string[] = [];
    const service = (wrapped: Uint8Array): Promise<Uint8Array> => {
      asked.push(Buffer.from(wrapped).toString());
      return Promise.resolve(key);
    };
    await openRepositoryFile(storage, { key: service });
    expect(asked).toEqual(['id of the key']);
  });

  it('sealed to public keys can be written and compared, and read by their owners alone', async () => {
    const storage = new TestStorage();
    const [alice, bob] = [generateRecipient(), generateRecipient()];
    const key = randomBytes(32);
    const recipients = [alice.publicKey, bob.publicKey];
    const host = await createRepositoryFile(storage, { encryption: { key, recipients } });
    const { root } = await storeDisk(open(storage, host), disk, whole);
    const tree = { root, size: disk.length };
    expect((await storeDisk(open(storage, host), disk, whole, { base: tree })).counts.storedBytes).toBe(0);
    await expect(readDisk(open(storage, host), tree)).rejects.toMatchObject({ reason: 'key' });
    for (const { privateKey } of [alice, bob]) {
      const owner = await openRepositoryFile(storage, { key, privateKey });
      expect((await readDisk(open(storage, owner), tree)).equals(disk)).toBe(true);
    }
    const { privateKey } = generateRecipient();
    await expect(openRepositoryFile(storage, { key, privateKey })).rejects.toMatchObject({ reason: 'key' });
  });

  it('does not open a manifest that was put elsewhere', async () => {
    const storage = new TestStorage();
    const file = await createRepositoryFile(storage, { encryption: { key: randomBytes(32) } });
    const { object, point } = await putPoint(storage, pointOf(), file);
    const bytes = storage.objects.get(object) as Buffer;
    storage.objects.set(object.replace(point.id, '01J00000000000000000000000'), bytes);
    const { points, damaged } = await listPoints(storage, file);
    expect(points).toHaveLength(1);
    expect(damaged[0]?.reason).toMatch(/cannot be decrypted/);
  });
});
