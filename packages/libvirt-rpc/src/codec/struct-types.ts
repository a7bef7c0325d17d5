import type { TypedParameter } from './typed-parameter.ts';

/** Names a domain. Its UUID is what counts; `id` is -1 while it is inactive, and advisory. */
export interface DomainRef {
  readonly name: string;
  readonly uuid: string;
  readonly id: number;
}

export interface NetworkRef {
  readonly name: string;
  readonly uuid: string;
}

/** Names a port of a network. */
export interface NetworkPortRef {
  readonly net: NetworkRef;
  readonly uuid: string;
}

/** Names a filter of network traffic. */
export interface NwfilterRef {
  readonly name: string;
  readonly uuid: string;
}

/** Names the binding of a filter to a port of the host. */
export interface NwfilterBindingRef {
  readonly portdev: string;
  readonly filtername: string;
}

/** Names a network interface of the host. */
export interface InterfaceRef {
  readonly name: string;
  readonly mac: string;
}

/** Names a checkpoint of a domain. */
export interface CheckpointRef {
  readonly name: string;
  readonly dom: DomainRef;
}

/** Names a snapshot of a domain. */
export interface SnapshotRef {
  readonly name: string;
  readonly dom: DomainRef;
}

export interface StoragePoolRef {
  readonly name: string;
  readonly uuid: string;
}

/** Names a volume; its key, such as a path, is unique on the host. */
export interface StorageVolRef {
  readonly pool: string;
  readonly name: string;
  readonly key: string;
}

export interface NodeDeviceRef {
  readonly name: string;
}

export interface SecretRef {
  readonly uuid: string;
  /** What it is for: virSecretUsageType. */
  readonly usageType: number;
  readonly usageID: string;
}

/** One end of the connection of a remote display. */
export interface GraphicsAddress {
  /** 0: IPv4, 1: IPv6, 2: unix socket. */
  readonly family: number;
  readonly node: string;
  readonly service: string;
}

/** Who uses a remote display, such as an x509dname or a saslUsername. */
export interface GraphicsIdentity {
  readonly type: string;
  readonly name: string;
}

/** A virtual processor of a running domain. */
export interface VcpuInfo {
  readonly number: number;
  /** virVcpuState: 0 offline, 1 running, 2 blocked. */
  readonly state: number;
  /** In nanoseconds. */
  readonly cpuTime: bigint;
  /** The host's processor that it is on; -1 offline, -2 not known. */
  readonly cpu: number;
}

/** One count of the host, such as `user` of its processors or `free` of its memory. */
export interface NodeStat {
  readonly field: string;
  readonly value: bigint;
}

/** One count of a domain's memory, in KiB where it is an amount. */
export interface MemoryStat {
  /** virDomainMemoryStatTags. */
  readonly tag: number;
  readonly val: bigint;
}

export interface DiskError {
  /** The target of the disk, such as `vda`. */
  readonly disk: string;
  /** virDomainDiskErrorCode: 1 unspecified, 2 no space. */
  readonly error: number;
}

export interface IothreadInfo {
  readonly iothreadId: number;
  /** The processors that it may run on, a bit each, the lowest first. */
  readonly cpumap: Uint8Array;
}

/** The security label of a domain. */
export interface SecurityLabel {
  /** Its characters, ended by a zero. */
  readonly label: Uint8Array;
  /** Whether the policy is enforced: 1 or 0. */
  readonly enforcing: number;
}

/** An address that a network has given to a guest. */
export interface DhcpLease {
  readonly iface: string;
  /** When it ends, in seconds since 1970. */
  readonly expirytime: bigint;
  /** virIPAddrType: 0 IPv4, 1 IPv6. */
  readonly type: number;
  readonly mac: string | null;
  readonly iaid: string | null;
  readonly ipaddr: string;
  readonly prefix: number;
  readonly hostname: string | null;
  readonly clientid: string | null;
}

/** The statistics of one domain. */
export interface StatsRecord {
  readonly dom: DomainRef;
  readonly params: readonly TypedParameter[];
}

/** A file system that is mounted in the guest. */
export interface FsInfo {
  readonly mountpoint: string;
  /** Its device in the guest, such as `sda1`. */
  readonly name: string;
  readonly fstype: string;
  /** The targets of the disks that it is on, such as `vda`. */
  readonly devAliases: readonly string[];
}

export interface IpAddr {
  /** virIPAddrType: 0 IPv4, 1 IPv6. */
  readonly type: number;
  readonly addr: string;
  readonly prefix: number;
}

/** A network interface in the guest. */
export interface DomainInterface {
  readonly name: string;
  readonly hwaddr: string | null;
  readonly addrs: readonly IpAddr[];
}

/** The structs that fields of procedures can have. To add one: its type here, its fields in `structs.ts`. */
export interface StructTypes {
  domain: DomainRef;
  network: NetworkRef;
  networkPort: NetworkPortRef;
  nwfilter: NwfilterRef;
  nwfilterBinding: NwfilterBindingRef;
  interface: InterfaceRef;
  checkpoint: CheckpointRef;
  snapshot: SnapshotRef;
  storagePool: StoragePoolRef;
  storageVol: StorageVolRef;
  nodeDevice: NodeDeviceRef;
  secret: SecretRef;
  graphicsAddress: GraphicsAddress;
  graphicsIdentity: GraphicsIdentity;
  vcpuInfo: VcpuInfo;
  nodeStat: NodeStat;
  memoryStat: MemoryStat;
  diskError: DiskError;
  iothreadInfo: IothreadInfo;
  securityLabel: SecurityLabel;
  dhcpLease: DhcpLease;
  statsRecord: StatsRecord;
  fsInfo: FsInfo;
  ipAddr: IpAddr;
  domainInterface: DomainInterface;
}
