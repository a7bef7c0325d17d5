import type {
  DomainRef,
  NetworkRef,
  NodeDeviceRef,
  SecretRef,
  StoragePoolRef,
} from './codec/struct-types.ts';
import { type TypedValue, typedParameterMap } from './codec/typed-parameter.ts';
import { Domain } from './domain.ts';
import { domainEvent, type DomainEventKind, type DomainEvents } from './events/domain-event.ts';
import { eventFields } from './events/event-fields.ts';
import type { DomainEventsOptions, QemuMonitorEventsOptions } from './events/event-options.ts';
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
import { HostQueries } from './host-queries.ts';
import { connectProcedures } from './procedures/connect.ts';
import { domainProcedures } from './procedures/domain.ts';
import { events } from './procedures/events.ts';
import { listProcedures } from './procedures/list.ts';
import type { RawEvent } from './events/event-router.ts';
import type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import type { CloseInfo } from './rpc/close-info.ts';
import type { RpcSession } from './rpc/session.ts';
import { Secret } from './secret.ts';
import { StoragePool } from './storage-pool.ts';
import { StorageVolume } from './storage-volume.ts';
import { type OpenSession, StreamSessions } from './streams/stream-session.ts';
import { secretProcedures } from './procedures/secret.ts';
import { storageProcedures } from './procedures/storage.ts';

/** Statistics of a domain, by names such as `state.state` and `block.0.rd.bytes`. */
export interface DomainStats {
  readonly domain: Domain;
  readonly params: Map<string, TypedValue>;
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
export class Connection extends HostQueries implements AsyncDisposable {
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
    super();
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
  override call<P extends Procedure>(
    procedure: P,
    args: ArgsOf<P>,
    options: CallOptions = {},
  ): Promise<ReplyOf<P>> {
    return this.#session.call(procedure, args, options);
  }

