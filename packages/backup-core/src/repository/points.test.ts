import { describe, expect, it } from 'vitest';
import { DamagedError } from '../words/errors.ts';
import { TestStorage } from './memory-storage.fixture.ts';
import { diskOf, pointOf, UUID } from './point.fixture.ts';
import { decodeManifest, encodeManifest, sha256Of } from './point-manifest.ts';
import { hasPoint, listPoints, putPoint, removePoint } from './points.ts';

describe('points', () => {
  it('are listed oldest first, as they were put', async () => {
    const storage = new TestStorage();
    const root = { hash: Buffer.alloc(32, 7), pack: '01J00000000000000000000000', number: 3 };
    const newer = pointOf({ id: '01J10000000000000000000000', disks: [diskOf({ root, dirtyBytes: 5 })] });
    const older = pointOf({
      id: '01J00000000000000000000000',
      checkpoint: null,
      states: [{ name: 'nvram', bytes: Buffer.from([1, 2]) }],
    });
    await putPoint(storage, newer);
    await putPoint(storage, older);
    const { points, damaged } = await listPoints(storage);
    expect(points.map(({ point }) => point)).toEqual([older, newer]);
    expect(damaged).toEqual([]);
    expect(await listPoints(storage, { uuid: '00000000-0000-0000-0000-000000000000' })).toEqual({
      points: [],
      damaged: [],
    });
  });

  it('putting one again is fine, and whether it is there can be asked', async () => {
    const storage = new TestStorage();
    const point = pointOf();
    expect(await hasPoint(storage, UUID, point.id)).toBe(false);
    const listed = await putPoint(storage, point);
    expect(await putPoint(storage, point)).toEqual(listed);
    expect(await hasPoint(storage, UUID, point.id)).toBe(true);
    await removePoint(storage, listed);
    expect((await listPoints(storage)).points).toEqual([]);
  });

  it('a byte that is changed anywhere harms that point alone', async () => {
    const storage = new TestStorage();
    const { object } = await putPoint(storage, pointOf());
    const other = await putPoint(storage, pointOf());
    const bytes = storage.objects.get(object) as Buffer;
    for (let at = 0; at < bytes.length; at += 7) {
      bytes[at] = (bytes[at] as number) ^ 1;
      const { points, damaged } = await listPoints(storage);
      bytes[at] = (bytes[at] as number) ^ 1;
      expect(points.map((each) => each.object)).toEqual([other.object]);
      expect(damaged.map(({ name }) => name)).toEqual([object]);
    }
  });

  it.each(['points/x', `points/${UUID}/head.json`, `points/${UUID.toUpperCase()}/01J.${'0'.repeat(64)}`])(
    'a stray %s is named and hides nothing',
    async (name) => {
      const storage = new TestStorage();
      await putPoint(storage, pointOf());
      storage.objects.set(name, Buffer.from('{}'));
      const { points, damaged } = await listPoints(storage);
      expect(points).toHaveLength(1);
      expect(damaged.map((each) => each.name)).toEqual([name]);
    },
  );

  it('a manifest that is put where another domain or point belongs is damage', async () => {
    const storage = new TestStorage();
    const bytes = encodeManifest(pointOf({ id: '01J00000000000000000000000' }));
    const other = 'aaaaaaaa-0a44-4e5c-a7b5-3ae0a1d12a3c';
    storage.objects.set(`points/${other}/01J00000000000000000000000.${sha256Of(bytes)}`, bytes);
    storage.objects.set(`points/${UUID}/01J20000000000000000000000.${sha256Of(bytes)}`, bytes);
    const { points, damaged } = await listPoints(storage);
    expect(points).toEqual([]);
    expect(damaged.map(({ reason }) => reason).join()).toMatch(/that of domain.*that of point/s);
  });

  it.each([
    ['a disk name that is a path', { disks: [diskOf({ name: '../x' as never })] }],
    ['two disks of one name', { disks: [diskOf(), diskOf()] }],
    ['a negative size', { disks: [diskOf({ size: -1 })] }],
    [
      'a pack that is none',
      { disks: [diskOf({ root: { hash: Buffer.alloc(32), pack: '../../x', number: 0 } })] },
    ],
    ['a checkpoint name that is a path', { checkpoint: { name: '../x', creationTime: 1 } }],
  ])('refuses %s, whoever wrote it', (_, fields) => {
    const point = pointOf(fields);
    expect(() => decodeManifest(encodeManifest(point), { id: point.id, uuid: UUID, sha256: '' })).toThrow(
      DamagedError,
    );
  });
});
