import type {
  DomainRef,
  NetworkRef,
  NodeDeviceRef,
  SecretRef,
  StoragePoolRef,
} from './codec/struct-types.ts';
import { Domain } from './domain.ts';
import { domainEvent, type DomainEventKind, type DomainEvents } from './events/domain-event.ts';
import { eventFields } from './events/event-fields.ts';
import type { EventStream } from './events/event-stream.ts';
import { EventStreams } from './events/event-streams.ts';
import {
  type ConnectionClosedEvent,
  type NetworkEvents,
  type NodeDeviceEvents,
  objectEventIds,
  type QemuMonitorEvent,
  type SecretEvents,
  type StoragePoolEvents,
} from './events/object-event.ts';
import { connectProcedures } from './procedures/connect.ts';
import { domainProcedures } from './procedures/domain.ts';
import { events } from './procedures/events.ts';
import type { RawEvent } from './events/event-router.ts';
import type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import type { CloseInfo } from './rpc/close-info.ts';
import type { RpcSession } from './rpc/session.ts';
import { StoragePool } from './storage-pool.ts';
import { type OpenSession, StreamSessions } from './streams/stream-session.ts';
import { storageProcedures } from './procedures/storage.ts';
import { safeNumber } from './safe-number.ts';

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

export interface ConnectionLimits {
  readonly closeTimeoutMs: number;
  readonly eventQueueLimit: number;
  readonly eventQueueBytes: number;
}

/**
 * An open connection to a libvirt daemon.
 *
 * Many calls may be made at once; four are on the wire at a time, the others wait for their turn. One that
 * fails does not harm its neighbours. Nothing is retried, and what runs in the daemon, such as a backup job,
 * outlives the connection.
 */
export class Connection implements AsyncDisposable {
  /** The URI that `connect` was given. */
  readonly uri: string;
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<CloseInfo>;
  readonly #session: RpcSession;
  readonly #limits: ConnectionLimits;
  /** For the methods of this package that open streams. */
  readonly streams: StreamSessions;
  readonly #events: EventStreams;

