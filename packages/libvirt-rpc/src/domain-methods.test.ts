import { describe, expect, test } from 'vitest';
import { dom, UUID } from './calls.fixture.ts';
import type { Caller } from './caller.ts';
import { Checkpoint } from './checkpoint.ts';
import { connect } from './connect.ts';
import { Domain } from './domain.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';
import { type MethodRow, options, testMethods } from './method-table.fixture.ts';
import { Snapshot } from './snapshot.ts';

const P = 'REMOTE_PROC_DOMAIN_';
const checkpoint = { name: 'c1', dom };
const snap = { name: 's1', dom };
const time = { type: 4, value: 5n } as const;

const lifecycle: readonly MethodRow[] = [
  ['getState', [], `${P}GET_STATE`, { dom, flags: 0 }, { state: 3, reason: 1 }, { state: 3, reason: 1 }],
  [
    'getInfo',
    [],
    `${P}GET_INFO`,
    { dom },
    { state: 1, maxMem: 4096n, memory: 1024n, nrVirtCpu: 2, cpuTime: 7n },
    { state: 1, maxMemoryKiB: 4096, memoryKiB: 1024, virtualCpus: 2, cpuTimeNs: 7n },
  ],
  [
    'getControlInfo',
    [],
    `${P}GET_CONTROL_INFO`,
    { dom, flags: 0 },
    { state: 1, details: 0, stateTime: 12n },
    { state: 1, details: 0, stateTime: 12 },
  ],
  ['isActive', [], `${P}IS_ACTIVE`, { dom }, { active: true }, true],
  ['isPersistent', [], `${P}IS_PERSISTENT`, { dom }, { persistent: false }, false],
  ['isUpdated', [], `${P}IS_UPDATED`, { dom }, { updated: true }, true],
  ['getAutostart', [], `${P}GET_AUTOSTART`, { dom }, { autostart: true }, true],
  ['setAutostart', [true], `${P}SET_AUTOSTART`, { dom, autostart: true }],
  ['create', [options({ flags: 1 })], `${P}CREATE_WITH_FLAGS`, { dom, flags: 1 }, { dom: { ...dom, id: 4 } }],
  ['suspend', [], `${P}SUSPEND`, { dom }],
  ['resume', [], `${P}RESUME`, { dom }],
  ['shutdown', [], `${P}SHUTDOWN`, { dom }],
  ['shutdownFlags', [options({ flags: 2 })], `${P}SHUTDOWN_FLAGS`, { dom, flags: 2 }],
  ['reboot', [options({ flags: 1 })], `${P}REBOOT`, { dom, flags: 1 }],
  ['reset', [], `${P}RESET`, { dom, flags: 0 }],
  ['destroy', [options({ flags: 1 })], `${P}DESTROY_FLAGS`, { dom, flags: 1 }],
  ['undefine', [options({ flags: 16 })], `${P}UNDEFINE_FLAGS`, { dom, flags: 16 }],
];

const guest: readonly MethodRow[] = [
  ['fsFreeze', [['/']], `${P}FSFREEZE`, { dom, mountpoints: ['/'], flags: 0 }, { filesystems: 1 }, 1],
  ['fsThaw', [[]], `${P}FSTHAW`, { dom, mountpoints: [], flags: 0 }, { filesystems: 2 }, 2],
  [
    'fsTrim',
    [options({ mountPoint: '/mnt', minimum: 512 })],
    `${P}FSTRIM`,
    { dom, mountPoint: '/mnt', minimum: 512n, flags: 0 },
  ],
  [
    'getFsInfo',
    [],
    `${P}GET_FSINFO`,
    { dom, flags: 0 },
    { info: [{ mountpoint: '/', name: 'vda1', fstype: 'ext4', devAliases: ['vda'] }], ret: 1 },
    [{ mountpoint: '/', name: 'vda1', fstype: 'ext4', devAliases: ['vda'] }],
  ],
  [
    'getGuestInfo',
    [options({ types: 2 })],
    `${P}GET_GUEST_INFO`,
    { dom, types: 2, flags: 0 },
    { params: [{ field: 'os.id', value: { type: 7, value: 'debian' } }] },
    [['os.id', { type: 7, value: 'debian' }]],
  ],
  [
    'agentSetResponseTimeout',
    [-2],
    `${P}AGENT_SET_RESPONSE_TIMEOUT`,
    { dom, timeout: -2, flags: 0 },
    { result: 0 },
  ],
  [
    'agentCommand',
    ['{}', options({ timeoutSeconds: 3 })],
    'QEMU_PROC_DOMAIN_AGENT_COMMAND',
    { dom, cmd: '{}', timeout: 3, flags: 0 },
    { result: null },
    null,
  ],
  [
    'monitorCommand',
    ['info', options({ flags: 1 })],
    'QEMU_PROC_DOMAIN_MONITOR_COMMAND',
    { dom, cmd: 'info', flags: 1 },
    { result: 'ok' },
    'ok',
  ],
];

