import type { DomainRef } from '../codec/struct-types.ts';

/** Which events of domains, and for how long. */
export interface DomainEventsOptions {
  /** Only events of this domain; default: of all. */
  readonly domain?: { readonly ref: DomainRef } | undefined;
  /** Ends the stream with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Which events of QEMU's monitor, and for how long. */
export interface QemuMonitorEventsOptions extends DomainEventsOptions {
  /** The event's name, such as `RTC_CHANGE`; default: every event. */
  readonly event?: string | undefined;
  /** virConnectDomainQemuMonitorEventRegisterFlags: 1 `event` is a regular expression, 2 without regard to case. */
  readonly flags?: number | undefined;
}
