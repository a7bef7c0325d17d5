import { ask, type DomainConnection } from './caller.ts';
import { Checkpoint } from './checkpoint.ts';
import type { DiskError, DomainRef, FsInfo } from './codec/struct-types.ts';
import { type TypedValue, typedParameterList, typedParameterMap } from './codec/typed-parameter.ts';
import type {
  BlockInfo,
  BlockJobInfo,
  BlockStats,
  DomainControlInfo,
  DomainInfo,
  DomainState,
  JobInfo,
  JobStats,
  Screenshot,
} from './domain-facts.ts';
import type {
  AgentCommandOptions,
  BlockCommitOptions,
  BlockCopyOptions,
  BlockPullOptions,
  FsTrimOptions,
  GetMetadataOptions,
  GuestInfoOptions,
  ScreenshotOptions,
  SetMetadataOptions,
} from './domain-options.ts';
import { backupProcedures as backup } from './procedures/backup.ts';
import { domainBlockProcedures as block } from './procedures/domain-block.ts';
import { domainConfigProcedures as config } from './procedures/domain-config.ts';
import { domainGuestProcedures as guest } from './procedures/domain-guest.ts';
import { domainProcedures as life } from './procedures/domain.ts';
import type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
import { snapshotProcedures as snapshots } from './procedures/snapshot.ts';
import { storageProcedures } from './procedures/storage.ts';
import {
  CALL_OPTIONS,
  type CallOptions,
  checkCallOptions,
  type FlagOptions,
  optionsObject,
} from './rpc/call-options.ts';
import { safeNumber, safeNumbers, wireInteger } from './safe-number.ts';
import { Snapshot } from './snapshot.ts';

// The maxima of the protocol: asking for that many saves the call that asks how many there are.
const REMOTE_DOMAIN_BLOCK_STATS_PARAMETERS_MAX = 16;
const REMOTE_DOMAIN_DISK_ERRORS_MAX = 256;

/**
 * A domain of a connection. Its UUID is what names it to the daemon; the object holds no resource.
 *
 * Every method calls one procedure, the one of libvirt's function that its comment names, and takes
 * `{ flags, signal, timeoutMs }` as its last argument, `flags` where the procedure has some. It rejects with
 * LibvirtError if the daemon answers with an error, else as `Connection.call` does. XML goes in and out as strings.
 * A disk is named by its target, such as `vda`, or by the path of its image.
 */
export class Domain {
  /** What it is a domain of. */
  readonly connection: DomainConnection;
  #ref: DomainRef;

  /** Use `Connection.lookupDomainByName` and the like. */
  constructor(connection: DomainConnection, ref: DomainRef) {
    this.connection = connection;
    this.#ref = ref;
  }

  /** As it was when the daemon last named the domain. */
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

  /** What it does and why: `virDomainGetState`. */
  async getState(options?: FlagOptions): Promise<DomainState> {
    return this.#ask(life.domainGetState, {}, options);
  }

  /** What it has and has used: `virDomainGetInfo`. */
  async getInfo(options?: CallOptions): Promise<DomainInfo> {
    const info = await this.#ask(life.domainGetInfo, {}, options);
    return {
      state: info.state,
      maxMemoryKiB: safeNumber(info.maxMem, 'maximum memory'),
      memoryKiB: safeNumber(info.memory, 'memory'),
      virtualCpus: info.nrVirtCpu,
      cpuTimeNs: info.cpuTime,
    };
  }