const disk = { dom, disk: 'vda' };
const path = { dom, path: 'vda' };
const blocks: readonly MethodRow[] = [
  [
    'getBlockInfo',
    ['vda'],
    `${P}GET_BLOCK_INFO`,
    { ...path, flags: 0 },
    { allocation: 1n, capacity: 2n, physical: 3n },
    { allocation: 1, capacity: 2, physical: 3 },
  ],
  [
    'blockStats',
    ['vda'],
    `${P}BLOCK_STATS`,
    path,
    { rdReq: 1n, rdBytes: 2n, wrReq: 3n, wrBytes: 4n, errs: -1n },
    { rdReq: 1, rdBytes: 2, wrReq: 3, wrBytes: 4, errs: -1 },
  ],
  [
    'blockStatsFlags',
    ['vda'],
    `${P}BLOCK_STATS_FLAGS`,
    { ...path, nparams: 16, flags: 0 },
    { params: [{ field: 'rd_total_times', value: time }], nparams: 1 },
    [['rd_total_times', time]],
  ],
  [
    'getDiskErrors',
    [],
    `${P}GET_DISK_ERRORS`,
    { dom, maxerrors: 256, flags: 0 },
    { errors: [{ disk: 'vda', error: 2 }], nerrors: 1 },
    [{ disk: 'vda', error: 2 }],
  ],
  [
    'blockPeek',
    ['vda', 512, 2],
    `${P}BLOCK_PEEK`,
    { ...path, offset: 512n, size: 2, flags: 0 },
    { buffer: Buffer.from([1, 2]) },
    [1, 2],
  ],
  [
    'setBlockThreshold',
    ['vda[3]', 7n],
    `${P}SET_BLOCK_THRESHOLD`,
    { dom, dev: 'vda[3]', threshold: 7n, flags: 0 },
  ],
  [
    'blockResize',
    ['vda', 4096, options({ flags: 1 })],
    `${P}BLOCK_RESIZE`,
    { ...disk, size: 4096n, flags: 1 },
  ],
  [
    'blockCommit',
    ['vda', options({ base: '/base', bandwidth: 5, flags: 4 })],
    `${P}BLOCK_COMMIT`,
    { ...disk, base: '/base', top: null, bandwidth: 5n, flags: 4 },
  ],
  [
    'blockPull',
    ['vda', options({ bandwidth: 5, flags: 64 })],
    `${P}BLOCK_PULL`,
    { ...path, bandwidth: 5n, flags: 64 },
  ],
  [
    'blockRebase',
    ['vda', '/base', options({ bandwidth: 5, flags: 16 })],
    `${P}BLOCK_REBASE`,
    { ...path, base: '/base', bandwidth: 5n, flags: 16 },
  ],
  [
    'blockCopy',
    ['vda', '<disk/>', options({ params: new Map([['bandwidth', time]]), flags: 1 })],
    `${P}BLOCK_COPY`,
    { ...path, destxml: '<disk/>', params: [{ field: 'bandwidth', value: time }], flags: 1 },
  ],
  ['blockJobAbort', ['vda', options({ flags: 2 })], `${P}BLOCK_JOB_ABORT`, { ...path, flags: 2 }],
  [
    'getBlockJobInfo',
    ['vda', options({ flags: 1 })],
    `${P}GET_BLOCK_JOB_INFO`,
    { ...path, flags: 1 },
    { found: 1, type: 4, bandwidth: 1n, cur: 2n, end: 3n },
    { type: 4, bandwidth: 1, cur: 2, end: 3 },
  ],
  [
    'getBlockJobInfo',
    ['vda'],
    `${P}GET_BLOCK_JOB_INFO`,
    { ...path, flags: 0 },
    { found: 0, type: 0, bandwidth: 0n, cur: 0n, end: 0n },
    null,
  ],
  [
    'blockJobSetSpeed',
    ['vda', 9, options({ flags: 1 })],
    `${P}BLOCK_JOB_SET_SPEED`,
    { ...path, bandwidth: 9n, flags: 1 },
  ],
];

