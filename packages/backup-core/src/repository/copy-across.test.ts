import { randomBytes } from 'node:crypto';
import * as zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { copyPoints } from './copy-points.ts';
import { BLOCK_SIZE } from './format.ts';
import type { EncryptionOptions, OpeningKeys } from './key-envelope.ts';
import { KeySeries } from './keyed-series.fixture.ts';
import { checkPoints, lonelyProcess, openStore } from './kept-series.fixture.ts';
import { changeKey } from './change-key.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { type Compression, createRepositoryFile, openRepositoryFile } from './repository-file.ts';
import { generateRecipient } from './seal.ts';
import type { TreeStore } from './tree/tree-store.ts';

const owners = lonelyProcess(1);
const owner = generateRecipient();
const recipients = [owner.publicKey];

/** How a side can be encrypted: what it is made with, and what it is read and written with. */
interface Side {
  readonly name: string;
  readonly encryption: () => EncryptionOptions | undefined;
  readonly readsWith: Pick<OpeningKeys, 'privateKey'>;
}

const SIDES: readonly Side[] = [
  { name: 'plain', encryption: () => undefined, readsWith: {} },
  { name: 'a key', encryption: () => ({ key: randomBytes(32) }), readsWith: {} },
  {
    name: 'recipients',
    encryption: () => ({ key: randomBytes(32), recipients }),
    readsWith: { privateKey: owner.privateKey },
  },
];
const COMPRESSIONS: readonly Compression[] = [
  'none',
  'deflate',
  ...('zstdCompressSync' in zlib ? (['zstd'] as const) : []),
];

const PAIRS = SIDES.flatMap((from) =>
  SIDES.flatMap((to) =>
    COMPRESSIONS.map((compression, index) => {
      const before = COMPRESSIONS[(index + 1) % COMPRESSIONS.length] ?? 'none';
      return {
        from,
        to,
        before,
        compression,
        title: `${from.name}, ${before} -> ${to.name}, ${compression}`,
      };
    }),
  ),
);

async function opened(storage: TestStorage, keys: OpeningKeys): Promise<TreeStore> {
  return openStore(storage, await openRepositoryFile(storage, keys));
}

describe('points are copied', () => {
  it.each(PAIRS)('$title', async ({ from, to, before, compression }) => {
    const [sourceKeys, targetKeys] = [from.encryption(), to.encryption()];
    const source = await KeySeries.create(sourceKeys, before);
    const [first = ''] = source.disks.keys();
    const second = await source.take({ key: sourceKeys?.key });
    const target = new TestStorage();
    await createRepositoryFile(target, { encryption: targetKeys, compression, companions: {} });
    // Who copies reads one side, and only has to be able to write the other.
    const reader = await opened(source.storage, { key: sourceKeys?.key, ...from.readsWith });
    const writer = await opened(target, { key: targetKeys?.key });
    const report = await copyPoints(reader, writer, owners);
    expect(report).toMatchObject({ copied: [{ id: first }, { id: second }], present: [], damaged: [] });
    expect(await copyPoints(reader, writer, owners)).toMatchObject({ copied: [], present: [first, second] });
    const file = await openRepositoryFile(target, { key: targetKeys?.key, ...to.readsWith });
    expect(await checkPoints(target, source.disks, file)).toEqual([first, second]);
    const text = [...target.objects.values()].map(String).join();
    expect(text.includes('secret')).toBe(targetKeys === undefined);
    // Four blocks a point; the one that is all of one byte is next to nothing when it is packed.
    const stored = report.copied[0]?.storedBytes ?? 0;
    expect(stored > 3.9 * BLOCK_SIZE).toBe(compression === 'none');
  });

  it('not from what one cannot read, and nothing is left of the attempt', async () => {
    const key = randomBytes(32);
    const source = await KeySeries.create({ key, recipients });
    const target = new TestStorage();
    await createRepositoryFile(target, { companions: {} });
    const before = [...target.objects.keys()];
    const host = await opened(source.storage, { key });
    const copy = copyPoints(host, await opened(target, {}), owners);
    await expect(copy).rejects.toMatchObject({ code: 'ERR_BACKUP_REPOSITORY', reason: 'key' });
    expect([...target.objects.keys()]).toEqual(before);
  });

  it('only what is missing between two that have one master key, whatever opens them', async () => {
    const [key, other] = [randomBytes(32), randomBytes(32)];
    const source = await KeySeries.create({ key });
    const target = new TestStorage();
    // A copy by other means, whose key was changed since.
    for (const [name, bytes] of source.storage.objects) target.objects.set(name, bytes);
    await changeKey(target, { key, newKey: { key: other } });
    const added = await source.take({ key });
    const from = await opened(source.storage, { key });
    const { copied, present } = await copyPoints(from, await opened(target, { key: other }), owners);
    expect([copied.map(({ id }) => id), present]).toEqual([[added], [[...source.disks.keys()][0]]]);
    // Hashes of both mean the same: the block that is in both is not read.
    expect(copied[0]?.readBytes).toBe(3 * BLOCK_SIZE);
    const file = await openRepositoryFile(target, { key: other });
    expect(await checkPoints(target, source.disks, file)).toEqual([...source.disks.keys()]);
  });
});
