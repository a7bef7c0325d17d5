import {
  virConnectDomainEventBlockJobStatus,
  virDomainBlockJobType,
  virDomainEventType,
  virDomainJobOperation,
  virDomainJobType,
  virDomainState,
} from './protocol/domain-constants.ts';

/** The constants of libvirt as words: `VIR_DOMAIN_EVENT_STARTED` of the prefix `VIR_DOMAIN_EVENT_` is `started`. */
function wordsOf(constants: Readonly<Record<string, number>>, prefix: string): readonly string[] {
  const words: string[] = [];
  for (const [name, value] of Object.entries(constants))
    words[value] = name.slice(prefix.length).toLowerCase().replaceAll('_', '-');
  return words;
}

const STATES = wordsOf(virDomainState, 'VIR_DOMAIN_');
const EVENTS = wordsOf(virDomainEventType, 'VIR_DOMAIN_EVENT_');
const JOBS = wordsOf(virDomainJobType, 'VIR_DOMAIN_JOB_');
const OPERATIONS = wordsOf(virDomainJobOperation, 'VIR_DOMAIN_JOB_OPERATION_');
const BLOCK_JOBS = wordsOf(virDomainBlockJobType, 'VIR_DOMAIN_BLOCK_JOB_TYPE_');
const BLOCK_JOB_STATUSES = wordsOf(virConnectDomainEventBlockJobStatus, 'VIR_DOMAIN_BLOCK_JOB_');

const UNKNOWN = 'unknown';

/** By state: virDomainRunningReason and the like, in the order of their numbers. */
const REASONS: readonly (readonly string[])[] = [
  [UNKNOWN],
  [
    ...[UNKNOWN, 'booted', 'migrated', 'restored', 'from-snapshot', 'unpaused', 'migration-canceled'],
    ...['save-canceled', 'wakeup', 'crashed', 'postcopy', 'postcopy-failed'],
  ],
  [UNKNOWN],
  [
    ...[UNKNOWN, 'user', 'migration', 'save', 'dump', 'ioerror', 'watchdog', 'from-snapshot'],
    ...['shutting-down', 'snapshot', 'crashed', 'starting-up', 'postcopy', 'postcopy-failed', 'api-error'],
  ],
  [UNKNOWN, 'user'],
  [
    ...[UNKNOWN, 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from-snapshot'],
    'daemon',
  ],
  [UNKNOWN, 'panicked'],
  [UNKNOWN],
];

/** By event: virDomainEventDefinedDetailType and the like, in the order of their numbers. */
const DETAILS: readonly (readonly string[])[] = [
  ['added', 'updated', 'renamed', 'from-snapshot'],
  ['removed', 'renamed'],
  ['booted', 'migrated', 'restored', 'from-snapshot', 'wakeup'],
  [
    ...['paused', 'migrated', 'ioerror', 'watchdog', 'restored', 'from-snapshot', 'api-error'],
    ...['postcopy', 'postcopy-failed'],
  ],
  ['unpaused', 'migrated', 'from-snapshot', 'postcopy', 'postcopy-failed'],
  ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from-snapshot'],
  ['finished', 'guest', 'host'],
  ['memory', 'disk'],
  ['panicked', 'crashloaded'],
];

/** A number that a newer libvirt has given a meaning to is its own name. */
function named(words: readonly string[] | undefined, value: number): string {
  return words?.[value] ?? String(value);
}

/** The name of a `DomainState.state`, one of `virDomainState`: `running`, `paused`, `shutoff`… */
export function domainStateName(state: number): string {
  return named(STATES, state);
}

/** The name of a `DomainState.reason`, which depends on the state: `booted`, `user`, `destroyed`… */
export function domainStateReasonName({
  state,
  reason,
}: {
  readonly state: number;
  readonly reason: number;
}): string {
  return named(REASONS[state], reason);
}

/** The name of a `LifecycleEvent.event`, one of `virDomainEventType`: `started`, `stopped`… */
export function domainEventName(event: number): string {
  return named(EVENTS, event);
}

/** The name of a `LifecycleEvent.detail`, which depends on the event: `booted`, `destroyed`… */
export function domainEventDetailName({
  event,
  detail,
}: {
  readonly event: number;
  readonly detail: number;
}): string {
  return named(DETAILS[event], detail);
}

/** The name of a `JobStats.type`, one of `virDomainJobType`: `none`, `unbounded`, `completed`… */
export function domainJobTypeName(type: number): string {
  return named(JOBS, type);
}

/** The name of the parameter `operation` of a job, one of `virDomainJobOperation`: `backup`, `migration-out`… */
export function domainJobOperationName(operation: number): string {
  return named(OPERATIONS, operation);
}

/** The name of a `BlockJobInfo.type` or `BlockJob2Event.type`, one of `virDomainBlockJobType`: `pull`, `commit`… */
export function blockJobTypeName(type: number): string {
  return named(BLOCK_JOBS, type);
}

/** The name of a `BlockJob2Event.status`, one of `virConnectDomainEventBlockJobStatus`: `completed`, `ready`… */
export function blockJobStatusName(status: number): string {
  return named(BLOCK_JOB_STATUSES, status);
}