const job = { timeElapsed: 1n, timeRemaining: 2n, dataTotal: 3n, dataProcessed: 4n, dataRemaining: 5n };
const memory = { memTotal: 6n, memProcessed: 7n, memRemaining: 8n };
const jobInfo = { type: 2, ...job, ...memory, fileTotal: 9n, fileProcessed: 10n, fileRemaining: 11n };
const element = { type: 2, uri: 'urn:x', flags: 2 };

const rest: readonly MethodRow[] = [
  [
    'getXmlDesc',
    [options({ flags: 2 })],
    `${P}GET_XML_DESC`,
    { dom, flags: 2 },
    { xml: '<domain/>' },
    '<domain/>',
  ],
  [
    'getMetadata',
    [2, options({ uri: 'urn:x', flags: 2 })],
    `${P}GET_METADATA`,
    { dom, ...element },
    { metadata: '<x/>' },
    '<x/>',
  ],
  [
    'setMetadata',
    [2, '<x/>', options({ key: 'x', uri: 'urn:x', flags: 2 })],
    `${P}SET_METADATA`,
    { dom, ...element, metadata: '<x/>', key: 'x' },
  ],
  [
    'attachDeviceFlags',
    ['<disk/>', options({ flags: 1 })],
    `${P}ATTACH_DEVICE_FLAGS`,
    { dom, xml: '<disk/>', flags: 1 },
  ],
  [
    'detachDeviceFlags',
    ['<disk/>', options({ flags: 2 })],
    `${P}DETACH_DEVICE_FLAGS`,
    { dom, xml: '<disk/>', flags: 2 },
  ],
  [
    'updateDeviceFlags',
    ['<disk/>', options({ flags: 4 })],
    `${P}UPDATE_DEVICE_FLAGS`,
    { dom, xml: '<disk/>', flags: 4 },
  ],
  [
    'backupBegin',
    ['<b/>', '<c/>', options({ flags: 1 })],
    `${P}BACKUP_BEGIN`,
    { dom, backupXml: '<b/>', checkpointXml: '<c/>', flags: 1 },
  ],
  ['backupGetXmlDesc', [], `${P}BACKUP_GET_XML_DESC`, { dom, flags: 0 }, { xml: '<b/>' }, '<b/>'],
  ['abortJob', [], `${P}ABORT_JOB`, { dom }],
  ['abortJob', [options({ flags: 1 })], `${P}ABORT_JOB_FLAGS`, { dom, flags: 1 }],
  ['getJobInfo', [], `${P}GET_JOB_INFO`, { dom }, jobInfo, jobInfo],
  [
    'getJobStats',
    [options({ flags: 3 })],
    `${P}GET_JOB_STATS`,
    { dom, flags: 3 },
    { type: 3, params: [{ field: 'time_elapsed', value: time }] },
    { type: 3, params: [['time_elapsed', time]] },
  ],
  [
    'checkpointCreateXml',
    ['<c/>', options({ flags: 2 })],
    `${P}CHECKPOINT_CREATE_XML`,
    { dom, xmlDesc: '<c/>', flags: 2 },
    { checkpoint },
    checkpoint,
  ],
  [
    'listAllCheckpoints',
    [options({ flags: 2 })],
    `${P}LIST_ALL_CHECKPOINTS`,
    { dom, needResults: 1, flags: 2 },
    { checkpoints: [checkpoint], ret: 1 },
    [checkpoint],
  ],
  [
    'checkpointLookupByName',
    ['c1'],
    `${P}CHECKPOINT_LOOKUP_BY_NAME`,
    { ...checkpoint, flags: 0 },
    { checkpoint },
    checkpoint,
  ],
  [
    'snapshotCreateXml',
    ['<s/>', options({ flags: 16 })],
    `${P}SNAPSHOT_CREATE_XML`,
    { dom, xmlDesc: '<s/>', flags: 16 },
    { snap },
    snap,
  ],
  [
    'listAllSnapshots',
    [options({ flags: 1024 })],
    `${P}LIST_ALL_SNAPSHOTS`,
    { dom, needResults: 1, flags: 1024 },
    { snapshots: [snap], ret: 1 },
    [snap],
  ],
  ['snapshotLookupByName', ['s1'], `${P}SNAPSHOT_LOOKUP_BY_NAME`, { ...snap, flags: 0 }, { snap }, snap],
  ['snapshotCurrent', [], `${P}SNAPSHOT_CURRENT`, { dom, flags: 0 }, { snap }, snap],
  ['hasCurrentSnapshot', [], `${P}HAS_CURRENT_SNAPSHOT`, { dom, flags: 0 }, { result: true }, true],
  ['revertToSnapshot', [{ ref: snap }, options({ flags: 2 })], `${P}REVERT_TO_SNAPSHOT`, { snap, flags: 2 }],
];

