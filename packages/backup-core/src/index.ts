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
export type {
  DiskMessage,
  JobMessage,
  RepositoryCounts,
  RepositoryMessage,
  RepositoryWork,
} from './diagnostics.ts';
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
export type { Point, PointReference, StoredDisk, StoredState } from './repository/point.ts';
export type { ListedPoint, PointListing } from './repository/points.ts';
export type { Reference } from './repository/tree/page.ts';
export type { DiskCounts } from './repository/tree/disk-writer.ts';
export type { DiskReader } from './repository/tree/disk-reader.ts';
export type { Compression } from './repository/repository-file.ts';
export type { EncryptionOptions } from './repository/key-envelope.ts';
export type { KeyType, NewKey, RepositoryKey } from './repository/key-slot.ts';
export type { KeyChange } from './repository/change-key.ts';
export type {
  EncryptionInfo,
  KeyInfo,
  LeaseInfo,
  RepositoryDomain,
  RepositoryInfo,
} from './repository/repository-info.ts';
export { changeKey, type KeyReport, repositoryInfo, type RepositoryInfoOptions } from './repository-care.ts';
export { BackupRepository, copyPoints } from './backup-repository.ts';
export type {
  CopyPointsOptions,
  DomainSelector,
  ForgetPointsOptions,
  OpenRepositoryOptions,
  PruneRepositoryOptions,
  RepairRepositoryOptions,
  RestoreOptions,
  RestoreTarget,
  VerifyRepositoryOptions,
} from './repository-options.ts';
export type { CopiedPoint, CopyPointsReport } from './repository/copy-points.ts';
export type { VerifiedDisk, VerifiedPoint, VerifyMode, VerifyReport } from './repository/verify/verify.ts';
export type { RepairReport } from './repository/repair.ts';
export type { DamagedRange } from './repository/verify/check-tree.ts';
export type { KeepPolicy, KeepReason } from './repository/keep-policy.ts';
export type { KeptPoint, PruneReport } from './repository/prune.ts';
export type { RestoreResult } from './restore/restore-disk.ts';
export type { BadRange, SalvageReport } from './restore/salvage-disk.ts';
export type { BackupMode, BackupResult, TakeBackupOptions } from './protect/take-backup.ts';
export type { LiveDisk, LiveReport, VerifyLiveOptions } from './protect/verify-live.ts';
export type { Audit } from './protect/audit-window.ts';
export type { ForgetOptions, ForgetResult } from './protect/forget-domain.ts';
export type { CleanupStep } from './protect/leftovers.ts';
export { folderStorage, type FolderOptions } from './adapters/folder/storage.ts';
export {
  type ObjectInfo,
  type ObjectWriter,
  type Storage,
  StorageError,
  type StorageOptions,
  type StorageReason,
} from './ports/storage.ts';
export type { OnProgress, Progress, ProgressPhase } from './words/progress.ts';
export type { Remark, RemarkReason } from './words/remarks.ts';
export { nullSink } from './transfer/null-sink.ts';
export { createRawFile } from './adapters/folder/raw-file.ts';
export type { BatchSink, Sink, SinkBatch, SinkRange } from './ports/sink.ts';
export { startPullBackup } from './start-pull-backup.ts';
export type { Chunk, ChunkOptions } from './transfer/chunks.ts';
export { copyRanges, type CopyOptions, type CopyProgress } from './transfer/copy.ts';
