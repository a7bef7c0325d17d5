export type { Credentials } from './auth/account.ts';
export type { CredentialsCallback, CredentialsRequest } from './auth/credentials.ts';
export type { SaslMechanism } from './auth/sasl-exchange.ts';
export type { Caller, DomainConnection } from './caller.ts';
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
export { Connection, type DomainStats, type DomainStatsOptions } from './connection.ts';
export type { CallTrace, ConnectTrace } from './diagnostics.ts';
export { Domain } from './domain.ts';
export type {
  BlockInfo,
  BlockJobInfo,
  BlockStats,
  DomainControlInfo,
  DomainInfo,
  DomainState,
  JobInfo,
  JobStats,
  Screenshot,
} from './domain-facts.ts';
export {
  blockJobStatusName,
  blockJobTypeName,
  domainEventDetailName,
  domainEventName,
  domainJobOperationName,
  domainJobTypeName,
  domainStateName,
  domainStateReasonName,
} from './domain-names.ts';
export type {
  AgentCommandOptions,
  BlockCommitOptions,
  BlockCopyOptions,
  BlockPullOptions,
  FsTrimOptions,
  GetMetadataOptions,
  GuestInfoOptions,
  ScreenshotOptions,
  SetMetadataOptions,
} from './domain-options.ts';
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
export type { DomainEventsOptions, QemuMonitorEventsOptions } from './events/event-options.ts';
export { EventStream } from './events/event-stream.ts';
export type {
  ConnectionClosedEvent,
  NetworkEvents,
  NodeDeviceEvents,
  QemuMonitorEvent,
  SecretEvents,
  StoragePoolEvents,
} from './events/object-event.ts';
export type { HypervisorChoice, NodeInfo } from './host-facts.ts';
export { LibvirtError, type VirError } from './libvirt-error.ts';
export { procedures } from './procedures/procedures.ts';
export type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
export {
  virConnectBaselineCPUFlags,
  virConnectCompareCPUFlags,
  virConnectGetAllDomainStatsFlags,
  virCPUCompareResult,
  virDomainStatsTypes,
  virTypedParameterType,
} from './protocol/constants.ts';
export {
  virConnectDomainEventBlockJobStatus,
  virConnectListAllDomainsFlags,
  virDomainAbortJobFlagsValues,
  virDomainAgentResponseTimeoutValues,
  virDomainBackupBeginFlags,
  virDomainBlockCommitFlags,
  virDomainBlockCopyFlags,
  virDomainBlockJobAbortFlags,
  virDomainBlockJobInfoFlags,
  virDomainBlockJobSetSpeedFlags,
  virDomainBlockJobType,
  virDomainBlockPullFlags,
  virDomainBlockRebaseFlags,
  virDomainBlockResizeFlags,
  virDomainCheckpointCreateFlags,
  virDomainCheckpointDeleteFlags,
  virDomainCheckpointListFlags,
  virDomainCheckpointXMLFlags,
  virDomainControlErrorReason,
  virDomainControlState,
  virDomainCreateFlags,
  virDomainDefineFlags,
  virDomainDestroyFlagsValues,
  virDomainDeviceModifyFlags,
  virDomainDiskErrorCode,
  virDomainEventID,
  virDomainEventType,
  virDomainGetJobStatsFlags,
  virDomainGuestInfoTypes,
  virDomainJobOperation,
  virDomainJobType,
  virDomainMetadataType,
  virDomainModificationImpact,
  virDomainQemuMonitorCommandFlags,
  virDomainRebootFlagValues,
  virDomainShutdownFlagValues,
  virDomainSnapshotCreateFlags,
  virDomainSnapshotDeleteFlags,
  virDomainSnapshotListFlags,
  virDomainSnapshotRevertFlags,
  virDomainSnapshotXMLFlags,
  virDomainState,
  virDomainUndefineFlagsValues,
  virDomainXMLFlags,
} from './protocol/domain-constants.ts';
export { virErrorDomain, virErrorLevel } from './protocol/error-domains.ts';
export { virErrorNumber } from './protocol/error-numbers.ts';
export {
  virConnectListAllSecretsFlags,
  virConnectListAllStoragePoolsFlags,
  virSecretDefineFlags,
  virSecretUsageType,
  virStoragePoolBuildFlags,
  virStoragePoolCreateFlags,
  virStoragePoolDefineFlags,
  virStoragePoolDeleteFlags,
  virStoragePoolState,
  virStorageVolCreateFlags,
  virStorageVolDeleteFlags,
  virStorageVolInfoFlags,
  virStorageVolResizeFlags,
  virStorageVolType,
  virStorageVolWipeAlgorithm,
  virStorageXMLFlags,
} from './protocol/storage-constants.ts';
export type { KeepaliveOptions } from './rpc/keepalive.ts';
export type { CallOptions, FlagOptions } from './rpc/call-options.ts';
export type { CloseInfo, CloseReason } from './rpc/close-info.ts';
export { Secret } from './secret.ts';
export { Snapshot } from './snapshot.ts';
export { StoragePool, type StoragePoolInfo } from './storage-pool.ts';
export {
  StorageVolume,
  type StorageVolumeInfo,
  type VolumeDownloadOptions,
  type VolumeRange,
  type VolumeUploadOptions,
} from './storage-volume.ts';
export type { StreamChunk } from './streams/stream-chunk.ts';
export type { ConnectWarning } from './uri/warning.ts';
