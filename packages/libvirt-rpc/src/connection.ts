import { ask, type DomainConnection } from './caller.ts';
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
import { cString, type HypervisorChoice, type NodeInfo, wireChoice } from './host-facts.ts';
import { refuseOwnProcedure } from './own-procedures.ts';
import { connectProcedures } from './procedures/connect.ts';
import { domainProcedures } from './procedures/domain.ts';
import { events } from './procedures/events.ts';
import { listProcedures } from './procedures/list.ts';
import { nodeProcedures } from './procedures/node.ts';
import type { RawEvent } from './events/event-router.ts';
import type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
import {
  CALL_OPTIONS,
  type CallOptions,
  checkCallOptions,
  type FlagOptions,
  optionsObject,
} from './rpc/call-options.ts';
import type { CloseInfo } from './rpc/close-info.ts';
import type { RpcSession } from './rpc/session.ts';
import { safeNumber } from './safe-number.ts';
import { Secret } from './secret.ts';
import { StoragePool } from './storage-pool.ts';
import { StorageVolume } from './storage-volume.ts';
import { type OpenSession, StreamSessions } from './streams/stream-session.ts';
import { secretProcedures } from './procedures/secret.ts';
import { storageProcedures } from './procedures/storage.ts';

/** Statistics of a domain, by names such as `state.state` and `block.0.rd.bytes`. */
export interface DomainStats {
  /** Whose they are. */
  readonly domain: Domain;
  /** The statistics by name. */
  readonly params: Map<string, TypedValue>;
}

/** Options of `Connection.getAllDomainStats`; flags: `virConnectGetAllDomainStatsFlags`. */
export interface DomainStatsOptions extends FlagOptions {
  /** `virDomainStatsTypes`; default 0: all. */
  readonly stats?: number | undefined;
}

/** What a connection was told by `connect` of its own limits. */
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
export class Connection implements DomainConnection, AsyncDisposable {
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
   * Calls any procedure, typed by its row of `procedures`, or by a row of your own; but for those that the connection
   * needs for itself: opening, authentication, closing, registration for events.
   *
   * @throws LibvirtError (the daemon answered with an error), LibvirtUsageError (nothing was sent),
   * LibvirtTimeoutError, LibvirtProtocolError, LibvirtConnectionClosedError, or the signal's reason
   */
  async call<P extends Procedure>(
    procedure: P,
    args: ArgsOf<P>,
    options: CallOptions = {},
  ): Promise<ReplyOf<P>> {
    checkCallOptions(options, CALL_OPTIONS, procedure.name);
    refuseOwnProcedure(procedure);
    return this.#session.call(procedure, args, options);
  }

  /** The daemon's libvirt: major * 1,000,000 + minor * 1,000 + release. */
  async getLibVersion(options?: CallOptions): Promise<number> {
    const { libVer } = await ask(this, connectProcedures.connectGetLibVersion, {}, options);
    return safeNumber(libVer, 'the version of libvirt');
  }

  /** The hypervisor: major * 1,000,000 + minor * 1,000 + release. */
  async getVersion(options?: CallOptions): Promise<number> {
    const { hvVer } = await ask(this, connectProcedures.connectGetVersion, {}, options);
    return safeNumber(hvVer, 'the version of the hypervisor');
  }

  /** The driver, such as `QEMU`. */
  async getType(options?: CallOptions): Promise<string> {
    return (await ask(this, connectProcedures.connectGetType, {}, options)).type;
  }

  /** Of the daemon's host. */
  async getHostname(options?: CallOptions): Promise<string> {
    return (await ask(this, connectProcedures.connectGetHostname, {}, options)).hostname;
  }

  /** As the daemon names itself. */
  async getUri(options?: CallOptions): Promise<string> {
    return (await ask(this, connectProcedures.connectGetUri, {}, options)).uri;
  }

  /** Whether the daemon's own connection to the hypervisor cannot be listened to. */
  async isSecure(options?: CallOptions): Promise<boolean> {
    return (await ask(this, connectProcedures.connectIsSecure, {}, options)).secure;
  }

