import { describe, expect, test } from 'vitest';
import { dom, UUID } from './calls.fixture.ts';
import { connect } from './connect.ts';
import { FakeLibvirtd } from './fake-libvirtd.fixture.ts';
import { type MethodRow, options, testMethods } from './method-table.fixture.ts';

const P = 'REMOTE_PROC_';
const C = `${P}CONNECT_`;
const pool = { name: 'p', uuid: UUID };
const vol = { pool: 'p', name: 'v', key: '/p/v' };
const secret = { uuid: UUID, usageType: 1, usageID: '/p/v' };
const model = Buffer.concat([Buffer.from('x86_64'), Buffer.alloc(26)]);
const counts = { cpus: 8, mhz: 2400, nodes: 1, sockets: 1, cores: 4, threads: 2 };
const choice = { emulator: '/usr/bin/q', arch: 'x86_64', machine: 'q35', virtType: 'kvm' };
const { virtType: virttype, ...chosen } = choice;
const none = { emulator: null, arch: null, machine: null, virttype: null };
const state = { type: 1, value: 5 } as const;
const retStats = [{ dom, params: [{ field: 'state.state', value: state }] }];
const stats = [{ domain: dom, params: [['state.state', state]] }];

const host: readonly MethodRow[] = [
  ['getLibVersion', [], `${C}GET_LIB_VERSION`, {}, { libVer: 9_000_000n }, 9_000_000],
  ['getVersion', [], `${C}GET_VERSION`, {}, { hvVer: 7_002_022n }, 7_002_022],
  ['getType', [], `${C}GET_TYPE`, {}, { type: 'QEMU' }, 'QEMU'],
  ['getHostname', [], `${C}GET_HOSTNAME`, {}, { hostname: 'h' }, 'h'],
  ['getUri', [], `${C}GET_URI`, {}, { uri: 'qemu:///system' }, 'qemu:///system'],
  ['isSecure', [], `${C}IS_SECURE`, {}, { secure: true }, true],
  ['getCapabilities', [], `${C}GET_CAPABILITIES`, {}, { capabilities: '<c/>' }, '<c/>'],
  [
    'getDomainCapabilities',
    [choice],
    `${C}GET_DOMAIN_CAPABILITIES`,
    { emulatorbin: '/usr/bin/q', arch: 'x86_64', machine: 'q35', virttype, flags: 0 },
    { capabilities: '<d/>' },
    '<d/>',
  ],
  [
    'getStoragePoolCapabilities',
    [],
    `${C}GET_STORAGE_POOL_CAPABILITIES`,
    { flags: 0 },
    { capabilities: '<s/>' },
    '<s/>',
  ],
  ['getSysinfo', [], `${C}GET_SYSINFO`, { flags: 0 }, { sysinfo: '<sysinfo/>' }, '<sysinfo/>'],
  ['getMaxVcpus', ['kvm'], `${C}GET_MAX_VCPUS`, { type: 'kvm' }, { maxVcpus: 16 }, 16],
  [
    'nodeGetInfo',
    [],
    `${P}NODE_GET_INFO`,
    {},
    { model, memory: 4096n, ...counts },
    { model: 'x86_64', memoryKiB: 4096, ...counts },
  ],
  ['nodeGetFreeMemory', [], `${P}NODE_GET_FREE_MEMORY`, {}, { freeMem: 4096n }, 4096],
  [
    'getCpuModelNames',
    ['x86_64'],
    `${C}GET_CPU_MODEL_NAMES`,
    { arch: 'x86_64', needResults: 1, flags: 0 },
    { models: ['486', 'pentium'], ret: 2 },
    ['486', 'pentium'],
  ],
  [
    'compareCpu',
    ['<cpu/>', options({ flags: 1 })],
    `${C}COMPARE_CPU`,
    { xml: '<cpu/>', flags: 1 },
    { result: 2 },
    2,
  ],
  [
    'compareHypervisorCpu',
    ['<cpu/>', choice, options({ flags: 1 })],
    `${C}COMPARE_HYPERVISOR_CPU`,
    { ...chosen, virttype, xmlCPU: '<cpu/>', flags: 1 },
    { result: 1 },
    1,
  ],
  [
    'baselineCpu',
    [['<cpu/>'], options({ flags: 1 })],
    `${C}BASELINE_CPU`,
    { xmlCPUs: ['<cpu/>'], flags: 1 },
    { cpu: '<b/>' },
    '<b/>',
  ],
  [
    'baselineHypervisorCpu',
    [['<cpu/>'], {}, options({ flags: 2 })],
    `${C}BASELINE_HYPERVISOR_CPU`,
    { ...none, xmlCPUs: ['<cpu/>'], flags: 2 },
    { cpu: '<b/>' },
    '<b/>',
  ],
];

