/** What a domain does, as `getState`, `getInfo` and lifecycle events tell it. */
export const virDomainState = {
  VIR_DOMAIN_NOSTATE: 0,
  VIR_DOMAIN_RUNNING: 1,
  VIR_DOMAIN_BLOCKED: 2,
  VIR_DOMAIN_PAUSED: 3,
  VIR_DOMAIN_SHUTDOWN: 4,
  VIR_DOMAIN_SHUTOFF: 5,
  VIR_DOMAIN_CRASHED: 6,
  VIR_DOMAIN_PMSUSPENDED: 7,
} as const;

/** Filters of `listAllDomains`. */
export const virConnectListAllDomainsFlags = {
  VIR_CONNECT_LIST_DOMAINS_ACTIVE: 1,
  VIR_CONNECT_LIST_DOMAINS_INACTIVE: 2,
  VIR_CONNECT_LIST_DOMAINS_PERSISTENT: 4,
  VIR_CONNECT_LIST_DOMAINS_TRANSIENT: 8,
  VIR_CONNECT_LIST_DOMAINS_RUNNING: 16,
  VIR_CONNECT_LIST_DOMAINS_PAUSED: 32,
  VIR_CONNECT_LIST_DOMAINS_SHUTOFF: 64,
  VIR_CONNECT_LIST_DOMAINS_OTHER: 128,
  VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE: 256,
  VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE: 512,
  VIR_CONNECT_LIST_DOMAINS_AUTOSTART: 1024,
  VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART: 2048,
  VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT: 4096,
  VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT: 8192,
  VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT: 16384,
  VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT: 32768,
} as const;

/** Flags of `Domain.getXmlDesc`. */
export const virDomainXMLFlags = {
  VIR_DOMAIN_XML_SECURE: 1,
  VIR_DOMAIN_XML_INACTIVE: 2,
  VIR_DOMAIN_XML_UPDATE_CPU: 4,
  VIR_DOMAIN_XML_MIGRATABLE: 8,
} as const;

/** Flags of `Connection.domainDefineXml`. */
export const virDomainDefineFlags = { VIR_DOMAIN_DEFINE_VALIDATE: 1 } as const;

/** Flags of `Domain.create` and `Connection.domainCreateXml`. */
export const virDomainCreateFlags = {
  VIR_DOMAIN_START_PAUSED: 1,
  VIR_DOMAIN_START_AUTODESTROY: 2,
  VIR_DOMAIN_START_BYPASS_CACHE: 4,
  VIR_DOMAIN_START_FORCE_BOOT: 8,
  VIR_DOMAIN_START_VALIDATE: 16,
  VIR_DOMAIN_START_RESET_NVRAM: 32,
} as const;

/** Flags of `Domain.destroy`. */
export const virDomainDestroyFlagsValues = {
  VIR_DOMAIN_DESTROY_GRACEFUL: 1,
  VIR_DOMAIN_DESTROY_REMOVE_LOGS: 2,
} as const;

/** Flags of `Domain.undefine`. */
export const virDomainUndefineFlagsValues = {
  VIR_DOMAIN_UNDEFINE_MANAGED_SAVE: 1,
  VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA: 2,
  VIR_DOMAIN_UNDEFINE_NVRAM: 4,
  VIR_DOMAIN_UNDEFINE_KEEP_NVRAM: 8,
  VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA: 16,
  VIR_DOMAIN_UNDEFINE_TPM: 32,
  VIR_DOMAIN_UNDEFINE_KEEP_TPM: 64,
} as const;

/** Flags of `shutdownFlags`: the ways that may be tried; 0: as the hypervisor likes. */
export const virDomainShutdownFlagValues = {
  VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN: 1,
  VIR_DOMAIN_SHUTDOWN_GUEST_AGENT: 2,
  VIR_DOMAIN_SHUTDOWN_INITCTL: 4,
  VIR_DOMAIN_SHUTDOWN_SIGNAL: 8,
  VIR_DOMAIN_SHUTDOWN_PARAVIRT: 16,
} as const;

