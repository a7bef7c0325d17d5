import type { RawEvent } from './event-router.ts';

/** The payload of an event without what only the connection needs to know. */
export function eventFields(raw: RawEvent): Record<string, unknown> {
  return Object.fromEntries(Object.entries(raw).filter(([name]) => name !== 'callbackID' && name !== 'dom'));
}
