export { LibvirtDomain, type LibvirtDomainHandle } from './adapters/libvirt/domain.ts';
export { openNbdExport } from './adapters/nbd/open-export.ts';
export {
  BackupError,
  BackupJobError,
  BackupPlanError,
  BackupUsageError,
  DamagedError,
  type DamageReason,
  HypervisorError,
  type HypervisorReason,
  type JobPhase,
  type JobReason,
  NotFoundError,
  type NotFoundReason,
  type PlanReason,
  RepositoryError,
  type RepositoryReason,
  SinkError,
  type SinkReason,
  type UsageReason,
} from './words/errors.ts';
export {
  BASE_ALLOCATION,
  type ByteRange,
  layout,
  type LayoutOptions,
  type LayoutRange,
} from './transfer/layout.ts';
export type { PlanOptions } from './job/plan.ts';
export type {
  DiskReading,
  EarlierDisk,
  ExcludedDisk,
  ExclusionReason,
  FullReason,
} from './words/disk-answers.ts';
export type { CompleteOptions, PullBackup, PullBackupOptions } from './job/pull/pull-backup.ts';
export type { PullBackupDisk, RangeOptions } from './job/pull/pull-backup-disk.ts';
export type {
  BegunJob,
  CommittedJob,
  EndedJob,
  JobRecord,
  PlannedJob,
  TransferringJob,
} from './job/job-record.ts';
export type { DiskMessage, JobMessage } from './diagnostics.ts';
export type { CheckpointName, DiskName, DomainUuid } from './words/peer-names.ts';
export {
  type BlockSource,
  type ExportAddress,
  type OpenExport,
  type OpenExportOptions,
  type ReadRequestOptions,
  SourceError,
  type SourceReason,
  type StatusExtent,
  type StatusReply,
} from './ports/block-source.ts';
export type {
  BitmapPort,
  CallOptions,
  CheckpointFacts,
  CheckpointPort,
  CheckpointSpec,
  DiskFacts,
  DiskSource,
  DomainFacts,
  DomainFactsPort,
  HypervisorDomain,
  ImageBitmap,
  JobDiskSpec,
  JobPort,
  JobSpec,
  RunningJob,
} from './ports/domain.ts';
export type { Point, StoredDisk } from './repository/manifest.ts';
export {
  BackupRepository,
  type DomainSelector,
  type OpenRepositoryOptions,
  type RestoreOptions,
} from './backup-repository.ts';
export type { RestoreProgress } from './repository/restore-disk.ts';
export type { BackupProgress } from './repository/store-disk.ts';
export type { BackupResult, TakeBackupOptions } from './protect/take-backup.ts';
export { nullSink } from './transfer/null-sink.ts';
export { createRawFile } from './adapters/folder/raw-file.ts';
export type { Sink } from './ports/sink.ts';
export { startPullBackup } from './start-pull-backup.ts';
export type { Chunk, ChunkOptions } from './transfer/chunks.ts';
export { copyRanges, type CopyOptions, type CopyProgress } from './transfer/copy.ts';
