import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert/strict';
import { type ObjectInfo, type Storage, StorageError, type StorageReason } from '../ports/storage.ts';

/** One promise of a storage. Its name starts with what it is about. */
export interface ComplianceTest {
  readonly name: string;
  /** Rejects where the promise is not kept. @param storage - an empty one, for this test alone */
  readonly run: (storage: Storage) => Promise<void>;
}

/**
 * What every storage must do, for any test runner:
 *
 * ```ts
 * for (const { name, run } of storageCompliance()) test(name, async () => run(await emptyStorage()));
 * ```
 *
 * Durability is not among it: no test can cut the power.
 */
export function storageCompliance(): readonly ComplianceTest[] {
  return Object.entries({ ...WHOLE_OBJECTS, ...STREAMED, ...RANGES, ...LISTINGS, ...NAMES }).map(
    ([name, run]) => ({ name, run }),
  );
}

type Tests = Readonly<Record<string, (storage: Storage) => Promise<void>>>;

const ONE = Buffer.from('one');
const TWO = Buffer.from('another two');
const WRITERS = 8;

const WHOLE_OBJECTS: Tests = {
  'put: what was put is read back, also nothing at all': async (storage) => {
    await storage.put('a/b', ONE);
    await storage.put('empty', new Uint8Array());
    deepStrictEqual(Buffer.from(await storage.get('a/b')), ONE);
    strictEqual((await storage.get('empty')).length, 0);
    strictEqual(await storage.size('a/b'), ONE.length);
    strictEqual(await storage.size('empty'), 0);
  },
  'put: the bytes are borrowed only until it is done': async (storage) => {
    const bytes = Buffer.from(ONE);
    await storage.put('a', bytes);
    bytes.fill(0);
    (await storage.get('a')).fill(0);
    deepStrictEqual(Buffer.from(await storage.get('a')), ONE);
  },
  'put: an object is never overwritten': async (storage) => {
    await storage.put('a', ONE);
    await fails('exists', storage.put('a', TWO));
    deepStrictEqual(Buffer.from(await storage.get('a')), ONE);
  },
  'put: of several at once exactly one succeeds': async (storage) => {
    const values = Array.from({ length: WRITERS }, (_, index) => Buffer.from(`writer ${index}`));
    const results = await Promise.allSettled(values.map((value) => storage.put('x/race', value)));
    const winners = values.filter((_, index) => results[index]?.status === 'fulfilled');
    strictEqual(winners.length, 1);
    deepStrictEqual(Buffer.from(await storage.get('x/race')), winners[0]);
    for (const result of results) if (result.status === 'rejected') isStorageError('exists', result.reason);
  },
  'get: an object that is not there': async (storage) => {
    await fails('not-found', storage.get('a'));
    await fails('not-found', storage.get('a/b/c'));
    strictEqual(await storage.size('a'), undefined);
    strictEqual(await storage.size('a/b/c'), undefined);
  },
  'remove: the object is gone and can be put again; what is not there can be removed': async (storage) => {
    await storage.put('a/b', ONE);
    await storage.read('a/b', 0, 1);
    await storage.remove('a/b');
    await fails('not-found', storage.get('a/b'));
    await fails('not-found', storage.read('a/b', 0, 1));
    await storage.remove('a/b');
    await storage.remove('c/d');
    await storage.put('a/b', TWO);
    deepStrictEqual(Buffer.from(await storage.get('a/b')), TWO);
    deepStrictEqual(Buffer.from(await storage.read('a/b', 0, TWO.length)), TWO);
  },
  'replace: only what is expected is replaced': async (storage) => {
    await storage.put('a', ONE);
    await fails('changed', storage.replace('a', TWO, TWO));
    await fails('changed', storage.replace('a', TWO, ONE.subarray(1)));
    deepStrictEqual(Buffer.from(await storage.get('a')), ONE);
    await storage.replace('a', TWO, ONE);
    deepStrictEqual(Buffer.from(await storage.get('a')), TWO);
    deepStrictEqual(Buffer.from(await storage.read('a', 0, TWO.length)), TWO);
    await fails('not-found', storage.replace('b', TWO, ONE));
    strictEqual(await storage.size('b'), undefined);
  },
  'replace: of several at once exactly one succeeds': async (storage) => {
    await storage.put('a', ONE);
    const values = Array.from({ length: WRITERS }, (_, index) => Buffer.from(`writer ${index}`));
    const results = await Promise.allSettled(values.map((value) => storage.replace('a', value, ONE)));
    const winners = values.filter((_, index) => results[index]?.status === 'fulfilled');
    strictEqual(winners.length, 1);
    deepStrictEqual(Buffer.from(await storage.get('a')), winners[0]);
  },
  'signal: nothing is done for one that is aborted already': async (storage) => {
    await storage.put('there', ONE);
    const reason = new Error('enough');
    const options = { signal: AbortSignal.abort(reason) };
    const attempts = [
      () => storage.get('there', options),
      () => storage.read('there', 0, 1, options),
      () => storage.size('there', options),
      () => storage.put('new', ONE, options),
      () => storage.replace('there', TWO, ONE, options),
      () => storage.create('new', options),
      () => storage.remove('there', options),
      () => collect(storage.list('', options)),
    ];
    for (const attempt of attempts) await rejects(attempt, (error) => error === reason);
    deepStrictEqual(await namesIn(storage, ''), ['there']);
    deepStrictEqual(Buffer.from(await storage.get('there')), ONE);
  },
};