/** Flags of `reboot`, as those of `shutdownFlags`. */
export const virDomainRebootFlagValues = {
  VIR_DOMAIN_REBOOT_ACPI_POWER_BTN: 1,
  VIR_DOMAIN_REBOOT_GUEST_AGENT: 2,
  VIR_DOMAIN_REBOOT_INITCTL: 4,
  VIR_DOMAIN_REBOOT_SIGNAL: 8,
  VIR_DOMAIN_REBOOT_PARAVIRT: 16,
} as const;

/** The field `state` of what `getControlInfo` tells. */
export const virDomainControlState = {
  VIR_DOMAIN_CONTROL_OK: 0,
  VIR_DOMAIN_CONTROL_JOB: 1,
  VIR_DOMAIN_CONTROL_OCCUPIED: 2,
  VIR_DOMAIN_CONTROL_ERROR: 3,
} as const;

/** The field `details` of what `getControlInfo` tells, where `state` is an error. */
export const virDomainControlErrorReason = {
  VIR_DOMAIN_CONTROL_ERROR_REASON_NONE: 0,
  VIR_DOMAIN_CONTROL_ERROR_REASON_UNKNOWN: 1,
  VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR: 2,
  VIR_DOMAIN_CONTROL_ERROR_REASON_INTERNAL: 3,
} as const;

/** Flags of `attachDeviceFlags`, `detachDeviceFlags` and `updateDeviceFlags`. */
export const virDomainDeviceModifyFlags = {
  VIR_DOMAIN_DEVICE_MODIFY_CURRENT: 0,
  VIR_DOMAIN_DEVICE_MODIFY_LIVE: 1,
  VIR_DOMAIN_DEVICE_MODIFY_CONFIG: 2,
  VIR_DOMAIN_DEVICE_MODIFY_FORCE: 4,
} as const;

/** Which metadata `getMetadata` and `setMetadata` are about. */
export const virDomainMetadataType = {
  VIR_DOMAIN_METADATA_DESCRIPTION: 0,
  VIR_DOMAIN_METADATA_TITLE: 1,
  VIR_DOMAIN_METADATA_ELEMENT: 2,
} as const;

/** Flags of `getMetadata` and `setMetadata`. */
export const virDomainModificationImpact = {
  VIR_DOMAIN_AFFECT_CURRENT: 0,
  VIR_DOMAIN_AFFECT_LIVE: 1,
  VIR_DOMAIN_AFFECT_CONFIG: 2,
} as const;

/** What `getGuestInfo` asks for; 0: all that the agent knows. */
export const virDomainGuestInfoTypes = {
  VIR_DOMAIN_GUEST_INFO_USERS: 1,
  VIR_DOMAIN_GUEST_INFO_OS: 2,
  VIR_DOMAIN_GUEST_INFO_TIMEZONE: 4,
  VIR_DOMAIN_GUEST_INFO_HOSTNAME: 8,
  VIR_DOMAIN_GUEST_INFO_FILESYSTEM: 16,
  VIR_DOMAIN_GUEST_INFO_DISKS: 32,
  VIR_DOMAIN_GUEST_INFO_INTERFACES: 64,
  VIR_DOMAIN_GUEST_INFO_LOAD: 128,
} as const;

/** Flags of `Domain.backupBegin`. */
export const virDomainBackupBeginFlags = { VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL: 1 } as const;

/** Flags of `Domain.abortJob`. */
export const virDomainAbortJobFlagsValues = { VIR_DOMAIN_ABORT_JOB_POSTCOPY: 1 } as const;

/** The type that `getJobInfo` and `getJobStats` answer. */
export const virDomainJobType = {
  VIR_DOMAIN_JOB_NONE: 0,
  VIR_DOMAIN_JOB_BOUNDED: 1,
  VIR_DOMAIN_JOB_UNBOUNDED: 2,
  VIR_DOMAIN_JOB_COMPLETED: 3,
  VIR_DOMAIN_JOB_FAILED: 4,
  VIR_DOMAIN_JOB_CANCELLED: 5,
} as const;

/** The parameter `operation` of job statistics. */
export const virDomainJobOperation = {
  VIR_DOMAIN_JOB_OPERATION_UNKNOWN: 0,
  VIR_DOMAIN_JOB_OPERATION_START: 1,
  VIR_DOMAIN_JOB_OPERATION_SAVE: 2,
  VIR_DOMAIN_JOB_OPERATION_RESTORE: 3,
  VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN: 4,
  VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT: 5,
  VIR_DOMAIN_JOB_OPERATION_SNAPSHOT: 6,
  VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT: 7,
  VIR_DOMAIN_JOB_OPERATION_DUMP: 8,
  VIR_DOMAIN_JOB_OPERATION_BACKUP: 9,
  VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_DELETE: 10,
} as const;