describe('Domain', () => {
  testMethods(
    (libvirt) => new Domain(libvirt, dom),
    [...lifecycle, ...guest, ...blocks, ...rest],
    ['screenshot'],
  );

  test('create takes the id over that the daemon answers', async () => {
    await using fake = await FakeLibvirtd.start({
      [`${P}CREATE_WITH_FLAGS`]: (call) => {
        call.client.reply(call, { dom: { ...dom, id: 9 } });
      },
    });
    await using libvirt = await connect(fake.uri);
    const domain = new Domain(libvirt, { ...dom, id: -1 });
    await domain.create();
    expect([domain.name, domain.uuid, domain.id]).toEqual(['web1', UUID, 9]);
  });
});

const child = { name: 'c2', dom };

describe('Checkpoint', () => {
  testMethods(
    (libvirt) => new Checkpoint(libvirt, checkpoint),
    [
      [
        'getXmlDesc',
        [options({ flags: 4 })],
        `${P}CHECKPOINT_GET_XML_DESC`,
        { checkpoint, flags: 4 },
        { xml: '<c/>' },
        '<c/>',
      ],
      ['delete', [options({ flags: 2 })], `${P}CHECKPOINT_DELETE`, { checkpoint, flags: 2 }],
      ['getParent', [], `${P}CHECKPOINT_GET_PARENT`, { checkpoint, flags: 0 }, { parent: child }, child],
      [
        'listAllChildren',
        [options({ flags: 1 })],
        `${P}CHECKPOINT_LIST_ALL_CHILDREN`,
        { checkpoint, needResults: 1, flags: 1 },
        { checkpoints: [child], ret: 1 },
        [child],
      ],
    ],
  );
});

describe('Snapshot', () => {
  testMethods(
    (libvirt) => new Snapshot(libvirt, snap),
    [
      [
        'getXmlDesc',
        [options({ flags: 1 })],
        `${P}SNAPSHOT_GET_XML_DESC`,
        { snap, flags: 1 },
        { xml: '<s/>' },
        '<s/>',
      ],
      ['delete', [options({ flags: 2 })], `${P}SNAPSHOT_DELETE`, { snap, flags: 2 }],
      ['getParent', [], `${P}SNAPSHOT_GET_PARENT`, { snap, flags: 0 }, { snap: child }, child],
      [
        'listAllChildren',
        [options({ flags: 1 })],
        `${P}SNAPSHOT_LIST_ALL_CHILDREN`,
        { snapshot: snap, needResults: 1, flags: 1 },
        { snapshots: [child], ret: 1 },
        [child],
      ],
      ['isCurrent', [], `${P}SNAPSHOT_IS_CURRENT`, { snap, flags: 0 }, { current: true }, true],
      ['hasMetadata', [], `${P}SNAPSHOT_HAS_METADATA`, { snap, flags: 0 }, { metadata: false }, false],
    ],
  );
});

const parents = [
  {
    what: 'Snapshot',
    parent: `${P}SNAPSHOT_GET_PARENT`,
    lookup: `${P}SNAPSHOT_LOOKUP_BY_NAME`,
    reply: { snap },
    number: 72,
    make: (libvirt: Caller) => new Snapshot(libvirt, snap),
  },
  {
    what: 'Checkpoint',
    parent: `${P}CHECKPOINT_GET_PARENT`,
    lookup: `${P}CHECKPOINT_LOOKUP_BY_NAME`,
    reply: { checkpoint },
    number: 103,
    make: (libvirt: Caller) => new Checkpoint(libvirt, checkpoint),
  },
];

test.each(parents)(
  '$what: none is null, unless it does not exist itself',
  async ({ parent, lookup, reply, number, make }) => {
    let exists = true;
    await using fake = await FakeLibvirtd.start({
      [parent]: (call) => {
        call.client.refuse(call, number);
      },
      [lookup]: (call) => {
        if (exists) call.client.reply(call, reply);
        else call.client.refuse(call, number);
      },
    });
    await using libvirt = await connect(fake.uri);
    const object = make(libvirt);
    expect(await object.getParent()).toBeNull();
    exists = false;
    await expect(object.getParent()).rejects.toMatchObject({ virErrorNumber: number });
  },
);
