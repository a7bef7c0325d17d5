import type { Domain } from '../domain.ts';

export interface DomainEventsOptions {
  /** Only events of this domain; default: of all. */
  readonly domain?: Domain;
  /** Ends the stream with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface QemuMonitorEventsOptions extends DomainEventsOptions {
  /** The event's name, such as `RTC_CHANGE`; default: every event. */
  readonly event?: string;
  /** virConnectDomainQemuMonitorEventRegisterFlags: 1 `event` is a regular expression, 2 without regard to case. */
  readonly flags?: number;
}