  /** Of host and hypervisor, as XML. */
  async getCapabilities(options?: CallOptions): Promise<string> {
    return (await ask(this, connectProcedures.connectGetCapabilities, {}, options)).capabilities;
  }

  /** What a domain can have, as XML. */
  async getDomainCapabilities(choice: HypervisorChoice = {}, options?: FlagOptions): Promise<string> {
    const { emulator, ...rest } = wireChoice(choice);
    const args = { emulatorbin: emulator, ...rest };
    return (await ask(this, connectProcedures.connectGetDomainCapabilities, args, options)).capabilities;
  }

  /** What storage pools can be, as XML. */
  async getStoragePoolCapabilities(options?: FlagOptions): Promise<string> {
    const { connectGetStoragePoolCapabilities } = connectProcedures;
    return (await ask(this, connectGetStoragePoolCapabilities, {}, options)).capabilities;
  }

  /** What the host's SMBIOS tells, as XML. */
  async getSysinfo(options?: FlagOptions): Promise<string> {
    return (await ask(this, connectProcedures.connectGetSysinfo, {}, options)).sysinfo;
  }

  /** The most virtual processors that a domain can have. */
  async getMaxVcpus(type: string | null = null, options?: CallOptions): Promise<number> {
    return (await ask(this, connectProcedures.connectGetMaxVcpus, { type }, options)).maxVcpus;
  }

  /** Processors and memory of the daemon's host: `virNodeGetInfo`. */
  async nodeGetInfo(options?: CallOptions): Promise<NodeInfo> {
    const { model, memory, ...counts } = await ask(this, nodeProcedures.nodeGetInfo, {}, options);
    return { model: cString(model), memoryKiB: safeNumber(memory, 'memory'), ...counts };
  }

  /** In bytes. */
  async nodeGetFreeMemory(options?: CallOptions): Promise<number> {
    const { freeMem } = await ask(this, nodeProcedures.nodeGetFreeMemory, {}, options);
    return safeNumber(freeMem, 'free memory');
  }

  /** The models of processors that libvirt knows for an architecture. */
  async getCpuModelNames(arch: string, options?: FlagOptions): Promise<readonly string[]> {
    const args = { arch, needResults: 1 };
    return (await ask(this, connectProcedures.connectGetCpuModelNames, args, options)).models;
  }

  /**
   * Compares a processor with the host's.
   *
   * Flags: `virConnectCompareCPUFlags`.
   * @returns one of `virCPUCompareResult`
   */
  async compareCpu(xml: string, options?: FlagOptions): Promise<number> {
    return (await ask(this, connectProcedures.connectCompareCpu, { xml }, options)).result;
  }

  /** As `compareCpu`, with the processor that a hypervisor can offer. */
  async compareHypervisorCpu(
    xml: string,
    choice: HypervisorChoice = {},
    options?: FlagOptions,
  ): Promise<number> {
    const args = { ...wireChoice(choice), xmlCPU: xml };
    return (await ask(this, connectProcedures.connectCompareHypervisorCpu, args, options)).result;
  }

  /**
   * The processor that all of these are at least, as XML.
   *
   * @param xmls - `<cpu>` elements or capabilities of hosts
   * Flags: `virConnectBaselineCPUFlags`.
   */
  async baselineCpu(xmls: readonly string[], options?: FlagOptions): Promise<string> {
    return (await ask(this, connectProcedures.connectBaselineCpu, { xmlCPUs: xmls }, options)).cpu;
  }

  /** As `baselineCpu`, of what a hypervisor can offer. */
  async baselineHypervisorCpu(
    xmls: readonly string[],
    choice: HypervisorChoice = {},
    options?: FlagOptions,
  ): Promise<string> {
    const args = { ...wireChoice(choice), xmlCPUs: xmls };
    return (await ask(this, connectProcedures.connectBaselineHypervisorCpu, args, options)).cpu;
  }

