import { expect, test } from 'vitest';
import { UUID } from './calls.fixture.ts';
import { connect } from './connect.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';
import { StoragePool } from './storage-pool.ts';
import { ref } from './streams/stream-packets.fixture.ts';

test('pools and volumes by name', async () => {
  await using fake = await FakeLibvirtd.start({
    REMOTE_PROC_STORAGE_POOL_LOOKUP_BY_NAME: (call) => {
      call.client.reply(call, { pool: { name: 'p', uuid: UUID } });
    },
    REMOTE_PROC_STORAGE_VOL_LOOKUP_BY_NAME: (call) => {
      call.client.reply(call, { vol: ref });
    },
  });
  await using libvirt = await connect(fake.uri);
  const pool = await libvirt.lookupStoragePoolByName('p');
  expect(pool).toBeInstanceOf(StoragePool);
  expect([pool.name, pool.uuid]).toEqual(['p', UUID]);
  const volume = await pool.storageVolLookupByName('v');
  expect([volume.pool, volume.name, volume.key]).toEqual(['p', 'v', '/p/v']);
});
