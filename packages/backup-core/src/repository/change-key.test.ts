import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { StorageError } from '../ports/storage.ts';
import { faultAt, faultyStorage } from '../testing/faulty-storage.ts';
import { changeKey, type KeyChange } from './change-key.ts';
import { KeySeries } from './keyed-series.fixture.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { createRepositoryFile, openRepositoryFile } from './repository-file.ts';
import { generateRecipient } from './seal.ts';

const REPOSITORY = 'repository.json';

/** All objects but `repository.json`. */
const stored = (storage: TestStorage): string[] =>
  [...storage.objects]
    .filter(([name]) => name !== REPOSITORY)
    .map(([name, bytes]) => `${name} ${bytes.toString('base64')}`);

const refused = (reason: string): object => ({ code: 'ERR_BACKUP_REPOSITORY', reason });
const usage = (message: RegExp): object => ({
  code: 'ERR_BACKUP_USAGE',
  message: expect.stringMatching(message) as string,
});

describe('changing the key of a repository', () => {
  it('puts another key in its place: nothing stored is touched, the old key opens nothing any more', async () => {
    const [old, fresh] = [randomBytes(32), { passphrase: 'tête à tête' }];
    const series = await KeySeries.create({ key: old });
    const before = stored(series.storage);
    const { before: was, after: is } = await changeKey(series.storage, { key: old, newKey: { key: fresh } });
    expect([was.keys.length, is.keys.length]).toEqual([1, 1]);
    expect(is.keys[0]?.id).not.toBe(was.keys[0]?.id);
    expect(stored(series.storage)).toEqual(before);
    await expect(openRepositoryFile(series.storage, { key: old })).rejects.toMatchObject(refused('key'));
    await series.expectWhole({ key: fresh });
    // And on to another key: what is written with one of them is read with the other.
    const next = randomBytes(32);
    await changeKey(series.storage, { key: fresh, newKey: { key: next } });
    await expect(openRepositoryFile(series.storage, { key: fresh })).rejects.toMatchObject(refused('key'));
    await series.take({ key: next });
    await series.expectWhole({ key: next });
    for (const bytes of series.storage.objects.values())
      expect(/secret|tête/.test(bytes.toString())).toBe(false);
  });

  it('adds keys and removes them by their ids, but never the one that it was given', async () => {
    const [first, second] = [randomBytes(32), randomBytes(32)];
    const series = await KeySeries.create({ key: first });
    const { after } = await changeKey(series.storage, { key: first, addKeys: [{ key: second }] });
    const [one = '', two = ''] = after.keys.map(({ id }) => id);
    await series.expectWhole({ key: first });
    await series.expectWhole({ key: second });
    const own = changeKey(series.storage, { key: first, removeKeys: [one] });
    await expect(own).rejects.toMatchObject(usage(/is the one that was given/));
    const none = changeKey(series.storage, { key: first, removeKeys: ['00000000'] });
    await expect(none).rejects.toMatchObject(usage(/there is no key 00000000, only/));
    await changeKey(series.storage, { key: second, removeKeys: [one] });
    await expect(openRepositoryFile(series.storage, { key: first })).rejects.toMatchObject(refused('key'));
    const last = changeKey(series.storage, { key: second, removeKeys: [two] });
    await expect(last).rejects.toMatchObject(usage(/is the one that was given/));
    await series.expectWhole({ key: second });
  });

  it('changes to a key that a service wraps, which is asked for that one alone', async () => {
    const [old, wrappedOnce, wrappedTwice] = [randomBytes(32), randomBytes(32), randomBytes(32)];
    const keys = new Map([['one', wrappedOnce]]);
    const asked: string[] = [];
    const service = (wrapped: Uint8Array): Promise<Uint8Array> => {
      asked.push(Buffer.from(wrapped).toString());
      const key = keys.get(Buffer.from(wrapped).toString());
      return key === undefined ? Promise.reject(new Error('no such key')) : Promise.resolve(key);
    };
    const series = await KeySeries.create({ key: old });
    await changeKey(series.storage, {
      key: old,
      addKeys: [{ key: wrappedOnce, wrapped: Buffer.from('one') }],
    });
    await series.expectWhole({ key: service });
    expect(asked).toEqual(['one']);
    // Rotated in the service: what it does not know any more is no matter while it knows another one.
    const next = { key: wrappedTwice, wrapped: Buffer.from('two') };
    await changeKey(series.storage, { key: service, addKeys: [next] });
    keys.delete('one');
    keys.set('two', wrappedTwice);
    await series.expectWhole({ key: service });
    keys.clear();
    await expect(openRepositoryFile(series.storage, { key: service })).rejects.toMatchObject({
      ...refused('key'),
      message: expect.stringContaining('no such key') as string,
    });
  });

  it('changes recipients; a host that may only write writes on, before and after', async () => {
    const [alice, bob, host] = [generateRecipient(), generateRecipient(), randomBytes(32)];
    const series = await KeySeries.create({ key: host, recipients: [alice.publicKey] });
    const { storage } = series;
    const add: KeyChange = { key: host, addRecipients: [bob.publicKey] };
    await expect(changeKey(storage, add)).rejects.toMatchObject(refused('key'));
    await expect(changeKey(storage, { ...add, privateKey: bob.privateKey })).rejects.toMatchObject(
      refused('key'),
    );
    await changeKey(storage, { ...add, privateKey: alice.privateKey });
    await series.take({ key: host });
    for (const { privateKey } of [alice, bob]) await series.expectWhole({ key: host, privateKey });
    // Who goes can be told to go by the host: it takes nothing but the list.
    await changeKey(storage, { key: host, removeRecipients: [alice.publicKey] });
    const { privateKey } = alice;
    await expect(openRepositoryFile(storage, { key: host, privateKey })).rejects.toMatchObject(
      refused('key'),
    );
    const last = changeKey(storage, { key: host, removeRecipients: [bob.publicKey] });
    await expect(last).rejects.toMatchObject(usage(/the last recipient/));
    // The key of the host changes: it still writes, and still reads nothing.
    const other = randomBytes(32);
    await changeKey(storage, { key: host, newKey: { key: other } });
    await expect(series.take({ key: host })).rejects.toMatchObject(refused('key'));
    await series.take({ key: other });
    await expect(series.expectWhole({ key: other })).rejects.toMatchObject(refused('key'));
    await series.expectWhole({ key: other, privateKey: bob.privateKey });
  });

  it('does nothing with a wrong key, without a change, in a dry run, and where nothing is encrypted', async () => {
    const key = randomBytes(32);
    const series = await KeySeries.create({ key });
    const { storage } = series;
    const before = storage.objects.get(REPOSITORY);
    const newKey = { key: randomBytes(32) };
    for (const wrong of [randomBytes(32), { passphrase: 'x' }])
      await expect(changeKey(storage, { key: wrong, newKey })).rejects.toMatchObject(refused('key'));
    await expect(changeKey(storage, { key })).rejects.toMatchObject(usage(/nothing is to be changed/));
    const recipients = changeKey(storage, { key, addRecipients: [generateRecipient().publicKey] });
    await expect(recipients).rejects.toMatchObject(usage(/has no recipients/));
    const { after } = await changeKey(storage, { key, newKey, dryRun: true });
    expect(after.keys).toHaveLength(1);
    expect(storage.objects.get(REPOSITORY)).toBe(before);
    const plain = new TestStorage();
    await createRepositoryFile(plain);
    await expect(changeKey(plain, { key, newKey })).rejects.toMatchObject(refused('key'));
  });

  it('keeps what another version has added to the file', async () => {
    const key = randomBytes(32);
    const { storage } = await KeySeries.create({ key });
    const fields = JSON.parse(String(storage.objects.get(REPOSITORY))) as Record<string, object>;
    const extended = { ...fields, later: 1, encryption: { ...fields.encryption, other: 2 } };
    storage.objects.set(REPOSITORY, Buffer.from(JSON.stringify(extended)));
    await changeKey(storage, { key, newKey: { key: randomBytes(32) } });
    const changed = JSON.parse(String(storage.objects.get(REPOSITORY))) as object;
    expect(changed).toMatchObject({ later: 1, encryption: { other: 2 } });
  });

  it('does not open when the public key of what is sealed was exchanged', async () => {
    const [alice, mallory, key] = [generateRecipient(), generateRecipient(), randomBytes(32)];
    const { storage } = await KeySeries.create({ key, recipients: [alice.publicKey] });
    const text = String(storage.objects.get(REPOSITORY));
    const fields = JSON.parse(text) as { encryption: { data: { publicKey: string } } };
    fields.encryption.data.publicKey = mallory.publicKey.toString('base64');
    storage.objects.set(REPOSITORY, Buffer.from(JSON.stringify(fields)));
    await expect(openRepositoryFile(storage, { key })).rejects.toMatchObject(refused('key'));
  });
});