  /** The object for a domain that a `DomainRef` names, such as that of an event. Asks the daemon nothing. */
  domain(ref: DomainRef): Domain {
    return new Domain(this, ref);
  }

  /** The domains that there are, running or not: `virConnectListAllDomains`; flags: `virConnectListAllDomainsFlags`. */
  async listAllDomains(options?: FlagOptions): Promise<Domain[]> {
    const args = { needResults: 1 };
    const { domains } = await ask(this, connectProcedures.connectListAllDomains, args, options);
    return domains.map((dom) => this.domain(dom));
  }

  /**
   * Statistics of the domains that the filters permit, in one call.
   *
   * Flags: `virConnectGetAllDomainStatsFlags`.
   */
  getAllDomainStats(options?: DomainStatsOptions): Promise<DomainStats[]> {
    return this.#domainStats([], options);
  }

  /** As `getAllDomainStats`, of these domains. */
  async domainListGetStats(
    domains: readonly Pick<Domain, 'ref'>[],
    options?: DomainStatsOptions,
  ): Promise<DomainStats[]> {
    const doms = domains.map(({ ref }) => ref);
    // To the daemon an empty list means all domains.
    return doms.length === 0 ? [] : this.#domainStats(doms, options);
  }

  /** `isNoDomain` of the error tells that there is none. */
  async lookupDomainByName(name: string, options?: CallOptions): Promise<Domain> {
    return this.domain((await ask(this, domainProcedures.domainLookupByName, { name }, options)).dom);
  }

  /** @param uuid - with or without hyphens */
  async lookupDomainByUuid(uuid: string, options?: CallOptions): Promise<Domain> {
    return this.domain((await ask(this, domainProcedures.domainLookupByUuid, { uuid }, options)).dom);
  }

  /** @param id - of a running domain */
  async lookupDomainById(id: number, options?: CallOptions): Promise<Domain> {
    return this.domain((await ask(this, domainProcedures.domainLookupById, { id }, options)).dom);
  }

  /**
   * Defines a persistent domain, or changes the definition of one; flags: `virDomainDefineFlags`.
   */
  async domainDefineXml(xml: string, options?: FlagOptions): Promise<Domain> {
    return this.domain((await ask(this, domainProcedures.domainDefineXmlFlags, { xml }, options)).dom);
  }

  /**
   * Starts a domain that is gone when it ends; flags: `virDomainCreateFlags`.
   */
  async domainCreateXml(xml: string, options?: FlagOptions): Promise<Domain> {
    const args = { xmlDesc: xml };
    return this.domain((await ask(this, domainProcedures.domainCreateXml, args, options)).dom);
  }

  /** The storage pools that there are: `virConnectListAllStoragePools`; flags: `virConnectListAllStoragePoolsFlags`. */
  async listAllStoragePools(options?: FlagOptions): Promise<StoragePool[]> {
    const args = { needResults: 1 };
    const { pools } = await ask(this, listProcedures.connectListAllStoragePools, args, options);
    return pools.map((pool) => new StoragePool(this, pool));
  }

  /** `isNoStoragePool` of the error tells that there is none. */
  async lookupStoragePoolByName(name: string, options?: CallOptions): Promise<StoragePool> {
    const { pool } = await ask(this, storageProcedures.storagePoolLookupByName, { name }, options);
    return new StoragePool(this, pool);
  }

  /** @param uuid - with or without hyphens */
  async lookupStoragePoolByUuid(uuid: string, options?: CallOptions): Promise<StoragePool> {
    const { pool } = await ask(this, storageProcedures.storagePoolLookupByUuid, { uuid }, options);
    return new StoragePool(this, pool);
  }

  /** @param path - of the folder or device that holds its volumes */
  async lookupStoragePoolByTargetPath(path: string, options?: CallOptions): Promise<StoragePool> {
    const { pool } = await ask(this, storageProcedures.storagePoolLookupByTargetPath, { path }, options);
    return new StoragePool(this, pool);
  }