  /** Use `connect`. */
  constructor(uri: string, session: RpcSession, limits: ConnectionLimits, openSession: OpenSession) {
    this.uri = uri;
    this.closed = session.closed;
    this.#session = session;
    this.#limits = limits;
    this.streams = new StreamSessions(openSession, limits.closeTimeoutMs);
    void session.closed.then(({ error }) => {
      this.streams.end(error);
    });
    this.#events = new EventStreams(session, {
      events: limits.eventQueueLimit,
      bytes: limits.eventQueueBytes,
    });
  }

  /**
   * Calls any procedure, typed by its row of `procedures`, or by a row of your own.
   *
   * @throws LibvirtError (the daemon answered with an error), LibvirtUsageError (nothing was sent),
   * LibvirtTimeoutError, LibvirtProtocolError, LibvirtConnectionClosedError, or the signal's reason
   */
  call<P extends Procedure>(procedure: P, args: ArgsOf<P>, options: CallOptions = {}): Promise<ReplyOf<P>> {
    return this.#session.call(procedure, args, options);
  }

  /** @param flags - `virConnectListAllDomainsFlags` */
  async listAllDomains(flags = 0, options: CallOptions = {}): Promise<Domain[]> {
    const args = { needResults: 1, flags };
    const { domains } = await this.call(connectProcedures.connectListAllDomains, args, options);
    return domains.map((dom) => this.#domain(dom));
  }

  /** `isNoDomain` of the error tells that there is none. */
  async lookupDomainByName(name: string, options: CallOptions = {}): Promise<Domain> {
    return this.#domain((await this.call(domainProcedures.domainLookupByName, { name }, options)).dom);
  }

  /** @param uuid - with or without hyphens */
  async lookupDomainByUuid(uuid: string, options: CallOptions = {}): Promise<Domain> {
    return this.#domain((await this.call(domainProcedures.domainLookupByUuid, { uuid }, options)).dom);
  }

  /** @param id - of a running domain */
  async lookupDomainById(id: number, options: CallOptions = {}): Promise<Domain> {
    return this.#domain((await this.call(domainProcedures.domainLookupById, { id }, options)).dom);
  }

  async lookupStoragePoolByName(name: string, options: CallOptions = {}): Promise<StoragePool> {
    const { pool } = await this.call(storageProcedures.storagePoolLookupByName, { name }, options);
    return new StoragePool(this, pool);
  }

  /**
   * Defines a persistent domain, or changes the definition of one.
   *
   * @param flags - `virDomainDefineFlags`
   */
  async domainDefineXml(xml: string, flags = 0, options: CallOptions = {}): Promise<Domain> {
    return this.#domain(
      (await this.call(domainProcedures.domainDefineXmlFlags, { xml, flags }, options)).dom,
    );
  }

  /**
   * Starts a domain that is gone when it ends.
   *
   * @param flags - `virDomainCreateFlags`
   */
  async domainCreateXml(xml: string, flags = 0, options: CallOptions = {}): Promise<Domain> {
    const args = { xmlDesc: xml, flags };
    return this.#domain((await this.call(domainProcedures.domainCreateXml, args, options)).dom);
  }

  /** The daemon's libvirt: major * 1,000,000 + minor * 1,000 + release. */
  async getLibVersion(options: CallOptions = {}): Promise<number> {
    const { libVer } = await this.call(connectProcedures.connectGetLibVersion, {}, options);
    return safeNumber(libVer, 'the version of libvirt');
  }

  /** The hypervisor: major * 1,000,000 + minor * 1,000 + release. */
  async getVersion(options: CallOptions = {}): Promise<number> {
    const { hvVer } = await this.call(connectProcedures.connectGetVersion, {}, options);
    return safeNumber(hvVer, 'the version of the hypervisor');
  }

  /** The driver, such as `QEMU`. */
  async getType(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetType, {}, options)).type;
  }

  /** Of the daemon's host. */
  async getHostname(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetHostname, {}, options)).hostname;
  }

  /** As the daemon names itself. */
  async getUri(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetUri, {}, options)).uri;
  }

  /** Of host and hypervisor, as XML. */
  async getCapabilities(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetCapabilities, {}, options)).capabilities;
  }

  /**
   * Events of one kind. The registration starts at once; streams for the same share it. Events are queued until
   * they are taken, up to `eventQueueLimit` of them and `eventQueueBytes`; if one more arrives the stream fails. When the connection is
   * closed by `close` or `destroy` the stream ends, when it breaks the stream fails.
   */
  domainEvents<Kind extends DomainEventKind>(
    kind: Kind,
    options: DomainEventsOptions = {},
  ): EventStream<DomainEvents[Kind]> {
    const filter = { eventID: events[kind].eventId, dom: options.domain?.ref ?? null };
    return this.#events.open(
      { eventClass: 'domain', ...filter },
      (raw) => domainEvent(kind, raw as never, this.#domain(raw['dom'] as DomainRef)),
      options.signal,
    );
  }

  /** Events of storage pools; otherwise as `domainEvents`. */
  storagePoolEvents<Kind extends keyof StoragePoolEvents>(
    kind: Kind,
    {
      pool,
      signal,
    }: { readonly pool?: { readonly ref: StoragePoolRef }; readonly signal?: AbortSignal } = {},
  ): EventStream<StoragePoolEvents[Kind]> {
    const filter = { eventID: objectEventIds.storagePool[kind], pool: pool?.ref ?? null };
    return this.#events.open<StoragePoolEvents[Kind]>(
      { eventClass: 'storagePool', ...filter },
      (raw) => plainEvent(kind, raw),
      signal,
    );
  }

  /** Events of networks; otherwise as `domainEvents`. */
  networkEvents<Kind extends keyof NetworkEvents>(
    kind: Kind,
    { network, signal }: { readonly network?: NetworkRef; readonly signal?: AbortSignal } = {},
  ): EventStream<NetworkEvents[Kind]> {
    const filter = { eventID: objectEventIds.network[kind], net: network ?? null };
    return this.#events.open<NetworkEvents[Kind]>(
      { eventClass: 'network', ...filter },
      (raw) => plainEvent(kind, raw),
      signal,
    );
  }

  /** Events of the host's devices; otherwise as `domainEvents`. */
  nodeDeviceEvents<Kind extends keyof NodeDeviceEvents>(
    kind: Kind,
    { device, signal }: { readonly device?: NodeDeviceRef; readonly signal?: AbortSignal } = {},
  ): EventStream<NodeDeviceEvents[Kind]> {
    const filter = { eventID: objectEventIds.nodeDevice[kind], dev: device ?? null };
    return this.#events.open<NodeDeviceEvents[Kind]>(
      { eventClass: 'nodeDevice', ...filter },
      (raw) => plainEvent(kind, raw),
      signal,
    );
  }

  /** Events of secrets; otherwise as `domainEvents`. */
  secretEvents<Kind extends keyof SecretEvents>(
    kind: Kind,
    { secret, signal }: { readonly secret?: { readonly ref: SecretRef }; readonly signal?: AbortSignal } = {},
  ): EventStream<SecretEvents[Kind]> {
    const filter = { eventID: objectEventIds.secret[kind], secret: secret?.ref ?? null };
    return this.#events.open<SecretEvents[Kind]>(
      { eventClass: 'secret', ...filter },
      (raw) => plainEvent(kind, raw),
      signal,
    );
  }

  /** Events of QEMU's monitor, which libvirt passes on as they are; otherwise as `domainEvents`. */
  qemuMonitorEvents(options: QemuMonitorEventsOptions = {}): EventStream<QemuMonitorEvent> {
    const { domain, event = null, flags = 0, signal } = options;
    return this.#events.open(
      { eventClass: 'qemuMonitor', dom: domain?.ref ?? null, event, flags },
      (raw) => ({ domain: this.#domain(raw['dom'] as DomainRef), ...eventFields(raw) }) as QemuMonitorEvent,
      signal,
    );
  }

  /** Tells when the daemon loses its own connection to the hypervisor. For ours to the daemon see `closed`. */
  connectionClosedEvents(signal?: AbortSignal): EventStream<ConnectionClosedEvent> {
    return this.#events.open(
      { eventClass: 'connection' },
      (raw) => raw as unknown as ConnectionClosedEvent,
      signal,
    );
  }

  /**
   * Lets the calls under way finish, says goodbye and ends the connection, its streams included: those of bulk
   * data that are not over fail. May be called again.
   */
  close(): Promise<void> {
    return this.#session.close(connectProcedures.connectClose, this.#limits.closeTimeoutMs);
  }

  /** Ends the connection now; calls under way reject. May be called again. */
  destroy(reason?: Error): void {
    this.#session.destroy(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #domain(ref: DomainRef): Domain {
    return new Domain(this, ref);
  }
}

/** The payload with its kind in place of the callback id. */
function plainEvent(kind: string, raw: RawEvent): never {
  return { kind, ...eventFields(raw) } as never;
}