const [old, fresh] = [randomBytes(32), randomBytes(32)];

describe('a change of the key that is disturbed', () => {
  async function opensWith(storage: TestStorage): Promise<string> {
    const opens = await Promise.all(
      [old, fresh].map((key) =>
        openRepositoryFile(storage, { key }).then(
          () => true,
          () => false,
        ),
      ),
    );
    return opens.map((each) => (each ? 'opens' : 'no')).join(' ');
  }

  it.each(['kill', 'kill-after', 'fail', 'fail-after', 'tear', 'repeat'] as const)(
    'leaves the old key or the new one working, and says which (%s)',
    async (type) => {
      const { storage: whole } = await KeySeries.create({ key: old });
      const seen = new Set<string>();
      let number = 1;
      for (let isThrough = false; !isThrough; number++) {
        const storage = new TestStorage();
        for (const [name, bytes] of whole.objects) storage.objects.set(name, bytes);
        const faulty = faultyStorage(storage, faultAt(number, { type }));
        const isDone = await changeKey(faulty, { key: old, newKey: { key: fresh } }).then(
          () => true,
          () => false,
        );
        isThrough = faulty.operations.length < number;
        const opens = await opensWith(storage);
        expect(['opens no', 'no opens']).toContain(opens);
        // Nobody can say anything after being killed.
        if (!type.startsWith('kill')) expect(opens, `at ${number}`).toBe(isDone ? 'no opens' : 'opens no');
        seen.add(opens);
        expect([...storage.objects.keys()]).toEqual([...whole.objects.keys()]);
      }
      expect(number).toBeGreaterThanOrEqual(4);
      expect(seen).toContain('no opens');
    },
  );

  it('by another change loses nothing: one of both is done, the other says that it is not', async () => {
    const { storage } = await KeySeries.create({ key: old });
    const other = randomBytes(32);
    const outcomes = await Promise.allSettled(
      [fresh, other].map((key) => changeKey(storage, { key: old, addKeys: [{ key }] })),
    );
    const failures = outcomes.flatMap((each) =>
      each.status === 'rejected' ? [each.reason as StorageError] : [],
    );
    expect(failures).toMatchObject([refused('busy')]);
    await openRepositoryFile(storage, { key: old });
    const opened = await Promise.allSettled(
      [fresh, other].map((key) => openRepositoryFile(storage, { key })),
    );
    expect(opened.map(({ status }) => status)).toEqual(outcomes.map(({ status }) => status));
  });

  it('by an abort is not begun', async () => {
    const { storage } = await KeySeries.create({ key: old });
    const before = storage.objects.get(REPOSITORY);
    const signal = AbortSignal.abort(new Error('stop'));
    const change = changeKey(storage, { key: old, newKey: { key: fresh }, signal });
    await expect(change).rejects.toThrow('stop');
    expect(storage.objects.get(REPOSITORY)).toBe(before);
  });
});