const objects: readonly MethodRow[] = [
  [
    'listAllDomains',
    [options({ flags: 1 })],
    `${C}LIST_ALL_DOMAINS`,
    { needResults: 1, flags: 1 },
    { domains: [dom], ret: 1 },
    [dom],
  ],
  [
    'getAllDomainStats',
    [options({ stats: 1, flags: 2 ** 31 })],
    `${C}GET_ALL_DOMAIN_STATS`,
    { doms: [], stats: 1, flags: 2 ** 31 },
    { retStats },
    stats,
  ],
  [
    'domainListGetStats',
    [[{ ref: dom }], options({ stats: 32 })],
    `${C}GET_ALL_DOMAIN_STATS`,
    { doms: [dom], stats: 32, flags: 0 },
    { retStats },
    stats,
  ],
  ['lookupDomainByName', ['web1'], `${P}DOMAIN_LOOKUP_BY_NAME`, { name: 'web1' }, { dom }, dom],
  [
    'lookupDomainByUuid',
    [UUID.replaceAll('-', '').toUpperCase()],
    `${P}DOMAIN_LOOKUP_BY_UUID`,
    { uuid: UUID },
    { dom },
    dom,
  ],
  ['lookupDomainById', [3], `${P}DOMAIN_LOOKUP_BY_ID`, { id: 3 }, { dom }, dom],
  [
    'domainDefineXml',
    ['<d/>', options({ flags: 1 })],
    `${P}DOMAIN_DEFINE_XML_FLAGS`,
    { xml: '<d/>', flags: 1 },
    { dom },
    dom,
  ],
  [
    'domainCreateXml',
    ['<d/>', options({ flags: 1 })],
    `${P}DOMAIN_CREATE_XML`,
    { xmlDesc: '<d/>', flags: 1 },
    { dom },
    dom,
  ],
  [
    'listAllStoragePools',
    [options({ flags: 2 })],
    `${C}LIST_ALL_STORAGE_POOLS`,
    { needResults: 1, flags: 2 },
    { pools: [pool], ret: 1 },
    [pool],
  ],
  ['lookupStoragePoolByName', ['p'], `${P}STORAGE_POOL_LOOKUP_BY_NAME`, { name: 'p' }, { pool }, pool],
  ['lookupStoragePoolByUuid', [UUID], `${P}STORAGE_POOL_LOOKUP_BY_UUID`, { uuid: UUID }, { pool }, pool],
  [
    'lookupStoragePoolByTargetPath',
    ['/p'],
    `${P}STORAGE_POOL_LOOKUP_BY_TARGET_PATH`,
    { path: '/p' },
    { pool },
    pool,
  ],
  ['lookupStoragePoolByVolume', [{ ref: vol }], `${P}STORAGE_POOL_LOOKUP_BY_VOLUME`, { vol }, { pool }, pool],
  [
    'storagePoolDefineXml',
    ['<p/>', options({ flags: 1 })],
    `${P}STORAGE_POOL_DEFINE_XML`,
    { xml: '<p/>', flags: 1 },
    { pool },
    pool,
  ],
  [
    'storagePoolCreateXml',
    ['<p/>', options({ flags: 1 })],
    `${P}STORAGE_POOL_CREATE_XML`,
    { xml: '<p/>', flags: 1 },
    { pool },
    pool,
  ],
  ['lookupStorageVolByKey', ['/p/v'], `${P}STORAGE_VOL_LOOKUP_BY_KEY`, { key: '/p/v' }, { vol }, vol],
  ['lookupStorageVolByPath', ['/p/v'], `${P}STORAGE_VOL_LOOKUP_BY_PATH`, { path: '/p/v' }, { vol }, vol],
  [
    'listAllSecrets',
    [options({ flags: 4 })],
    `${C}LIST_ALL_SECRETS`,
    { needResults: 1, flags: 4 },
    { secrets: [secret], ret: 1 },
    [secret],
  ],
  ['lookupSecretByUuid', [UUID], `${P}SECRET_LOOKUP_BY_UUID`, { uuid: UUID }, { secret }, secret],
  [
    'lookupSecretByUsage',
    [1, '/p/v'],
    `${P}SECRET_LOOKUP_BY_USAGE`,
    { usageType: 1, usageID: '/p/v' },
    { secret },
    secret,
  ],
  [
    'secretDefineXml',
    ['<s/>', options({ flags: 1 })],
    `${P}SECRET_DEFINE_XML`,
    { xml: '<s/>', flags: 1 },
    { secret },
    secret,
  ],
];

/** Which have tests of their own. */
const others = [
  ...['domain', 'call', 'close', 'destroy', 'domainEvents', 'storagePoolEvents', 'networkEvents'],
  ...['nodeDeviceEvents', 'secretEvents', 'qemuMonitorEvents', 'connectionClosedEvents'],
];

describe('Connection', () => {
  testMethods((libvirt) => libvirt, [...host, ...objects], others);

  test('statistics of no domains are none: nothing is asked', async () => {
    await using fake = await FakeLibvirtd.start();
    await using libvirt = await connect(fake.uri);
    expect(await libvirt.domainListGetStats([])).toEqual([]);
    expect(fake.client.calls.map(({ row }) => row.name)).not.toContain(`${C}GET_ALL_DOMAIN_STATS`);
  });

  test('a model that fills its field is not cut', async () => {
    await using fake = await FakeLibvirtd.start({
      [`${P}NODE_GET_INFO`]: (call) => {
        call.client.reply(call, { model: Buffer.alloc(32, 'm'), memory: 1n, ...counts });
      },
    });
    await using libvirt = await connect(fake.uri);
    expect((await libvirt.nodeGetInfo()).model).toBe('m'.repeat(32));
  });
});
