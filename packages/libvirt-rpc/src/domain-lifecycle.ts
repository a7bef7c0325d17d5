import type { DomainRef } from './codec/struct-types.ts';
import type { Connection } from './connection.ts';
import { domainConfigProcedures } from './procedures/domain-config.ts';
import { domainProcedures } from './procedures/domain.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { safeNumber, safeNumbers } from './safe-number.ts';

/** What a domain does and why. */
export interface DomainState {
  /** One of `virDomainState`. */
  readonly state: number;
  /** Its meaning depends on `state`. */
  readonly reason: number;
}

export interface DomainInfo {
  /** One of `virDomainState`. */
  readonly state: number;
  readonly maxMemoryKiB: number;
  readonly memoryKiB: number;
  readonly virtualCpus: number;
  /** CPU time used, in nanoseconds. */
  readonly cpuTimeNs: bigint;
}

/** How the daemon's way to the hypervisor of a domain is. */
export interface DomainControlInfo {
  /** One of `virDomainControlState`. */
  readonly state: number;
  /** One of `virDomainControlErrorReason`, where `state` is an error. */
  readonly details: number;
  /** For how long it has been so, in milliseconds. */
  readonly stateTime: number;
}

/** The identity and the life of a domain: the first part of `Domain`. */
export class DomainLifecycle {
  readonly connection: Connection;
  #ref: DomainRef;

  /** Use `Connection.lookupDomainByName` and the like. */
  constructor(connection: Connection, ref: DomainRef) {
    this.connection = connection;
    this.#ref = ref;
  }

  get name(): string {
    return this.#ref.name;
  }

  /** In canonical form. */
  get uuid(): string {
    return this.#ref.uuid;
  }

  /** As it was when the daemon last named the domain; -1: inactive. */
  get id(): number {
    return this.#ref.id;
  }

  /** What `Connection.call` wants for an argument of type `domain`. */
  get ref(): DomainRef {
    return this.#ref;
  }

  async getState(options: CallOptions = {}): Promise<DomainState> {
    return this.connection.call(domainProcedures.domainGetState, { dom: this.#ref, flags: 0 }, options);
  }

  async getInfo(options: CallOptions = {}): Promise<DomainInfo> {
    const info = await this.connection.call(domainProcedures.domainGetInfo, { dom: this.#ref }, options);
    return {
      state: info.state,
      maxMemoryKiB: safeNumber(info.maxMem, 'maximum memory'),
      memoryKiB: safeNumber(info.memory, 'memory'),
      virtualCpus: info.nrVirtCpu,
      cpuTimeNs: info.cpuTime,
    };
  }

  async getControlInfo(options: CallOptions = {}): Promise<DomainControlInfo> {
    const args = { dom: this.#ref, flags: 0 };
    return safeNumbers(await this.connection.call(domainProcedures.domainGetControlInfo, args, options));
  }

  async isActive(options: CallOptions = {}): Promise<boolean> {
    return (await this.connection.call(domainProcedures.domainIsActive, { dom: this.#ref }, options)).active;
  }

  async isPersistent(options: CallOptions = {}): Promise<boolean> {
    const { domainIsPersistent } = domainProcedures;
    return (await this.connection.call(domainIsPersistent, { dom: this.#ref }, options)).persistent;
  }

  /** Whether the definition was changed since the domain was started. */
  async isUpdated(options: CallOptions = {}): Promise<boolean> {
    return (await this.connection.call(domainProcedures.domainIsUpdated, { dom: this.#ref }, options))
      .updated;
  }

  /** Whether the domain is started together with the daemon. */
  async getAutostart(options: CallOptions = {}): Promise<boolean> {
    const { domainGetAutostart } = domainConfigProcedures;
    return (await this.connection.call(domainGetAutostart, { dom: this.#ref }, options)).autostart;
  }

  async setAutostart(autostart: boolean, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.#ref, autostart };
    await this.connection.call(domainConfigProcedures.domainSetAutostart, args, options);
  }

  /**
   * Starts the domain.
   *
   * @param flags - `virDomainCreateFlags`
   */
  async create(flags = 0, options: CallOptions = {}): Promise<void> {
    const { domainCreateWithFlags } = domainProcedures;
    this.#ref = (await this.connection.call(domainCreateWithFlags, { dom: this.#ref, flags }, options)).dom;
  }

  async suspend(options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainSuspend, { dom: this.#ref }, options);
  }

  async resume(options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainResume, { dom: this.#ref }, options);
  }

  /** Asks the guest to shut down; returns before it has. */
  async shutdown(options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainShutdown, { dom: this.#ref }, options);
  }

  /**
   * As `shutdown`, in a way of your choice.
   *
   * @param flags - `virDomainShutdownFlagValues`
   */
  async shutdownFlags(flags: number, options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainShutdownFlags, { dom: this.#ref, flags }, options);
  }

  /**
   * Asks the guest to reboot; returns before it has.
   *
   * @param flags - `virDomainRebootFlagValues`
   */
  async reboot(flags = 0, options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainReboot, { dom: this.#ref, flags }, options);
  }

  /** Resets the domain as a button on its case would: the guest is not asked. */
  async reset(options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainReset, { dom: this.#ref, flags: 0 }, options);
  }

  /**
   * Ends the domain as if its power was cut.
   *
   * @param flags - `virDomainDestroyFlagsValues`
   */
  async destroy(flags = 0, options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainDestroyFlags, { dom: this.#ref, flags }, options);
  }

  /** @param flags - `virDomainUndefineFlagsValues` */
  async undefine(flags = 0, options: CallOptions = {}): Promise<void> {
    await this.connection.call(domainProcedures.domainUndefineFlags, { dom: this.#ref, flags }, options);
  }
}