describe('a repository file that was tampered with', () => {
  it.each([
    ['an unknown cipher', { cipher: 'rot13' }],
    ['no keys', { keys: [] }],
    ['too many keys', { keys: Array.from({ length: 33 }, () => ({})) }],
    ['a slot without a salt', { keys: [{ id: '00000000', createdAt: '', master: '' }] }],
    ['scrypt that takes all memory', { scrypt: { n: 2 ** 30, r: 8, p: 1 } }],
    ['scrypt that takes for ever', { scrypt: { n: 2 ** 17, r: 8, p: 2 ** 20 } }],
    ['scrypt of nonsense', { scrypt: { n: 'x', r: 8, p: 1 } }],
    ['recipients of nonsense', { data: { publicKey: '', recipients: [null] } }],
    ['no recipients', { data: { publicKey: '' } }],
  ])('is not opened: %s', async (_, change: Record<string, unknown>) => {
    const { storage } = await KeySeries.create({ key: old });
    const fields = JSON.parse(String(storage.objects.get(REPOSITORY))) as { encryption: { keys: object[] } };
    const { scrypt, ...rest } = change;
    const keys = scrypt === undefined ? {} : { keys: [{ ...fields.encryption.keys[0], scrypt }] };
    const tampered = { ...fields, encryption: { ...fields.encryption, ...keys, ...rest } };
    storage.objects.set(REPOSITORY, Buffer.from(JSON.stringify(tampered)));
    const opening = openRepositoryFile(storage, { key: old });
    await expect(opening).rejects.toMatchObject(refused('format'));
  });
});