const STREAMED: Tests = {
  'create: nothing is seen before the commit, and then all of it': async (storage) => {
    const writer = await storage.create('packs/p');
    const bytes = Buffer.from(ONE);
    await writer.write(bytes);
    bytes.fill(0);
    await writer.write(TWO);
    strictEqual(await storage.size('packs/p'), undefined);
    deepStrictEqual(await namesIn(storage, ''), []);
    await writer.commit();
    deepStrictEqual(Buffer.from(await storage.get('packs/p')), Buffer.concat([ONE, TWO]));
    deepStrictEqual(await namesIn(storage, ''), ['packs/p']);
    await writer.discard();
    strictEqual(await storage.size('packs/p'), ONE.length + TWO.length);
  },
  'create: what is discarded leaves nothing': async (storage) => {
    const writer = await storage.create('packs/p');
    await writer.write(ONE);
    await writer.discard();
    await writer.discard();
    await rejects(writer.commit(), StorageError);
    deepStrictEqual(await namesIn(storage, ''), []);
    await storage.put('packs/p', TWO);
  },
  'create: an object is never overwritten': async (storage) => {
    const writer = await storage.create('p');
    await writer.write(TWO);
    await storage.put('p', ONE);
    await fails('exists', writer.commit());
    await writer.discard();
    deepStrictEqual(Buffer.from(await storage.get('p')), ONE);
  },
  'create: an aborted write or commit stores nothing': async (storage) => {
    const reason = new Error('enough');
    const options = { signal: AbortSignal.abort(reason) };
    for (const call of ['write', 'commit'] as const) {
      const writer = await storage.create('p');
      const attempt = call === 'write' ? writer.write(ONE, options) : writer.commit(options);
      await rejects(attempt, (error) => error === reason);
      await writer.discard();
    }
    deepStrictEqual(await namesIn(storage, ''), []);
  },
};

