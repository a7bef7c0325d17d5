import type { Readable } from 'node:stream';
import { Checkpoint } from './checkpoint.ts';
import type { DomainRef } from './codec/struct-types.ts';
import { type TypedValue, typedParameterMap } from './codec/typed-parameter.ts';
import type { Connection } from './connection.ts';
import { backupProcedures } from './procedures/backup.ts';
import { domainProcedures } from './procedures/domain.ts';
import { storageProcedures } from './procedures/storage.ts';
import type { ReplyOf } from './procedures/row.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { safeNumber, wireInteger } from './safe-number.ts';
import { openDownload } from './streams/download.ts';

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

/** Progress of the current job; times in milliseconds, the rest in bytes. */
export type JobInfo = ReplyOf<typeof backupProcedures.domainGetJobInfo>;

export interface JobStats {
  /** One of `virDomainJobType`. */
  readonly type: number;
  readonly params: Map<string, TypedValue>;
}

export interface Screenshot {
  /** Such as `image/x-portable-pixmap`. */
  readonly mimeType: string | null;
  readonly data: Readable;
}

/** Sizes of a disk in bytes. */
export interface BlockInfo {
  /** In use by the domain: the highest offset written, where the format knows it. */
  readonly allocation: number;
  /** What the guest sees. */
  readonly capacity: number;
  /** Of the file or device on the host. */
  readonly physical: number;
}

/**
 * A domain of a connection. Its UUID is what names it to the daemon; the object holds no resource.
 *
 * Every method calls one procedure and rejects with LibvirtError if the daemon answers with an error, or as
 * `Connection.call` does. XML goes in and out as strings.
 */
export class Domain {
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

