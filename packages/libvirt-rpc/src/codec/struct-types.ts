import type { TypedParameter } from './typed-parameter.ts';

/** Names a domain. Its UUID is what counts; `id` is -1 while it is inactive, and advisory. */
export interface DomainRef {
  readonly name: string;
  /** What names it to the daemon; in canonical form. */
  readonly uuid: string;
  /** As it was when the daemon last named it; -1: inactive. */
  readonly id: number;
}

/** A network. */
export interface NetworkRef {
  readonly name: string;
  /** What names it to the daemon; in canonical form. */
  readonly uuid: string;
}

/** Names a port of a network. */
export interface NetworkPortRef {
  /** Its network. */
  readonly net: NetworkRef;
  /** In canonical form. */
  readonly uuid: string;
}

/** Names a filter of network traffic. */
export interface NwfilterRef {
  readonly name: string;
  /** In canonical form. */
  readonly uuid: string;
}

/** Names the binding of a filter to a port of the host. */
export interface NwfilterBindingRef {
  /** The port's device. */
  readonly portdev: string;
  /** The filter that is bound to it. */
  readonly filtername: string;
}

/** Names a network interface of the host. */
export interface InterfaceRef {
  readonly name: string;
  /** Its MAC address. */
  readonly mac: string;
}

/** Names a checkpoint of a domain. */
export interface CheckpointRef {
  readonly name: string;
  /** Its domain. */
  readonly dom: DomainRef;
}

/** Names a snapshot of a domain. */
export interface SnapshotRef {
  readonly name: string;
  /** Its domain. */
  readonly dom: DomainRef;
}

/** A storage pool. */
export interface StoragePoolRef {
  readonly name: string;
  /** What names it to the daemon; in canonical form. */
  readonly uuid: string;
}

/** Names a volume; its key, such as a path, is unique on the host. */
export interface StorageVolRef {
  /** The name of its pool. */
  readonly pool: string;
  readonly name: string;
  /** What names it to the daemon: of a file, its path. */
  readonly key: string;
}

/** A device of the host. */
export interface NodeDeviceRef {
  readonly name: string;
}

/** A secret. */
export interface SecretRef {
  /** What names it to the daemon; in canonical form. */
  readonly uuid: string;
  /** What it is for: virSecretUsageType. */
  readonly usageType: number;
  /** What it is for in particular. */
  readonly usageID: string;
}

/** One end of the connection of a remote display. */
export interface GraphicsAddress {
  /** 0: IPv4, 1: IPv6, 2: unix socket. */
  readonly family: number;
  /** The address. */
  readonly node: string;
  /** The port. */
  readonly service: string;
}

/** Who uses a remote display, such as an x509dname or a saslUsername. */
export interface GraphicsIdentity {
  /** Such as `x509dname`. */
  readonly type: string;
  readonly name: string;
}

/** A virtual processor of a running domain. */
export interface VcpuInfo {
  /** Of the virtual processor. */
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
  /** What is counted. */
  readonly field: string;
  /** How much of it. */
  readonly value: bigint;
}

/** One count of a domain's memory, in KiB where it is an amount. */
export interface MemoryStat {
  /** virDomainMemoryStatTags. */
  readonly tag: number;
  /** The value, mostly in KiB. */
  readonly val: bigint;
}

/** A disk that had an error. */
export interface DiskError {
  /** The target of the disk, such as `vda`. */
  readonly disk: string;
  /** virDomainDiskErrorCode: 1 unspecified, 2 no space. */
  readonly error: number;
}

/** An I/O thread of a domain. */
export interface IothreadInfo {
  /** Its number. */
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
  /** The host's interface. */
  readonly iface: string;
  /** When it ends, in seconds since 1970. */
  readonly expirytime: bigint;
  /** virIPAddrType: 0 IPv4, 1 IPv6. */
  readonly type: number;
  /** Of the guest's interface; null: not known. */
  readonly mac: string | null;
  /** The identity association, with IPv6. */
  readonly iaid: string | null;
  /** The address that is leased. */
  readonly ipaddr: string;
  /** The length of its network's prefix, in bits. */
  readonly prefix: number;
  /** As the guest names itself. */
  readonly hostname: string | null;
  /** As the guest's DHCP client names itself. */
  readonly clientid: string | null;
}

/** The statistics of one domain. */
export interface StatsRecord {
  /** The domain. */
  readonly dom: DomainRef;
  /** Its statistics. */
  readonly params: readonly TypedParameter[];
}

/** A file system that is mounted in the guest. */
export interface FsInfo {
  /** Where it is mounted in the guest. */
  readonly mountpoint: string;
  /** Its device in the guest, such as `sda1`. */
  readonly name: string;
  /** Such as `ext4`. */
  readonly fstype: string;
  /** The targets of the disks that it is on, such as `vda`. */
  readonly devAliases: readonly string[];
}

/** An address of an interface. */
export interface IpAddr {
  /** virIPAddrType: 0 IPv4, 1 IPv6. */
  readonly type: number;
  /** The address. */
  readonly addr: string;
  /** The length of its network's prefix, in bits. */
  readonly prefix: number;
}

/** A network interface in the guest. */
export interface DomainInterface {
  readonly name: string;
  /** Its MAC address. */
  readonly hwaddr: string | null;
  /** Its addresses. */
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