  /** @param flags - `virConnectListAllDomainsFlags` */
  async listAllDomains(flags = 0, options: CallOptions = {}): Promise<Domain[]> {
    const args = { needResults: 1, flags };
    const { domains } = await this.call(connectProcedures.connectListAllDomains, args, options);
    return domains.map((dom) => this.#domain(dom));
  }

  /**
   * Statistics of the domains that the filters permit, in one call.
   *
   * @param stats - `virDomainStatsTypes`
   * @param flags - `virConnectGetAllDomainStatsFlags`
   */
  getAllDomainStats(stats = 0, flags = 0, options: CallOptions = {}): Promise<DomainStats[]> {
    return this.#domainStats([], stats, flags, options);
  }

  /** As `getAllDomainStats`, of these domains. */
  async domainListGetStats(
    domains: readonly Domain[],
    stats = 0,
    flags = 0,
    options: CallOptions = {},
  ): Promise<DomainStats[]> {
    const doms = domains.map(({ ref }) => ref);
    // To the daemon an empty list means all domains.
    return doms.length === 0 ? [] : this.#domainStats(doms, stats, flags, options);
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

  /** @param flags - `virConnectListAllStoragePoolsFlags` */
  async listAllStoragePools(flags = 0, options: CallOptions = {}): Promise<StoragePool[]> {
    const args = { needResults: 1, flags };
    const { pools } = await this.call(listProcedures.connectListAllStoragePools, args, options);
    return pools.map((pool) => new StoragePool(this, pool));
  }

  /** `isNoStoragePool` of the error tells that there is none. */
  async lookupStoragePoolByName(name: string, options: CallOptions = {}): Promise<StoragePool> {
    const { pool } = await this.call(storageProcedures.storagePoolLookupByName, { name }, options);
    return new StoragePool(this, pool);
  }

  /** @param uuid - with or without hyphens */
  async lookupStoragePoolByUuid(uuid: string, options: CallOptions = {}): Promise<StoragePool> {
    const { pool } = await this.call(storageProcedures.storagePoolLookupByUuid, { uuid }, options);
    return new StoragePool(this, pool);
  }

  /** @param path - of the folder or device that holds its volumes */
  async lookupStoragePoolByTargetPath(path: string, options: CallOptions = {}): Promise<StoragePool> {
    const { pool } = await this.call(storageProcedures.storagePoolLookupByTargetPath, { path }, options);
    return new StoragePool(this, pool);
  }

  /** The pool that a volume is in. */
  async lookupStoragePoolByVolume(volume: StorageVolume, options: CallOptions = {}): Promise<StoragePool> {
    const args = { vol: volume.ref };
    const { pool } = await this.call(storageProcedures.storagePoolLookupByVolume, args, options);
    return new StoragePool(this, pool);
  }

  /**
   * Defines a persistent pool, or changes the definition of one.
   *
   * @param flags - `virStoragePoolDefineFlags`
   */
  async storagePoolDefineXml(xml: string, flags = 0, options: CallOptions = {}): Promise<StoragePool> {
    const { pool } = await this.call(storageProcedures.storagePoolDefineXml, { xml, flags }, options);
    return new StoragePool(this, pool);
  }

  /**
   * Starts a pool that is forgotten when it is stopped.
   *
   * @param flags - `virStoragePoolCreateFlags`
   */
  async storagePoolCreateXml(xml: string, flags = 0, options: CallOptions = {}): Promise<StoragePool> {
    const { pool } = await this.call(storageProcedures.storagePoolCreateXml, { xml, flags }, options);
    return new StoragePool(this, pool);
  }

  /** `isNoStorageVol` of the error tells that there is none. */
  async lookupStorageVolByKey(key: string, options: CallOptions = {}): Promise<StorageVolume> {
    const { vol } = await this.call(storageProcedures.storageVolLookupByKey, { key }, options);
    return new StorageVolume(this, vol);
  }

  /** @param path - of the volume on the host, in any pool that is active */
  async lookupStorageVolByPath(path: string, options: CallOptions = {}): Promise<StorageVolume> {
    const { vol } = await this.call(storageProcedures.storageVolLookupByPath, { path }, options);
    return new StorageVolume(this, vol);
  }

  /** @param flags - `virConnectListAllSecretsFlags` */
  async listAllSecrets(flags = 0, options: CallOptions = {}): Promise<Secret[]> {
    const args = { needResults: 1, flags };
    const { secrets } = await this.call(listProcedures.connectListAllSecrets, args, options);
    return secrets.map((secret) => new Secret(this, secret));
  }

  /**
   * `isNoSecret` of the error tells that there is none.
   *
   * @param uuid - with or without hyphens
   */
  async lookupSecretByUuid(uuid: string, options: CallOptions = {}): Promise<Secret> {
    return new Secret(this, (await this.call(secretProcedures.secretLookupByUuid, { uuid }, options)).secret);
  }

  /**
   * @param usageType - `virSecretUsageType`
   * @param usageId - such as the path of a volume
   */
  async lookupSecretByUsage(usageType: number, usageId: string, options: CallOptions = {}): Promise<Secret> {
    const args = { usageType, usageID: usageId };
    return new Secret(this, (await this.call(secretProcedures.secretLookupByUsage, args, options)).secret);
  }

  /**
   * Defines a secret, without its value, or changes the definition of one.
   *
   * @param flags - `virSecretDefineFlags`
   */
  async secretDefineXml(xml: string, flags = 0, options: CallOptions = {}): Promise<Secret> {
    return new Secret(
      this,
      (await this.call(secretProcedures.secretDefineXml, { xml, flags }, options)).secret,
    );
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

  async #domainStats(
    doms: readonly DomainRef[],
    stats: number,
    flags: number,
    options: CallOptions,
  ): Promise<DomainStats[]> {
    const args = { doms, stats, flags };
    const { retStats } = await this.call(connectProcedures.connectGetAllDomainStats, args, options);
    return retStats.map(({ dom, params }) => ({
      domain: this.#domain(dom),
      params: typedParameterMap(params),
    }));
  }

  #domain(ref: DomainRef): Domain {
    return new Domain(this, ref);
  }
}

/** The payload with its kind in place of the callback id. */
function plainEvent(kind: string, raw: RawEvent): never {
  return { kind, ...eventFields(raw) } as never;
}