const RANGES: Tests = {
  'read: any range of an object': async (storage) => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
    await storage.put('a', bytes);
    for (const [offset, length] of [
      [0, 1000],
      [0, 0],
      [1000, 0],
      [999, 1],
      [123, 456],
    ] as const)
      deepStrictEqual(
        Buffer.from(await storage.read('a', offset, length)),
        bytes.subarray(offset, offset + length),
      );
  },
  'read: never less than was asked for': async (storage) => {
    await storage.put('a', ONE);
    await fails('short', storage.read('a', 0, 4));
    await fails('short', storage.read('a', 3, 1));
    await fails('short', storage.read('a', 1_000_000, 1));
    await fails('short', storage.read('a', 0, 2 ** 50));
    await fails('not-found', storage.read('b', 0, 1));
  },
  'read: into memory of the caller, which may be shared, where the storage can': async (storage) => {
    await storage.put('a', TWO);
    const into = new Uint8Array(new SharedArrayBuffer(3));
    await storage.readInto?.('a', 8, into);
    if (storage.readInto !== undefined) deepStrictEqual(Buffer.from(into), TWO.subarray(8));
    if (storage.readInto !== undefined) await fails('short', storage.readInto('a', 9, into));
  },
  'read: many objects at once': async (storage) => {
    const names = Array.from({ length: 300 }, (_, index) => `many/${index}`);
    await Promise.all(names.map((name) => storage.put(name, Buffer.from(name))));
    const texts = await Promise.all(
      [...names, ...names].map(async (name) =>
        Buffer.from(await storage.read(name, 0, name.length)).toString(),
      ),
    );
    deepStrictEqual(texts, [...names, ...names]);
  },
};

const LISTINGS: Tests = {
  'list: every object that starts with the prefix, with its size': async (storage) => {
    for (const name of ['a', 'ab', 'b/a', 'b/ab', 'b/c/d', 'bb/a']) await storage.put(name, ONE);
    deepStrictEqual(await namesIn(storage, ''), ['a', 'ab', 'b/a', 'b/ab', 'b/c/d', 'bb/a']);
    deepStrictEqual(await namesIn(storage, 'a'), ['a', 'ab']);
    deepStrictEqual(await namesIn(storage, 'b'), ['b/a', 'b/ab', 'b/c/d', 'bb/a']);
    deepStrictEqual(await namesIn(storage, 'b/'), ['b/a', 'b/ab', 'b/c/d']);
    deepStrictEqual(await namesIn(storage, 'b/a'), ['b/a', 'b/ab']);
    deepStrictEqual(await namesIn(storage, 'b/c/d'), ['b/c/d']);
    deepStrictEqual(await namesIn(storage, 'c/'), []);
    for (const { size } of await collect(storage.list(''))) strictEqual(size, ONE.length);
  },
  'list: can be left early': async (storage) => {
    for (let index = 0; index < 10; index++) await storage.put(`a/${index}`, ONE);
    for await (const info of storage.list('a/')) {
      ok(info.name.startsWith('a/'));
      break;
    }
    strictEqual((await namesIn(storage, 'a/')).length, 10);
  },
};

const NAMES: Tests = {
  'names: what is none is refused': async (storage) => {
    const wrong = [
      '',
      '/',
      '/a',
      'a/',
      'a//b',
      '.',
      '..',
      'a/../b',
      './a',
      'a b',
      'ä',
      'a\0b',
      'a\\b',
      'a~b',
    ];
    for (const name of [...wrong, 'x'.repeat(256)]) {
      await rejects(storage.put(name, ONE), StorageError);
      await rejects(storage.get(name), StorageError);
    }
    deepStrictEqual(await namesIn(storage, ''), []);
  },
  'names: dots, dashes and length are no matter': async (storage) => {
    const names = ['.hidden', '..a', 'a..b', '-rf', '_', `long/${'x'.repeat(200)}`].sort();
    for (const name of names) await storage.put(name, Buffer.from(name));
    deepStrictEqual(await namesIn(storage, ''), names);
    for (const name of names) strictEqual(Buffer.from(await storage.get(name)).toString(), name);
  },
};

async function fails(reason: StorageReason, attempt: Promise<unknown>): Promise<void> {
  await rejects(attempt, (error) => isStorageError(reason, error));
}

function isStorageError(reason: StorageReason, error: unknown): true {
  ok(error instanceof StorageError, `not a StorageError: ${String(error)}`);
  strictEqual(error.reason, reason);
  return true;
}

async function collect(infos: AsyncIterable<ObjectInfo>): Promise<ObjectInfo[]> {
  const all: ObjectInfo[] = [];
  for await (const info of infos) all.push(info);
  return all;
}

async function namesIn(storage: Storage, prefix: string): Promise<string[]> {
  return (await collect(storage.list(prefix))).map(({ name }) => name).sort();
}