/** Flags of `Domain.getJobStats`. */
export const virDomainGetJobStatsFlags = {
  /** Of the last job that ended; read once, unless KEEP_COMPLETED is given too. */
  VIR_DOMAIN_JOB_STATS_COMPLETED: 1,
  VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED: 2,
} as const;

/** Flags of `Domain.checkpointCreateXml`. */
export const virDomainCheckpointCreateFlags = {
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE: 1,
  VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE: 2,
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE: 4,
} as const;

/** Flags of `Checkpoint.getXmlDesc`. */
export const virDomainCheckpointXMLFlags = {
  VIR_DOMAIN_CHECKPOINT_XML_SECURE: 1,
  VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN: 2,
  VIR_DOMAIN_CHECKPOINT_XML_SIZE: 4,
} as const;

/** Filters of `listAllCheckpoints`, where bit 1 means roots, and of `listAllChildren`, where it means descendants. */
export const virDomainCheckpointListFlags = {
  VIR_DOMAIN_CHECKPOINT_LIST_ROOTS: 1,
  VIR_DOMAIN_CHECKPOINT_LIST_DESCENDANTS: 1,
  VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL: 2,
  VIR_DOMAIN_CHECKPOINT_LIST_LEAVES: 4,
  VIR_DOMAIN_CHECKPOINT_LIST_NO_LEAVES: 8,
} as const;

/** Flags of `Checkpoint.delete`. */
export const virDomainCheckpointDeleteFlags = {
  VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN: 1,
  VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY: 2,
  VIR_DOMAIN_CHECKPOINT_DELETE_CHILDREN_ONLY: 4,
} as const;

/** Special values of `agentSetResponseTimeout`, in place of seconds. */
export const virDomainAgentResponseTimeoutValues = {
  VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK: -2,
  VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT: -1,
  VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_NOWAIT: 0,
} as const;

/** The monitor command is one of the human monitor, not QMP. */
export const virDomainQemuMonitorCommandFlags = { VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP: 1 } as const;

/** The numbers that events of domains are registered with. */
export const virDomainEventID = {
  VIR_DOMAIN_EVENT_ID_LIFECYCLE: 0,
  VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2: 16,
  VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: 21,
} as const;

/** The field `event` of a lifecycle event. */
export const virDomainEventType = {
  VIR_DOMAIN_EVENT_DEFINED: 0,
  VIR_DOMAIN_EVENT_UNDEFINED: 1,
  VIR_DOMAIN_EVENT_STARTED: 2,
  VIR_DOMAIN_EVENT_SUSPENDED: 3,
  VIR_DOMAIN_EVENT_RESUMED: 4,
  VIR_DOMAIN_EVENT_STOPPED: 5,
  VIR_DOMAIN_EVENT_SHUTDOWN: 6,
  VIR_DOMAIN_EVENT_PMSUSPENDED: 7,
  VIR_DOMAIN_EVENT_CRASHED: 8,
} as const;

/** The field `type` of a block job event. */
export const virDomainBlockJobType = {
  VIR_DOMAIN_BLOCK_JOB_TYPE_UNKNOWN: 0,
  VIR_DOMAIN_BLOCK_JOB_TYPE_PULL: 1,
  VIR_DOMAIN_BLOCK_JOB_TYPE_COPY: 2,
  VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT: 3,
  VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT: 4,
  VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP: 5,
} as const;

/** The field `status` of a block job event. */
export const virConnectDomainEventBlockJobStatus = {
  VIR_DOMAIN_BLOCK_JOB_COMPLETED: 0,
  VIR_DOMAIN_BLOCK_JOB_FAILED: 1,
  VIR_DOMAIN_BLOCK_JOB_CANCELED: 2,
  VIR_DOMAIN_BLOCK_JOB_READY: 3,
} as const;

