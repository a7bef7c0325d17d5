import type {
  DomainRef,
  NetworkRef,
  NodeDeviceRef,
  SecretRef,
  StoragePoolRef,
} from '../codec/struct-types.ts';

/** What happened to an object; the numbers are those of virStoragePoolEventLifecycleType and the like. */
interface Lifecycle {
  readonly kind: 'lifecycle';
  readonly event: number;
  readonly detail: number;
}

/** The kinds of events of storage pools. */
export interface StoragePoolEvents {
  /** Defined 0, undefined 1, started 2, stopped 3, created 4, deleted 5. */
  lifecycle: Lifecycle & { readonly pool: StoragePoolRef };
  /** Its list of volumes was read anew. */
  refresh: { readonly kind: 'refresh'; readonly pool: StoragePoolRef };
}

/** The kinds of events of networks. */
export interface NetworkEvents {
  /** Defined 0, undefined 1, started 2, stopped 3. */
  lifecycle: Lifecycle & { readonly net: NetworkRef };
  /** One of its texts has changed: virNetworkMetadataType 0 description, 1 title, 2 an element of namespace `nsuri`. */
  metadataChange: {
    readonly kind: 'metadataChange';
    readonly net: NetworkRef;
    readonly type: number;
    readonly nsuri: string | null;
  };
}

/** The kinds of events of the host's devices. */
export interface NodeDeviceEvents {
  /** Created 0, deleted 1, defined 2, undefined 3. */
  lifecycle: Lifecycle & { readonly dev: NodeDeviceRef };
  /** Its XML has changed. */
  update: { readonly kind: 'update'; readonly dev: NodeDeviceRef };
}

/** The kinds of events of secrets. */
export interface SecretEvents {
  /** Defined 0, undefined 1. */
  lifecycle: Lifecycle & { readonly secret: SecretRef };
  /** It has got a value, or another one. */
  valueChanged: { readonly kind: 'valueChanged'; readonly secret: SecretRef };
}

/** An event of QEMU's own monitor. */
export interface QemuMonitorEvent {
  /** Whose monitor it came from. */
  readonly domain: DomainRef;
  /** Its name, such as `BLOCK_JOB_COMPLETED`. */
  readonly event: string;
  /** When it happened, since 1970. */
  readonly seconds: bigint;
  /** Microseconds beyond `seconds`. */
  readonly micros: number;
  /** Its data as JSON. */
  readonly details: string | null;
}

/** The daemon has lost its own connection to the hypervisor; ours to the daemon goes on. */
export interface ConnectionClosedEvent {
  /** 0 error, 1 end of file, 2 keepalive, 3 client. */
  readonly reason: number;
}

/** The number that a registration names each kind with. */
export const objectEventIds = {
  storagePool: { lifecycle: 0, refresh: 1 },
  network: { lifecycle: 0, metadataChange: 1 },
  nodeDevice: { lifecycle: 0, update: 1 },
  secret: { lifecycle: 0, valueChanged: 1 },
} as const;
