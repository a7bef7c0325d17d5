import type { StructOf } from '../codec/field-type.ts';
import { type TypedValue, typedParameterMap } from '../codec/typed-parameter.ts';
import type { DomainRef } from '../codec/struct-types.ts';
import { events } from '../procedures/events.ts';
import { eventFields } from './event-fields.ts';

/** A domain was defined, started, paused, stopped…; see `virDomainEventType`. */
export interface LifecycleEvent {
  /** What kind of event it is. */
  readonly kind: 'lifecycle';
  /** What it happened to. */
  readonly domain: DomainRef;
  /** One of `virDomainEventType`. */
  readonly event: number;
  /** The reason; its meaning depends on `event`. */
  readonly detail: number;
}

/** A job of the whole domain, such as a backup, has ended. It carries no job id. */
export interface JobCompletedEvent {
  /** What kind of event it is. */
  readonly kind: 'jobCompleted';
  /** Its `id` is -1 where the domain itself has ended. */
  readonly domain: DomainRef;
  /**
   * Statistics such as `operation` (9: backup), `success`, `errmsg`, `disk_temp_used` (bytes). Of a pull-mode
   * backup that was ended with `abortJob`, `success` is true although `errmsg` says that it was cancelled.
   */
  readonly params: ReadonlyMap<string, TypedValue>;
}

/** A job of one disk has changed its state. */
export interface BlockJob2Event {
  /** What kind of event it is. */
  readonly kind: 'blockJob2';
  /** Whose job it is. */
  readonly domain: DomainRef;
  /** The target name, such as `vda`. */
  readonly disk: string;
  /** One of `virDomainBlockJobType`. */
  readonly type: number;
  /** One of `virConnectDomainEventBlockJobStatus`. */
  readonly status: number;
}

/** Tunables of a running domain were changed. */
export interface TunableEvent {
  /** What kind of event it is. */
  readonly kind: 'tunable';
  /** Whose tunables they are. */
  readonly domain: DomainRef;
  /** Those that changed, with their new values. */
  readonly params: ReadonlyMap<string, TypedValue>;
}

type Rows = typeof events;

/** Any name in `DomainEvents`. */
export type DomainEventKind = keyof Rows;

type Payload<Kind extends DomainEventKind> = StructOf<Rows[Kind]['payload']>;

/** An event whose fields are those of the wire, under the names that libvirt gives them. */
type PlainEvent<Kind extends DomainEventKind> = {
  readonly kind: Kind;
  readonly domain: DomainRef;
} & Omit<Payload<Kind>, 'callbackID' | 'dom'>;

interface SpecialEvents {
  readonly lifecycle: LifecycleEvent;
  readonly jobCompleted: JobCompletedEvent;
  readonly blockJob2: BlockJob2Event;
  readonly tunable: TunableEvent;
}

/** The kinds of events and what they bring. */
export type DomainEvents = {
  [Kind in DomainEventKind]: Kind extends keyof SpecialEvents ? SpecialEvents[Kind] : PlainEvent<Kind>;
};

/** Fields that differ from those of the wire. */
const special: {
  readonly [Kind in keyof SpecialEvents]?: (
    payload: Payload<Kind>,
  ) => Omit<SpecialEvents[Kind], 'kind' | 'domain'>;
} = {
  jobCompleted: ({ params }) => ({ params: typedParameterMap(params) }),
  tunable: ({ params }) => ({ params: typedParameterMap(params) }),
  blockJob2: ({ dst, type, status }) => ({ disk: dst, type, status }),
};

/** Makes the event of a payload. */
export function domainEvent<Kind extends DomainEventKind>(
  kind: Kind,
  payload: Payload<Kind>,
  domain: DomainRef,
): DomainEvents[Kind] {
  const change = Object.hasOwn(special, kind) ? special[kind as keyof SpecialEvents] : undefined;
  const own = change === undefined ? eventFields(payload) : change(payload as never);
  return { kind, domain, ...own } as unknown as DomainEvents[Kind];
}
