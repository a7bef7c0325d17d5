export type { Credentials, CredentialsCallback, CredentialsRequest } from './auth/credentials.ts';
export type { SaslMechanism } from './auth/sasl-exchange.ts';
export { Checkpoint } from './checkpoint.ts';
export type { Fields, FieldType, StructOf } from './codec/field-type.ts';
export type {
  CheckpointRef,
  DhcpLease,
  DiskError,
  DomainInterface,
  DomainRef,
  FsInfo,
  GraphicsAddress,
  GraphicsIdentity,
  InterfaceRef,
  IothreadInfo,
  IpAddr,
  MemoryStat,
  NetworkPortRef,
  NetworkRef,
  NodeDeviceRef,
  NodeStat,
  NwfilterBindingRef,
  NwfilterRef,
  SecretRef,
  SecurityLabel,
  SnapshotRef,
  StatsRecord,
  StoragePoolRef,
  StorageVolRef,
  VcpuInfo,
} from './codec/struct-types.ts';
export { type TypedParameter, typedParameterMap, type TypedValue } from './codec/typed-parameter.ts';
export { connect, type ConnectOptions } from './connect.ts';
export { Connection, type DomainEventsOptions, type QemuMonitorEventsOptions } from './connection.ts';
export type { CallTrace, ConnectTrace } from './diagnostics.ts';
export {
  type BlockInfo,
  Domain,
  type DomainInfo,
  type DomainState,
  type JobInfo,
  type JobStats,
  type Screenshot,
} from './domain.ts';
export {
  type AuthFailureReason,
  LibvirtAuthError,
  LibvirtConnectError,
  LibvirtConnectionClosedError,
  LibvirtEventOverflowError,
  LibvirtFailure,
  LibvirtProtocolError,
  LibvirtTimeoutError,
  LibvirtTlsError,
  LibvirtUsageError,
  type TlsFailure,
} from './errors.ts';
export type {
  BlockJob2Event,
  DomainEventKind,
  DomainEvents,
  JobCompletedEvent,
  LifecycleEvent,
  TunableEvent,
} from './events/domain-event.ts';
export { EventStream } from './events/event-stream.ts';
export type {
  ConnectionClosedEvent,
  NetworkEvents,
  NodeDeviceEvents,
  QemuMonitorEvent,
  SecretEvents,
  StoragePoolEvents,
} from './events/object-event.ts';
export { LibvirtError, type VirError } from './libvirt-error.ts';
export { procedures } from './procedures/procedures.ts';
export type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
export { virTypedParameterType } from './protocol/constants.ts';
export {
  virConnectDomainEventBlockJobStatus,
  virConnectListAllDomainsFlags,
  virDomainAbortJobFlagsValues,
  virDomainAgentResponseTimeoutValues,
  virDomainBackupBeginFlags,
  virDomainBlockJobType,
  virDomainBlockResizeFlags,
  virDomainCheckpointCreateFlags,
  virDomainCheckpointDeleteFlags,
  virDomainCheckpointListFlags,
  virDomainCheckpointXMLFlags,
  virDomainCreateFlags,
  virDomainDefineFlags,
  virDomainDestroyFlagsValues,
  virDomainEventID,
  virDomainEventType,
  virDomainGetJobStatsFlags,
  virDomainJobOperation,
  virDomainJobType,
  virDomainQemuMonitorCommandFlags,
  virDomainState,
  virDomainUndefineFlagsValues,
  virDomainXMLFlags,
} from './protocol/domain-constants.ts';
export { virErrorDomain, virErrorLevel } from './protocol/error-domains.ts';
export { virErrorNumber } from './protocol/error-numbers.ts';
export type { KeepaliveOptions } from './rpc/keepalive.ts';
export type { CallOptions } from './rpc/pending-call.ts';
export type { CloseInfo } from './rpc/close-info.ts';
export { StoragePool } from './storage-pool.ts';
export {
  StorageVolume,
  type StorageVolumeInfo,
  type VolumeDownloadOptions,
  type VolumeRange,
  type VolumeUploadOptions,
} from './storage-volume.ts';
export type { StreamChunk } from './streams/stream-chunk.ts';
export type { ConnectWarning } from './uri/warning.ts';
