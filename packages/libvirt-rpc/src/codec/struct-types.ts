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

/** Names a checkpoint of a domain. */
export interface CheckpointRef {
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

/** The structs that fields of procedures can have. To add one: its type here, its fields in `structs.ts`. */
export interface StructTypes {
  domain: DomainRef;
  network: NetworkRef;
  checkpoint: CheckpointRef;
  storagePool: StoragePoolRef;
  storageVol: StorageVolRef;
  nodeDevice: NodeDeviceRef;
  secret: SecretRef;
  graphicsAddress: GraphicsAddress;
  graphicsIdentity: GraphicsIdentity;
}
