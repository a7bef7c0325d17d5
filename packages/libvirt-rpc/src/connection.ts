import type { DomainRef } from './codec/struct-types.ts';
import { Domain } from './domain.ts';
import { LibvirtConnectionClosedError } from './errors.ts';
import { type DomainEventKind, domainEventMakers, type DomainEvents } from './events/domain-event.ts';
import { DomainEventStream, type EndableStream } from './events/domain-event-stream.ts';
import { EventRouter, type RawEvent } from './events/event-router.ts';
import { connectProcedures } from './procedures/connect.ts';
import { domainProcedures } from './procedures/domain.ts';
import { events } from './procedures/events.ts';
import type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import type { CloseInfo } from './rpc/close-info.ts';
import type { RpcSession } from './rpc/session.ts';
import { safeNumber } from './safe-number.ts';

export interface DomainEventsOptions {
  /** Only events of this domain; default: of all. */
  readonly domain?: Domain;
  /** Ends the stream with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface ConnectionLimits {
  readonly closeTimeoutMs: number;
  readonly eventQueueLimit: number;
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
  readonly #events: EventRouter;
  readonly #streams = new Set<EndableStream>();

  /** Use `connect`. */
  constructor(uri: string, session: RpcSession, limits: ConnectionLimits) {
    this.uri = uri;
    this.closed = session.closed;
    this.#session = session;
    this.#limits = limits;
    this.#events = new EventRouter(session);
    void session.closed.then((info) => {
      this.#endStreams(info);
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
   * Events of one kind. The registration starts at once; streams for the same share it. Events are queued, a
   * fixed number of them, until they are taken; if one more arrives the stream fails. When the connection is
   * closed by `close` or `destroy` the stream ends, when it breaks the stream fails.
   */
  domainEvents<Kind extends DomainEventKind>(
    kind: Kind,
    options: DomainEventsOptions = {},
  ): DomainEventStream<DomainEvents[Kind]> {
    const make = domainEventMakers[kind] as (payload: RawEvent, domain: Domain) => DomainEvents[Kind];
    const stream = new DomainEventStream(
      (listener) => this.#events.register(events[kind], options.domain?.ref ?? null, listener),
      (raw) => make(raw, this.#domain(raw.dom)),
      this.#limits.eventQueueLimit,
      options.signal,
      (ended) => this.#streams.delete(ended),
    );
    this.#streams.add(stream);
    return stream;
  }

  /** Lets the calls under way finish, says goodbye and ends the connection. May be called again. */
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

  #endStreams({ reason, error }: CloseInfo): void {
    for (const stream of [...this.#streams]) {
      if (reason === 'client' && error === undefined) stream.end();
      else {
        const why = error === undefined ? '' : `: ${error.message}`;
        stream.fail(
          new LibvirtConnectionClosedError(`no more events: the connection has ended (${reason})${why}`, {
            cause: error,
          }),
        );
      }
    }
  }
}