/** Flags of `blockCommit`. */
export const virDomainBlockCommitFlags = {
  VIR_DOMAIN_BLOCK_COMMIT_SHALLOW: 1,
  VIR_DOMAIN_BLOCK_COMMIT_DELETE: 2,
  VIR_DOMAIN_BLOCK_COMMIT_ACTIVE: 4,
  VIR_DOMAIN_BLOCK_COMMIT_RELATIVE: 8,
  VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES: 16,
} as const;

/** Flags of `blockPull`. */
export const virDomainBlockPullFlags = {
  VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES: 64,
} as const;

/** Flags of `blockRebase`. */
export const virDomainBlockRebaseFlags = {
  VIR_DOMAIN_BLOCK_REBASE_SHALLOW: 1,
  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT: 2,
  VIR_DOMAIN_BLOCK_REBASE_COPY_RAW: 4,
  VIR_DOMAIN_BLOCK_REBASE_COPY: 8,
  VIR_DOMAIN_BLOCK_REBASE_RELATIVE: 16,
  VIR_DOMAIN_BLOCK_REBASE_COPY_DEV: 32,
  VIR_DOMAIN_BLOCK_REBASE_BANDWIDTH_BYTES: 64,
} as const;

/** Flags of `blockCopy`. */
export const virDomainBlockCopyFlags = {
  VIR_DOMAIN_BLOCK_COPY_SHALLOW: 1,
  VIR_DOMAIN_BLOCK_COPY_REUSE_EXT: 2,
  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB: 4,
  VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES: 8,
} as const;

/** Flags of `blockJobAbort`. */
export const virDomainBlockJobAbortFlags = {
  VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC: 1,
  VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT: 2,
} as const;

/** Flags of `getBlockJobInfo`: the bandwidth is in bytes per second, not MiB. */
export const virDomainBlockJobInfoFlags = {
  VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES: 1,
} as const;

/** Flags of `blockJobSetSpeed`: the bandwidth is in bytes per second, not MiB. */
export const virDomainBlockJobSetSpeedFlags = {
  VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES: 1,
} as const;

/** Flags of `blockResize`: the size is in bytes, not KiB; the size is that of the device, as it is. */
export const virDomainBlockResizeFlags = {
  VIR_DOMAIN_BLOCK_RESIZE_BYTES: 1,
  VIR_DOMAIN_BLOCK_RESIZE_CAPACITY: 2,
} as const;

/** The field `error` of what `getDiskErrors` tells. */
export const virDomainDiskErrorCode = {
  VIR_DOMAIN_DISK_ERROR_UNSPEC: 1,
  VIR_DOMAIN_DISK_ERROR_NO_SPACE: 2,
} as const;

/** Flags of `snapshotCreateXml`. */
export const virDomainSnapshotCreateFlags = {
  VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE: 1,
  VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT: 2,
  VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA: 4,
  VIR_DOMAIN_SNAPSHOT_CREATE_HALT: 8,
  VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY: 16,
  VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT: 32,
  VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE: 64,
  VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC: 128,
  VIR_DOMAIN_SNAPSHOT_CREATE_LIVE: 256,
  VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE: 512,
} as const;

/** Flags of `getXmlDesc` of a snapshot. */
export const virDomainSnapshotXMLFlags = {
  VIR_DOMAIN_SNAPSHOT_XML_SECURE: 1,
} as const;

/** Filters of `listAllSnapshots`, where bit 1 means roots, and of `listAllChildren`, where it means descendants. */
export const virDomainSnapshotListFlags = {
  VIR_DOMAIN_SNAPSHOT_LIST_ROOTS: 1,
  VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS: 1,
  VIR_DOMAIN_SNAPSHOT_LIST_LEAVES: 4,
  VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES: 8,
  VIR_DOMAIN_SNAPSHOT_LIST_METADATA: 2,
  VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA: 16,
  VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE: 32,
  VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE: 64,
  VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY: 128,
  VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL: 256,
  VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL: 512,
  VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL: 1024,
} as const;

/** Flags of `delete` of a snapshot. */
export const virDomainSnapshotDeleteFlags = {
  VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN: 1,
  VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY: 2,
  VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY: 4,
} as const;

/** Flags of `revertToSnapshot`. */
export const virDomainSnapshotRevertFlags = {
  VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING: 1,
  VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED: 2,
  VIR_DOMAIN_SNAPSHOT_REVERT_FORCE: 4,
  VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM: 8,
} as const;