  /** The pool that a volume is in. */
  async lookupStoragePoolByVolume(volume: StorageVolume, options?: CallOptions): Promise<StoragePool> {
    const args = { vol: volume.ref };
    const { pool } = await ask(this, storageProcedures.storagePoolLookupByVolume, args, options);
    return new StoragePool(this, pool);
  }

  /**
   * Defines a persistent pool, or changes the definition of one; flags: `virStoragePoolDefineFlags`.
   */
  async storagePoolDefineXml(xml: string, options?: FlagOptions): Promise<StoragePool> {
    const { pool } = await ask(this, storageProcedures.storagePoolDefineXml, { xml }, options);
    return new StoragePool(this, pool);
  }

  /**
   * Starts a pool that is forgotten when it is stopped; flags: `virStoragePoolCreateFlags`.
   */
  async storagePoolCreateXml(xml: string, options?: FlagOptions): Promise<StoragePool> {
    const { pool } = await ask(this, storageProcedures.storagePoolCreateXml, { xml }, options);
    return new StoragePool(this, pool);
  }

  /** `isNoStorageVol` of the error tells that there is none. */
  async lookupStorageVolByKey(key: string, options?: CallOptions): Promise<StorageVolume> {
    const { vol } = await ask(this, storageProcedures.storageVolLookupByKey, { key }, options);
    return new StorageVolume(this, vol);
  }

  /** @param path - of the volume on the host, in any pool that is active */
  async lookupStorageVolByPath(path: string, options?: CallOptions): Promise<StorageVolume> {
    const { vol } = await ask(this, storageProcedures.storageVolLookupByPath, { path }, options);
    return new StorageVolume(this, vol);
  }

  /** The secrets that there are: `virConnectListAllSecrets`; flags: `virConnectListAllSecretsFlags`. */
  async listAllSecrets(options?: FlagOptions): Promise<Secret[]> {
    const args = { needResults: 1 };
    const { secrets } = await ask(this, listProcedures.connectListAllSecrets, args, options);
    return secrets.map((secret) => new Secret(this, secret));
  }

  /**
   * `isNoSecret` of the error tells that there is none.
   *
   * @param uuid - with or without hyphens
   */
  async lookupSecretByUuid(uuid: string, options?: CallOptions): Promise<Secret> {
    return new Secret(this, (await ask(this, secretProcedures.secretLookupByUuid, { uuid }, options)).secret);
  }

  /**
   * @param usageType - `virSecretUsageType`
   * @param usageId - such as the path of a volume
   */
  async lookupSecretByUsage(usageType: number, usageId: string, options?: CallOptions): Promise<Secret> {
    const args = { usageType, usageID: usageId };
    return new Secret(this, (await ask(this, secretProcedures.secretLookupByUsage, args, options)).secret);
  }

  /**
   * Defines a secret, without its value, or changes the definition of one; flags: `virSecretDefineFlags`.
   */
  async secretDefineXml(xml: string, options?: FlagOptions): Promise<Secret> {
    return new Secret(this, (await ask(this, secretProcedures.secretDefineXml, { xml }, options)).secret);
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
      (raw) => domainEvent(kind, raw as never, raw['dom'] as DomainRef),
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
      (raw) => ({ domain: raw['dom'], ...eventFields(raw) }) as QemuMonitorEvent,
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

  async #domainStats(doms: readonly DomainRef[], options: DomainStatsOptions = {}): Promise<DomainStats[]> {
    const { stats = 0, ...rest } = optionsObject(options, 'getAllDomainStats');
    const args = { doms, stats };
    const { retStats } = await ask(this, connectProcedures.connectGetAllDomainStats, args, rest);
    return retStats.map(({ dom, params }) => ({
      domain: this.domain(dom),
      params: typedParameterMap(params),
    }));
  }
}

/** The payload with its kind in place of the callback id. */
function plainEvent(kind: string, raw: RawEvent): never {
  return { kind, ...eventFields(raw) } as never;
}
