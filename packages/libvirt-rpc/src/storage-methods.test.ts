import { describe, expect, test } from 'vitest';
import { UUID } from './calls.fixture.ts';
import { connect } from './connect.ts';
import { LibvirtProtocolError, LibvirtUsageError } from './errors.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';
import { options, testMethods } from './method-table.fixture.ts';
import { Secret } from './secret.ts';
import { StoragePool } from './storage-pool.ts';
import { StorageVolume } from './storage-volume.ts';

const P = 'REMOTE_PROC_STORAGE_';
const pool = { name: 'p', uuid: UUID };
const vol = { pool: 'p', name: 'v', key: '/p/v' };
const other = { pool: 'p', name: 'w', key: '/p/w' };
const secret = { uuid: UUID, usageType: 1, usageID: '/p/v' };

describe('StoragePool', () => {
  testMethods(
    (libvirt) => new StoragePool(libvirt, pool),
    [
      [
        'getInfo',
        [],
        `${P}POOL_GET_INFO`,
        { pool },
        { state: 2, capacity: 3n, allocation: 2n, available: 1n },
        { state: 2, capacity: 3, allocation: 2, available: 1 },
      ],
      [
        'getXmlDesc',
        [options({ flags: 1 })],
        `${P}POOL_GET_XML_DESC`,
        { pool, flags: 1 },
        { xml: '<pool/>' },
        '<pool/>',
      ],
      ['isActive', [], `${P}POOL_IS_ACTIVE`, { pool }, { active: true }, true],
      ['isPersistent', [], `${P}POOL_IS_PERSISTENT`, { pool }, { persistent: true }, true],
      ['getAutostart', [], `${P}POOL_GET_AUTOSTART`, { pool }, { autostart: false }, false],
      ['setAutostart', [true], `${P}POOL_SET_AUTOSTART`, { pool, autostart: true }],
      ['build', [options({ flags: 8 })], `${P}POOL_BUILD`, { pool, flags: 8 }],
      ['create', [options({ flags: 1 })], `${P}POOL_CREATE`, { pool, flags: 1 }],
      ['refresh', [], `${P}POOL_REFRESH`, { pool, flags: 0 }],
      ['destroy', [], `${P}POOL_DESTROY`, { pool }],
      ['delete', [options({ flags: 1 })], `${P}POOL_DELETE`, { pool, flags: 1 }],
      ['undefine', [], `${P}POOL_UNDEFINE`, { pool }],
      [
        'listAllVolumes',
        [],
        `${P}POOL_LIST_ALL_VOLUMES`,
        { pool, needResults: 1, flags: 0 },
        { vols: [vol, other], ret: 2 },
        [vol, other],
      ],
      ['storageVolLookupByName', ['v'], `${P}VOL_LOOKUP_BY_NAME`, { pool, name: 'v' }, { vol }, vol],
      [
        'storageVolCreateXml',
        ['<volume/>', options({ flags: 1 })],
        `${P}VOL_CREATE_XML`,
        { pool, xml: '<volume/>', flags: 1 },
        { vol },
        vol,
      ],
      [
        'storageVolCreateXmlFrom',
        ['<volume/>', { ref: other }, options({ flags: 2 })],
        `${P}VOL_CREATE_XML_FROM`,
        { pool, xml: '<volume/>', clonevol: other, flags: 2 },
        { vol },
        vol,
      ],
    ],
  );
});

const info = { type: 0, capacity: 4096n, allocation: 512n };

describe('StorageVolume', () => {
  testMethods(
    (libvirt) => new StorageVolume(libvirt, vol),
    [
      ['getInfo', [], `${P}VOL_GET_INFO`, { vol }, info, { type: 0, capacity: 4096, allocation: 512 }],
      [
        'getInfoFlags',
        [options({ flags: 1 })],
        `${P}VOL_GET_INFO_FLAGS`,
        { vol, flags: 1 },
        info,
        { type: 0, capacity: 4096, allocation: 512 },
      ],
      ['getXmlDesc', [], `${P}VOL_GET_XML_DESC`, { vol, flags: 0 }, { xml: '<volume/>' }, '<volume/>'],
      ['getPath', [], `${P}VOL_GET_PATH`, { vol }, { name: '/p/v' }, '/p/v'],
      ['resize', [8192, options({ flags: 4 })], `${P}VOL_RESIZE`, { vol, capacity: 8192n, flags: 4 }],
      ['wipe', [], `${P}VOL_WIPE`, { vol, flags: 0 }],
      ['wipePattern', [8], `${P}VOL_WIPE_PATTERN`, { vol, algorithm: 8, flags: 0 }],
      ['delete', [options({ flags: 1 })], `${P}VOL_DELETE`, { vol, flags: 1 }],
    ],
    ['download', 'upload'],
  );

  test('a size that a number cannot hold is not rounded, one that no size can be is not sent', async () => {
    await using fake = await FakeLibvirtd.start({
      [`${P}VOL_GET_INFO`]: (call) => {
        call.client.reply(call, { ...info, capacity: 2n ** 53n });
      },
    });
    await using libvirt = await connect(fake.uri);
    const volume = new StorageVolume(libvirt, vol);
    await expect(volume.getInfo()).rejects.toBeInstanceOf(LibvirtProtocolError);
    await expect(volume.resize(-1)).rejects.toBeInstanceOf(LibvirtUsageError);
    await expect(volume.resize(1.5)).rejects.toBeInstanceOf(LibvirtUsageError);
    expect(fake.client.calls.map(({ row }) => row.name)).not.toContain(`${P}VOL_RESIZE`);
  });
});

describe('Secret', () => {
  testMethods(
    (libvirt) => new Secret(libvirt, secret),
    [
      [
        'getXmlDesc',
        [],
        'REMOTE_PROC_SECRET_GET_XML_DESC',
        { secret, flags: 0 },
        { xml: '<secret/>' },
        '<secret/>',
      ],
      [
        'getValue',
        [],
        'REMOTE_PROC_SECRET_GET_VALUE',
        { secret, flags: 0 },
        { value: Buffer.from([0, 255]) },
        [0, 255],
      ],
      [
        'setValue',
        [Buffer.from([1, 2])],
        'REMOTE_PROC_SECRET_SET_VALUE',
        { secret, value: Buffer.from([1, 2]), flags: 0 },
      ],
      ['undefine', [], 'REMOTE_PROC_SECRET_UNDEFINE', { secret }],
    ],
  );
});

test('objects tell what names them', async () => {
  await using fake = await FakeLibvirtd.start();
  await using libvirt = await connect(fake.uri);
  expect(new StoragePool(libvirt, pool)).toMatchObject(pool);
  expect(new StorageVolume(libvirt, vol)).toMatchObject(vol);
  expect(new Secret(libvirt, secret)).toMatchObject({ uuid: UUID, usageType: 1, usageId: '/p/v' });
});
