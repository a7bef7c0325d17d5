import type { DomainEventKind, DomainEvents } from './events/domain-event.ts';
import type { DomainEventsOptions, QemuMonitorEventsOptions } from './events/event-options.ts';
import type { EventStream } from './events/event-stream.ts';
import type { QemuMonitorEvent } from './events/object-event.ts';
import type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
import {
  CALL_OPTIONS,
  type CallOptions,
  checkCallOptions,
  FLAG_OPTIONS,
  type FlagOptions,
} from './rpc/call-options.ts';
import type { CloseInfo } from './rpc/close-info.ts';
import type { StreamSessions } from './streams/stream-session.ts';

/** What an object of a connection needs of it: a `Connection` is one. */
export interface Caller {
  /** For the methods of this package that open streams. */
  readonly streams: StreamSessions;
  /** Calls any procedure. */
  call<P extends Procedure>(procedure: P, args: ArgsOf<P>, options?: CallOptions): Promise<ReplyOf<P>>;
}

/** The connection of a domain, as far as what a domain does can be followed over it: a `Connection` is one. */
export interface DomainConnection extends Caller {
  /** The URI that `connect` was given. */
  readonly uri: string;
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<CloseInfo>;
  /** The daemon's libvirt: major * 1,000,000 + minor * 1,000 + release. */
  getLibVersion(options?: CallOptions): Promise<number>;
  /** The hypervisor: major * 1,000,000 + minor * 1,000 + release. */
  getVersion(options?: CallOptions): Promise<number>;
  /** Events of one kind. */
  domainEvents<Kind extends DomainEventKind>(
    kind: Kind,
    options?: DomainEventsOptions,
  ): EventStream<DomainEvents[Kind]>;
  /** Events of QEMU's monitor. */
  qemuMonitorEvents(options?: QemuMonitorEventsOptions): EventStream<QemuMonitorEvent>;
}

/**
 * Calls a procedure for a method: its flags, where it has some, come with the options.
 *
 * @throws LibvirtUsageError if the options are not what they should be; else as `Connection.call`
 */
export async function ask<P extends Procedure>(
  caller: Caller,
  procedure: P,
  args: Omit<ArgsOf<P>, 'flags'>,
  options: FlagOptions = {},
): Promise<ReplyOf<P>> {
  const hasFlags = Object.hasOwn(procedure.args, 'flags');
  checkCallOptions(options, hasFlags ? FLAG_OPTIONS : CALL_OPTIONS, procedure.name);
  const { flags = 0, signal, timeoutMs } = options;
  const all = (hasFlags ? { ...args, flags } : args) as unknown as ArgsOf<P>;
  return caller.call(procedure, all, { signal, timeoutMs });
}
