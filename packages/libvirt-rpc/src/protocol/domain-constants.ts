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
  VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT: 16384,
  VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT: 32768,
} as const;

export const virDomainXMLFlags = {
  VIR_DOMAIN_XML_SECURE: 1,
  VIR_DOMAIN_XML_INACTIVE: 2,
  VIR_DOMAIN_XML_UPDATE_CPU: 4,
  VIR_DOMAIN_XML_MIGRATABLE: 8,
} as const;

export const virDomainDefineFlags = { VIR_DOMAIN_DEFINE_VALIDATE: 1 } as const;

export const virDomainCreateFlags = { VIR_DOMAIN_START_PAUSED: 1, VIR_DOMAIN_START_AUTODESTROY: 2 } as const;

export const virDomainDestroyFlagsValues = { VIR_DOMAIN_DESTROY_GRACEFUL: 1 } as const;

export const virDomainUndefineFlagsValues = {
  VIR_DOMAIN_UNDEFINE_MANAGED_SAVE: 1,
  VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA: 2,
  VIR_DOMAIN_UNDEFINE_NVRAM: 4,
  VIR_DOMAIN_UNDEFINE_KEEP_NVRAM: 8,
  VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA: 16,
  VIR_DOMAIN_UNDEFINE_TPM: 32,
} as const;

export const virDomainBackupBeginFlags = { VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL: 1 } as const;

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
export const virDomainJobOperation = { VIR_DOMAIN_JOB_OPERATION_BACKUP: 9 } as const;

export const virDomainGetJobStatsFlags = {
  /** Of the last job that ended; read once, unless KEEP_COMPLETED is given too. */
  VIR_DOMAIN_JOB_STATS_COMPLETED: 1,
  VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED: 2,
} as const;

export const virDomainCheckpointCreateFlags = {
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE: 1,
  VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE: 2,
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE: 4,
} as const;

export const virDomainCheckpointXMLFlags = {
  VIR_DOMAIN_CHECKPOINT_XML_SECURE: 1,
  VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN: 2,
  VIR_DOMAIN_CHECKPOINT_XML_SIZE: 4,
} as const;

export const virDomainCheckpointListFlags = {
  VIR_DOMAIN_CHECKPOINT_LIST_ROOTS: 1,
  VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL: 2,
  VIR_DOMAIN_CHECKPOINT_LIST_LEAVES: 4,
  VIR_DOMAIN_CHECKPOINT_LIST_NO_LEAVES: 8,
} as const;

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

/** The size of `blockResize` is in bytes, not KiB. */
export const virDomainBlockResizeFlags = { VIR_DOMAIN_BLOCK_RESIZE_BYTES: 1 } as const;

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