  /** @param flags - `virDomainXMLFlags` */
  async getXmlDesc(flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { dom: this.#ref, flags };
    return (await this.connection.call(domainProcedures.domainGetXmlDesc, args, options)).xml;
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

  async isActive(options: CallOptions = {}): Promise<boolean> {
    return (await this.connection.call(domainProcedures.domainIsActive, { dom: this.#ref }, options)).active;
  }

  async isPersistent(options: CallOptions = {}): Promise<boolean> {
    const { domainIsPersistent } = domainProcedures;
    return (await this.connection.call(domainIsPersistent, { dom: this.#ref }, options)).persistent;
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

  /**
   * Starts a backup job, and creates a checkpoint at the same moment if `checkpointXml` is given. While another
   * job runs the daemon waits for 30 seconds, then answers `VIR_ERR_OPERATION_TIMEOUT`. There is no timeout
   * unless one is given: after giving up nobody would know whether the job was started.
   *
   * @param flags - `virDomainBackupBeginFlags`
   */
  async backupBegin(
    backupXml: string,
    checkpointXml?: string,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.#ref, backupXml, checkpointXml: checkpointXml ?? null, flags };
    await this.connection.call(backupProcedures.domainBackupBegin, args, options);
  }

  /** The running backup; `isNoDomainBackup` of the error tells that there is none. */
  async backupGetXmlDesc(flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { dom: this.#ref, flags };
    return (await this.connection.call(backupProcedures.domainBackupGetXmlDesc, args, options)).xml;
  }

  /**
   * Ends the current job; that is also the normal end of a pull-mode backup. Returns before the job has ended:
   * the event `jobCompleted` tells when. With flags, needs libvirt 8.5.
   *
   * @param flags - `virDomainAbortJobFlagsValues`
   */
  async abortJob(flags = 0, options: CallOptions = {}): Promise<void> {
    const { domainAbortJob, domainAbortJobFlags } = backupProcedures;
    if (flags === 0) await this.connection.call(domainAbortJob, { dom: this.#ref }, options);
    else await this.connection.call(domainAbortJobFlags, { dom: this.#ref, flags }, options);
  }

  async getJobInfo(options: CallOptions = {}): Promise<JobInfo> {
    return this.connection.call(backupProcedures.domainGetJobInfo, { dom: this.#ref }, options);
  }

  /**
   * Statistics of the current job, or of the one that ended last.
   *
   * @param flags - `virDomainGetJobStatsFlags`
   */
  async getJobStats(flags = 0, options: CallOptions = {}): Promise<JobStats> {
    const args = { dom: this.#ref, flags };
    const { type, params } = await this.connection.call(backupProcedures.domainGetJobStats, args, options);
    return { type, params: typedParameterMap(params) };
  }

  /** @param flags - `virDomainCheckpointCreateFlags` */
  async checkpointCreateXml(xml: string, flags = 0, options: CallOptions = {}): Promise<Checkpoint> {
    const args = { dom: this.#ref, xmlDesc: xml, flags };
    const { checkpoint } = await this.connection.call(
      backupProcedures.domainCheckpointCreateXml,
      args,
      options,
    );
    return new Checkpoint(this, checkpoint);
  }

  /** @param flags - `virDomainCheckpointListFlags` */
  async listAllCheckpoints(flags = 0, options: CallOptions = {}): Promise<Checkpoint[]> {
    const args = { dom: this.#ref, needResults: 1, flags };
    const { checkpoints } = await this.connection.call(
      backupProcedures.domainListAllCheckpoints,
      args,
      options,
    );
    return checkpoints.map((checkpoint) => new Checkpoint(this, checkpoint));
  }

  /** `isNoDomainCheckpoint` of the error tells that there is none of this name. */
  async checkpointLookupByName(name: string, options: CallOptions = {}): Promise<Checkpoint> {
    const args = { dom: this.#ref, name, flags: 0 };
    const { domainCheckpointLookupByName } = backupProcedures;
    return new Checkpoint(
      this,
      (await this.connection.call(domainCheckpointLookupByName, args, options)).checkpoint,
    );
  }

  /**
   * Freezes file systems through the guest agent. Waits as long as the agent does: see
   * `agentSetResponseTimeout`.
   *
   * @param mountpoints - all, if empty
   * @returns how many were frozen
   */
  async fsFreeze(mountpoints: readonly string[] = [], options: CallOptions = {}): Promise<number> {
    const args = { dom: this.#ref, mountpoints, flags: 0 };
    return (await this.connection.call(domainProcedures.domainFsfreeze, args, options)).filesystems;
  }

  /** Thaws what `fsFreeze` froze; returns how many. */
  async fsThaw(mountpoints: readonly string[] = [], options: CallOptions = {}): Promise<number> {
    const args = { dom: this.#ref, mountpoints, flags: 0 };
    return (await this.connection.call(domainProcedures.domainFsthaw, args, options)).filesystems;
  }

  /** @param seconds - or one of `virDomainAgentResponseTimeoutValues` */
  async agentSetResponseTimeout(seconds: number, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.#ref, timeout: seconds, flags: 0 };
    await this.connection.call(domainProcedures.domainAgentSetResponseTimeout, args, options);
  }

  /**
   * Sends a command to the guest agent, such as `{"execute":"guest-ping"}`, and returns its answer.
   *
   * @param timeoutSeconds - as for `agentSetResponseTimeout`; default: the daemon's default
   */
  async agentCommand(
    command: string,
    timeoutSeconds = -1,
    flags = 0,
    options: CallOptions = {},
  ): Promise<string | null> {
    const args = { dom: this.#ref, cmd: command, timeout: timeoutSeconds, flags };
    return (await this.connection.call(domainProcedures.qemuDomainAgentCommand, args, options)).result;
  }

  /**
   * Sends a command to QEMU's monitor and returns its answer, also where that is an error of QMP's.
   *
   * @param flags - `virDomainQemuMonitorCommandFlags`
   */
  async monitorCommand(command: string, flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { dom: this.#ref, cmd: command, flags };
    return (await this.connection.call(domainProcedures.qemuDomainMonitorCommand, args, options)).result;
  }

  /** @param path - of the image, or the target name such as `vda` */
  async getBlockInfo(path: string, options: CallOptions = {}): Promise<BlockInfo> {
    const args = { dom: this.#ref, path, flags: 0 };
    const info = await this.connection.call(domainProcedures.domainGetBlockInfo, args, options);
    return {
      allocation: safeNumber(info.allocation, 'allocation'),
      capacity: safeNumber(info.capacity, 'capacity'),
      physical: safeNumber(info.physical, 'physical size'),
    };
  }

  /**
   * Sets the size of a disk of a running domain.
   *
   * @param size - in KiB, or in bytes with the flag `VIR_DOMAIN_BLOCK_RESIZE_BYTES`
   */
  async blockResize(
    disk: string,
    size: number | bigint,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.#ref, disk, size: wireInteger(size, 'size'), flags };
    await this.connection.call(domainProcedures.domainBlockResize, args, options);
  }

  /**
   * A picture of the screen, such as a PPM or PNG file, over a connection of its own.
   *
   * @param screen - the number of the screen, where there are several
   */
  async screenshot(screen = 0, options: CallOptions = {}): Promise<Screenshot> {
    const args = { dom: this.#ref, screen, flags: 0 };
    const { domainScreenshot } = storageProcedures;
    const { reply, readable } = await openDownload(
      this.connection.streams,
      domainScreenshot,
      args,
      'zeroes',
      options,
    );
    return { mimeType: reply.mime, data: readable };
  }
}
