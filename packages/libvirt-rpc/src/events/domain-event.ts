import type { StructOf } from '../codec/field-type.ts';
import { type TypedValue, typedParameterMap } from '../codec/typed-parameter.ts';
import type { Domain } from '../domain.ts';
import { events } from '../procedures/events.ts';

/** A domain was defined, started, paused, stopped…; see `virDomainEventType`. */
export interface LifecycleEvent {
  readonly kind: 'lifecycle';
  readonly domain: Domain;
  /** One of `virDomainEventType`. */
  readonly event: number;
  /** The reason; its meaning depends on `event`. */
  readonly detail: number;
}

/** A job of the whole domain, such as a backup, has ended. It carries no job id. */
export interface JobCompletedEvent {
  readonly kind: 'jobCompleted';
  /** Its `id` is -1 where the domain itself has ended. */
  readonly domain: Domain;
  /**
   * Statistics such as `operation` (9: backup), `success`, `errmsg`, `disk_temp_used` (bytes). Of a pull-mode
   * backup that was ended with `abortJob`, `success` is true although `errmsg` says that it was cancelled.
   */
  readonly params: ReadonlyMap<string, TypedValue>;
}

/** A job of one disk has changed its state. */
export interface BlockJob2Event {
  readonly kind: 'blockJob2';
  readonly domain: Domain;
  /** The target name, such as `vda`. */
  readonly disk: string;
  /** One of `virDomainBlockJobType`. */
  readonly type: number;
  /** One of `virConnectDomainEventBlockJobStatus`. */
  readonly status: number;
}

/** The kinds of events and what they bring. */
export interface DomainEvents {
  lifecycle: LifecycleEvent;
  jobCompleted: JobCompletedEvent;
  blockJob2: BlockJob2Event;
}

/** Any name in `DomainEvents`. */
export type DomainEventKind = keyof DomainEvents;

type Payloads = { readonly [Kind in DomainEventKind]: StructOf<(typeof events)[Kind]['payload']> };

/** How the payload of every kind becomes its event. */
export const domainEventMakers: {
  readonly [Kind in DomainEventKind]: (payload: Payloads[Kind], domain: Domain) => DomainEvents[Kind];
} = {
  lifecycle: ({ event, detail }, domain) => ({ kind: 'lifecycle', domain, event, detail }),
  jobCompleted: ({ params }, domain) => ({ kind: 'jobCompleted', domain, params: typedParameterMap(params) }),
  blockJob2: ({ dst, type, status }, domain) => ({ kind: 'blockJob2', domain, disk: dst, type, status }),
};