  /** How the daemon's way to its hypervisor is: `virDomainGetControlInfo`. */
  async getControlInfo(options?: FlagOptions): Promise<DomainControlInfo> {
    return safeNumbers(await this.#ask(life.domainGetControlInfo, {}, options));
  }

  /** Whether it runs, be it paused: `virDomainIsActive`. */
  async isActive(options?: CallOptions): Promise<boolean> {
    return (await this.#ask(life.domainIsActive, {}, options)).active;
  }

  /** Whether its definition stays when it ends: `virDomainIsPersistent`. */
  async isPersistent(options?: CallOptions): Promise<boolean> {
    return (await this.#ask(life.domainIsPersistent, {}, options)).persistent;
  }

  /** Whether the definition was changed since the domain was started: `virDomainIsUpdated`. */
  async isUpdated(options?: CallOptions): Promise<boolean> {
    return (await this.#ask(life.domainIsUpdated, {}, options)).updated;
  }

  /** Whether the domain is started together with the daemon: `virDomainGetAutostart`. */
  async getAutostart(options?: CallOptions): Promise<boolean> {
    return (await this.#ask(config.domainGetAutostart, {}, options)).autostart;
  }

  /** Says whether the domain is started together with the daemon: `virDomainSetAutostart`. */
  async setAutostart(autostart: boolean, options?: CallOptions): Promise<void> {
    await this.#ask(config.domainSetAutostart, { autostart }, options);
  }

  /** Starts the domain: `virDomainCreateWithFlags`; flags: `virDomainCreateFlags`. */
  async create(options?: FlagOptions): Promise<void> {
    this.#ref = (await this.#ask(life.domainCreateWithFlags, {}, options)).dom;
  }

  /** Pauses its processors: `virDomainSuspend`. */
  async suspend(options?: CallOptions): Promise<void> {
    await this.#ask(life.domainSuspend, {}, options);
  }

  /** Lets its processors go on: `virDomainResume`. */
  async resume(options?: CallOptions): Promise<void> {
    await this.#ask(life.domainResume, {}, options);
  }

  /** Asks the guest to shut down; returns before it has: `virDomainShutdown`. */
  async shutdown(options?: CallOptions): Promise<void> {
    await this.#ask(life.domainShutdown, {}, options);
  }

  /** As `shutdown`, in a way of your choice: `virDomainShutdownFlags`; flags: `virDomainShutdownFlagValues`. */
  async shutdownFlags(options?: FlagOptions): Promise<void> {
    await this.#ask(life.domainShutdownFlags, {}, options);
  }

  /** Asks the guest to reboot; returns before it has: `virDomainReboot`; flags: `virDomainRebootFlagValues`. */
  async reboot(options?: FlagOptions): Promise<void> {
    await this.#ask(life.domainReboot, {}, options);
  }

  /** Resets the domain as a button on its case would, the guest not being asked: `virDomainReset`. */
  async reset(options?: FlagOptions): Promise<void> {
    await this.#ask(life.domainReset, {}, options);
  }

  /** Ends the domain as if its power was cut: `virDomainDestroyFlags`; flags: `virDomainDestroyFlagsValues`. */
  async destroy(options?: FlagOptions): Promise<void> {
    await this.#ask(life.domainDestroyFlags, {}, options);
  }

  /**
   * Forgets its definition; a running domain goes on without one: `virDomainUndefineFlags`; flags:
   * `virDomainUndefineFlagsValues`.
   */
  async undefine(options?: FlagOptions): Promise<void> {
    await this.#ask(life.domainUndefineFlags, {}, options);
  }

  /**
   * Its definition, as it runs or, with `VIR_DOMAIN_XML_INACTIVE`, as it will start next: `virDomainGetXMLDesc`;
   * flags: `virDomainXMLFlags`.
   */
  async getXmlDesc(options?: FlagOptions): Promise<string> {
    return (await this.#ask(life.domainGetXmlDesc, {}, options)).xml;
  }

  /**
   * A description, a title, or an element of your own: `virDomainGetMetadata`. `isNoDomainMetadata` of the error
   * tells that there is none.
   *
   * @param type - `virDomainMetadataType`
   */
  async getMetadata(type: number, options: GetMetadataOptions = {}): Promise<string> {
    const { uri = null, ...rest } = optionsObject(options, 'getMetadata');
    return (await this.#ask(config.domainGetMetadata, { type, uri }, rest)).metadata;
  }

  /**
   * Sets what `getMetadata` brings: `virDomainSetMetadata`.
   *
   * @param type - `virDomainMetadataType`
   * @param metadata - text, or the element as XML; null: removes it
   */
  async setMetadata(type: number, metadata: string | null, options: SetMetadataOptions = {}): Promise<void> {
    const { key = null, uri = null, ...rest } = optionsObject(options, 'setMetadata');
    await this.#ask(config.domainSetMetadata, { type, metadata, key, uri }, rest);
  }

  /**
   * Adds a device: `virDomainAttachDeviceFlags`; flags: `virDomainDeviceModifyFlags`.
   *
   * @param xml - the device, such as `<disk>`
   */
  async attachDeviceFlags(xml: string, options?: FlagOptions): Promise<void> {
    await this.#ask(config.domainAttachDeviceFlags, { xml }, options);
  }

  /**
   * Takes a device away: `virDomainDetachDeviceFlags`; flags: `virDomainDeviceModifyFlags`. Of a running domain that
   * only asks the guest: the event `deviceRemoved` tells when it is gone.
   */
  async detachDeviceFlags(xml: string, options?: FlagOptions): Promise<void> {
    await this.#ask(config.domainDetachDeviceFlags, { xml }, options);
  }

  /**
   * Changes a device, such as the medium of a drive: `virDomainUpdateDeviceFlags`; flags:
   * `virDomainDeviceModifyFlags`.
   */
  async updateDeviceFlags(xml: string, options?: FlagOptions): Promise<void> {
    await this.#ask(config.domainUpdateDeviceFlags, { xml }, options);
  }

  /**
   * Starts a backup job, and creates a checkpoint at the same moment if `checkpointXml` is given:
   * `virDomainBackupBegin`; flags: `virDomainBackupBeginFlags`. While another job runs the daemon waits for 30
   * seconds, then answers `ERR_LIBVIRT_OPERATION_TIMEOUT`. There is no timeout unless one is given: after giving up
   * nobody would know whether the job was started.
   */
  async backupBegin(backupXml: string, checkpointXml?: string | null, options?: FlagOptions): Promise<void> {
    await this.#ask(backup.domainBackupBegin, { backupXml, checkpointXml: checkpointXml ?? null }, options);
  }

  /**
   * The running backup: `virDomainBackupGetXMLDesc`. `isNoDomainBackup` of the error tells that there is none.
   */
  async backupGetXmlDesc(options?: FlagOptions): Promise<string> {
    return (await this.#ask(backup.domainBackupGetXmlDesc, {}, options)).xml;
  }

  /**
   * Ends the current job; that is also the normal end of a pull-mode backup: `virDomainAbortJob`, with flags
   * (`virDomainAbortJobFlagsValues`) `virDomainAbortJobFlags`, which needs libvirt 8.5. Returns before the job has
   * ended: the event `jobCompleted` tells when.
   */
  async abortJob(options: FlagOptions = {}): Promise<void> {
    const { flags = 0, ...rest } = optionsObject(options, 'abortJob');
    if (flags === 0) await this.#ask(backup.domainAbortJob, {}, rest);
    else await this.#ask(backup.domainAbortJobFlags, {}, options);
  }

  /** Progress of the current job: `virDomainGetJobInfo`. */
  async getJobInfo(options?: CallOptions): Promise<JobInfo> {
    return this.#ask(backup.domainGetJobInfo, {}, options);
  }

  /**
   * Statistics of the current job, or of the one that ended last: `virDomainGetJobStats`; flags:
   * `virDomainGetJobStatsFlags`. Those of a job that has ended can be read once, unless a flag keeps them.
   */
  async getJobStats(options?: FlagOptions): Promise<JobStats> {
    const { type, params } = await this.#ask(backup.domainGetJobStats, {}, options);
    return { type, params: typedParameterMap(params) };
  }

  /**
   * Makes a checkpoint, or with `VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE` tells the daemon of one whose bitmaps are
   * there: `virDomainCheckpointCreateXML`; flags: `virDomainCheckpointCreateFlags`. With `…_REDEFINE_VALIDATE` too
   * the daemon looks for the bitmaps in the images of the running domain, and refuses where one is missing
   * (libvirt 6.10).
   */
  async checkpointCreateXml(xml: string, options?: FlagOptions): Promise<Checkpoint> {
    const { checkpoint } = await this.#ask(backup.domainCheckpointCreateXml, { xmlDesc: xml }, options);
    return new Checkpoint(this.connection, checkpoint);
  }

  /** Its checkpoints: `virDomainListAllCheckpoints`; flags: `virDomainCheckpointListFlags`. */
  async listAllCheckpoints(options?: FlagOptions): Promise<Checkpoint[]> {
    const { checkpoints } = await this.#ask(backup.domainListAllCheckpoints, { needResults: 1 }, options);
    return checkpoints.map((checkpoint) => new Checkpoint(this.connection, checkpoint));
  }

  /**
   * The checkpoint of a name: `virDomainCheckpointLookupByName`. `isNoDomainCheckpoint` of the error tells that there
   * is none.
   */
  async checkpointLookupByName(name: string, options?: FlagOptions): Promise<Checkpoint> {
    const { checkpoint } = await this.#ask(backup.domainCheckpointLookupByName, { name }, options);
    return new Checkpoint(this.connection, checkpoint);
  }

  /**
   * Makes a snapshot: `virDomainSnapshotCreateXML`; flags: `virDomainSnapshotCreateFlags`. An external one is an
   * overlay on every disk, which takes what is written from then on.
   */
  async snapshotCreateXml(xml: string, options?: FlagOptions): Promise<Snapshot> {
    const { snap } = await this.#ask(snapshots.domainSnapshotCreateXml, { xmlDesc: xml }, options);
    return new Snapshot(this.connection, snap);
  }

  /** Its snapshots: `virDomainListAllSnapshots`; flags: `virDomainSnapshotListFlags`. */
  async listAllSnapshots(options?: FlagOptions): Promise<Snapshot[]> {
    const reply = await this.#ask(snapshots.domainListAllSnapshots, { needResults: 1 }, options);
    return reply.snapshots.map((snap) => new Snapshot(this.connection, snap));
  }

  /**
   * The snapshot of a name: `virDomainSnapshotLookupByName`. `isNoDomainSnapshot` of the error tells that there is
   * none.
   */
  async snapshotLookupByName(name: string, options?: FlagOptions): Promise<Snapshot> {
    const { snap } = await this.#ask(snapshots.domainSnapshotLookupByName, { name }, options);
    return new Snapshot(this.connection, snap);
  }

  /**
   * The snapshot that the domain goes on from: `virDomainSnapshotCurrent`. `isNoDomainSnapshot` of the error tells
   * that there is none.
   */
  async snapshotCurrent(options?: FlagOptions): Promise<Snapshot> {
    return new Snapshot(
      this.connection,
      (await this.#ask(snapshots.domainSnapshotCurrent, {}, options)).snap,
    );
  }

  /** Whether there is a snapshot that the domain goes on from: `virDomainHasCurrentSnapshot`. */
  async hasCurrentSnapshot(options?: FlagOptions): Promise<boolean> {
    return (await this.#ask(snapshots.domainHasCurrentSnapshot, {}, options)).result;
  }

  /**
   * Puts the domain back to what it was; what has been written since is lost: `virDomainRevertToSnapshot`; flags:
   * `virDomainSnapshotRevertFlags`.
   */
  async revertToSnapshot(snapshot: Pick<Snapshot, 'ref'>, options?: FlagOptions): Promise<void> {
    await ask(this.connection, snapshots.domainRevertToSnapshot, { snap: snapshot.ref }, options);
  }

  /**
   * Freezes file systems through the guest agent, and returns how many: `virDomainFSFreeze`. Waits as long as the
   * agent does: see `agentSetResponseTimeout`.
   *
   * @param mountpoints - all, if empty
   */
  async fsFreeze(mountpoints: readonly string[] = [], options?: FlagOptions): Promise<number> {
    return (await this.#ask(life.domainFsfreeze, { mountpoints }, options)).filesystems;
  }

  /** Thaws what `fsFreeze` froze, and returns how many: `virDomainFSThaw`. */
  async fsThaw(mountpoints: readonly string[] = [], options?: FlagOptions): Promise<number> {
    return (await this.#ask(life.domainFsthaw, { mountpoints }, options)).filesystems;
  }

  /** Discards what file systems do not use, through the guest agent: `virDomainFSTrim`. */
  async fsTrim(options: FsTrimOptions = {}): Promise<void> {
    const { mountPoint = null, minimum = 0, ...rest } = optionsObject(options, 'fsTrim');
    await this.#ask(guest.domainFstrim, { mountPoint, minimum: wireInteger(minimum, 'minimum') }, rest);
  }

  /** The file systems that are mounted in the guest, as its agent tells: `virDomainGetFSInfo`. */
  async getFsInfo(options?: FlagOptions): Promise<readonly FsInfo[]> {
    return (await this.#ask(guest.domainGetFsinfo, {}, options)).info;
  }

  /** What the guest agent tells, by names such as `os.id` and `user.0.name`: `virDomainGetGuestInfo`. */
  async getGuestInfo(options: GuestInfoOptions = {}): Promise<Map<string, TypedValue>> {
    const { types = 0, ...rest } = optionsObject(options, 'getGuestInfo');
    return typedParameterMap((await this.#ask(guest.domainGetGuestInfo, { types }, rest)).params);
  }

  /**
   * Says how long the guest agent may take to answer: `virDomainAgentSetResponseTimeout`.
   *
   * @param seconds - or one of `virDomainAgentResponseTimeoutValues`
   */
  async agentSetResponseTimeout(seconds: number, options?: FlagOptions): Promise<void> {
    await this.#ask(life.domainAgentSetResponseTimeout, { timeout: seconds }, options);
  }

  /**
   * Sends a command to the guest agent, such as `{"execute":"guest-ping"}`, and returns its answer:
   * `virDomainQemuAgentCommand`.
   */
  async agentCommand(command: string, options: AgentCommandOptions = {}): Promise<string | null> {
    const { timeoutSeconds: timeout = -1, ...rest } = optionsObject(options, 'agentCommand');
    return (await this.#ask(life.qemuDomainAgentCommand, { cmd: command, timeout }, rest)).result;
  }

  /**
   * Sends a command to QEMU's monitor and returns its answer, also where that is an error of QMP's
   * (`{"error": …}`): `virDomainQemuMonitorCommand`; flags: `virDomainQemuMonitorCommandFlags`. What it changes
   * libvirt does not know of; the daemon marks the domain as tainted.
   *
   * @param command - QMP as JSON, such as `{"execute":"query-named-block-nodes","arguments":{"flat":true}}`, which
   * tells the bitmaps of each node; with `VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP` a line such as `info block`
   */
  async monitorCommand(command: string, options?: FlagOptions): Promise<string> {
    return (await this.#ask(life.qemuDomainMonitorCommand, { cmd: command }, options)).result;
  }

  /**
   * A picture of the screen, such as a PPM or PNG file, over a connection of its own: `virDomainScreenshot`.
   */
  async screenshot(options: ScreenshotOptions = {}): Promise<Screenshot> {
    const { screen = 0, ...rest } = optionsObject(options, 'screenshot');
    checkCallOptions(rest, CALL_OPTIONS, 'screenshot');
    const args = { dom: this.ref, screen, flags: 0 };
    const { openDownload } = await import('./streams/download.ts'); // most programs never read one
    const { streams } = this.connection;
    const opened = await openDownload(streams, storageProcedures.domainScreenshot, args, 'zeroes', rest);
    return { mimeType: opened.reply.mime, data: opened.readable };
  }

  /**
   * The sizes of a disk: `virDomainGetBlockInfo`.
   *
   * @param path - of the image, or the target name such as `vda`
   */
  async getBlockInfo(path: string, options?: FlagOptions): Promise<BlockInfo> {
    return safeNumbers(await this.#ask(life.domainGetBlockInfo, { path }, options));
  }

  /** Counts of a disk: `virDomainBlockStats`. */
  async blockStats(path: string, options?: CallOptions): Promise<BlockStats> {
    return safeNumbers(await this.#ask(block.domainBlockStats, { path }, options));
  }

  /** More counts than `blockStats` has, by names such as `rd_total_times`: `virDomainBlockStatsFlags`. */
  async blockStatsFlags(path: string, options?: FlagOptions): Promise<Map<string, TypedValue>> {
    const args = { path, nparams: REMOTE_DOMAIN_BLOCK_STATS_PARAMETERS_MAX };
    return typedParameterMap((await this.#ask(block.domainBlockStatsFlags, args, options)).params);
  }

  /** The disks that had errors: `virDomainGetDiskErrors`. */
  async getDiskErrors(options?: FlagOptions): Promise<readonly DiskError[]> {
    const args = { maxerrors: REMOTE_DOMAIN_DISK_ERRORS_MAX };
    return (await this.#ask(block.domainGetDiskErrors, args, options)).errors;
  }

  /**
   * A part of a disk of a running domain, at most 4 MiB: `virDomainBlockPeek`. libvirt refuses it where the image is
   * not raw.
   *
   * @param offset - in bytes, as `size` is
   */
  async blockPeek(
    path: string,
    offset: number | bigint,
    size: number,
    options?: FlagOptions,
  ): Promise<Uint8Array> {
    const args = { path, offset: wireInteger(offset, 'offset'), size };
    return (await this.#ask(block.domainBlockPeek, args, options)).buffer;
  }

  /**
   * Asks for one event `blockThreshold` when something is written at or behind `threshold`:
   * `virDomainSetBlockThreshold`.
   *
   * @param dev - such as `vda`, or `vda[3]` for the node of that index, a scratch file of a backup for one
   * @param threshold - in bytes of the file or device on the host, not of what the guest sees; 0: no longer
   */
  async setBlockThreshold(dev: string, threshold: number | bigint, options?: FlagOptions): Promise<void> {
    const args = { dev, threshold: wireInteger(threshold, 'threshold') };
    await this.#ask(block.domainSetBlockThreshold, args, options);
  }

  /**
   * Sets the size of a disk of a running domain: `virDomainBlockResize`; flags: `virDomainBlockResizeFlags`.
   *
   * @param size - in KiB, or in bytes with the flag `VIR_DOMAIN_BLOCK_RESIZE_BYTES`
   */
  async blockResize(disk: string, size: number | bigint, options?: FlagOptions): Promise<void> {
    await this.#ask(life.domainBlockResize, { disk, size: wireInteger(size, 'size') }, options);
  }

  /**
   * Writes what is in the upper images of a chain down into a lower one: `virDomainBlockCommit`. As all block jobs it
   * goes on after the method has returned: the event `blockJob2` tells more.
   */
  async blockCommit(disk: string, options: BlockCommitOptions = {}): Promise<void> {
    const { base = null, top = null, bandwidth = 0, ...rest } = optionsObject(options, 'blockCommit');
    const args = { disk, base, top, bandwidth: wireInteger(bandwidth, 'bandwidth') };
    await this.#ask(block.domainBlockCommit, args, rest);
  }

  /**
   * Fetches what is in the lower images of a chain into that of the disk: `virDomainBlockPull`; flags:
   * `virDomainBlockPullFlags`.
   */
  async blockPull(disk: string, options: BlockPullOptions = {}): Promise<void> {
    const { bandwidth = 0, ...rest } = optionsObject(options, 'blockPull');
    const args = { path: disk, bandwidth: wireInteger(bandwidth, 'bandwidth') };
    await this.#ask(block.domainBlockPull, args, rest);
  }

  /**
   * As `blockPull`, but what is in `base` and below stays there: `virDomainBlockRebase`; flags:
   * `virDomainBlockRebaseFlags`.
   */
  async blockRebase(disk: string, base: string | null, options: BlockPullOptions = {}): Promise<void> {
    const { bandwidth = 0, ...rest } = optionsObject(options, 'blockRebase');
    const args = { path: disk, base, bandwidth: wireInteger(bandwidth, 'bandwidth') };
    await this.#ask(block.domainBlockRebase, args, rest);
  }

  /**
   * Copies a disk and keeps the copy in step, until `blockJobAbort` ends that, or pivots to the copy:
   * `virDomainBlockCopy`.
   *
   * @param destXml - `<disk>` with the copy's source and driver
   */
  async blockCopy(disk: string, destXml: string, options: BlockCopyOptions = {}): Promise<void> {
    const { params = new Map(), ...rest } = optionsObject(options, 'blockCopy');
    const args = { path: disk, destxml: destXml, params: typedParameterList(params) };
    await this.#ask(block.domainBlockCopy, args, rest);
  }

  /** Ends the block job of a disk: `virDomainBlockJobAbort`; flags: `virDomainBlockJobAbortFlags`. */
  async blockJobAbort(disk: string, options?: FlagOptions): Promise<void> {
    await this.#ask(block.domainBlockJobAbort, { path: disk }, options);
  }

  /**
   * The block job of a disk, or null if there is none: `virDomainGetBlockJobInfo`; flags:
   * `virDomainBlockJobInfoFlags`.
   */
  async getBlockJobInfo(disk: string, options?: FlagOptions): Promise<BlockJobInfo | null> {
    const { found, ...job } = await this.#ask(block.domainGetBlockJobInfo, { path: disk }, options);
    return found === 0 ? null : safeNumbers(job);
  }

  /**
   * Limits the block job of a disk: `virDomainBlockJobSetSpeed`; flags: `virDomainBlockJobSetSpeedFlags`.
   *
   * @param bandwidth - in MiB per second, or in bytes with a flag; 0: not limited
   */
  async blockJobSetSpeed(disk: string, bandwidth: number | bigint, options?: FlagOptions): Promise<void> {
    const args = { path: disk, bandwidth: wireInteger(bandwidth, 'bandwidth') };
    await this.#ask(block.domainBlockJobSetSpeed, args, options);
  }

  #ask<P extends Procedure>(
    procedure: P,
    args: Omit<ArgsOf<P>, 'dom' | 'flags'>,
    options: FlagOptions | undefined,
  ): Promise<ReplyOf<P>> {
    const all = { dom: this.#ref, ...args } as unknown as Omit<ArgsOf<P>, 'flags'>;
    return ask(this.connection, procedure, all, options);
  }
}
