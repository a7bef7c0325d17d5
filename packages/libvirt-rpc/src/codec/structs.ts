import type { FieldType } from './field-type.ts';
import type { StructTypes } from './struct-types.ts';

/** The fields of every struct, in the order of the wire. */
export const structs: {
  readonly [Name in keyof StructTypes]: { readonly [Field in keyof StructTypes[Name]]: FieldType };
} = {
  domain: { name: 'str', uuid: 'uuid', id: 'i32' },
  network: { name: 'str', uuid: 'uuid' },
  networkPort: { net: 'network', uuid: 'uuid' },
  nwfilter: { name: 'str', uuid: 'uuid' },
  nwfilterBinding: { portdev: 'str', filtername: 'str' },
  interface: { name: 'str', mac: 'str' },
  checkpoint: { name: 'str', dom: 'domain' },
  snapshot: { name: 'str', dom: 'domain' },
  storagePool: { name: 'str', uuid: 'uuid' },
  storageVol: { pool: 'str', name: 'str', key: 'str' },
  nodeDevice: { name: 'str' },
  secret: { uuid: 'uuid', usageType: 'i32', usageID: 'str' },
  graphicsAddress: { family: 'i32', node: 'str', service: 'str' },
  graphicsIdentity: { type: 'str', name: 'str' },
  vcpuInfo: { number: 'u32', state: 'i32', cpuTime: 'u64', cpu: 'i32' },
  nodeStat: { field: 'str', value: 'u64' },
  memoryStat: { tag: 'i32', val: 'u64' },
  diskError: { disk: 'str', error: 'i32' },
  iothreadInfo: { iothreadId: 'u32', cpumap: 'opaque[2048]' },
  securityLabel: { label: 'char[4097]', enforcing: 'i32' },
  dhcpLease: {
    iface: 'str',
    expirytime: 'i64',
    type: 'i32',
    mac: 'str?',
    iaid: 'str?',
    ipaddr: 'str',
    prefix: 'u32',
    hostname: 'str?',
    clientid: 'str?',
  },
  statsRecord: { dom: 'domain', params: 'param[262144]' },
  fsInfo: { mountpoint: 'str', name: 'str', fstype: 'str', devAliases: 'str[256]' },
  ipAddr: { type: 'i32', addr: 'str', prefix: 'u32' },
  domainInterface: { name: 'str', hwaddr: 'str?', addrs: 'ipAddr[2048]' },
};
