import { Checkpoint } from './checkpoint.ts';
import { type TypedValue, typedParameterMap } from './codec/typed-parameter.ts';
import { DomainBlocks } from './domain-blocks.ts';
import { backupProcedures } from './procedures/backup.ts';
import { domainConfigProcedures } from './procedures/domain-config.ts';
import { domainProcedures } from './procedures/domain.ts';
import { snapshotProcedures } from './procedures/snapshot.ts';
import type { ReplyOf } from './procedures/row.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { Snapshot } from './snapshot.ts';

/** Progress of the current job; times in milliseconds, the rest in bytes. */
export type JobInfo = ReplyOf<typeof backupProcedures.domainGetJobInfo>;

export interface JobStats {
  /** One of `virDomainJobType`. */
  readonly type: number;
  readonly params: Map<string, TypedValue>;
}

/**
 * A domain of a connection. Its UUID is what names it to the daemon; the object holds no resource.
 *
 * Every method calls one procedure and rejects with LibvirtError if the daemon answers with an error, or as
 * `Connection.call` does. XML goes in and out as strings.
 */
export class Domain extends DomainBlocks {
  /** @param flags - `virDomainXMLFlags` */
  async getXmlDesc(flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { dom: this.ref, flags };
    return (await this.connection.call(domainProcedures.domainGetXmlDesc, args, options)).xml;
  }

  /**
   * A description, a title, or an element of your own; `isNoDomainMetadata` of the error tells that there is none.
   *
   * @param type - `virDomainMetadataType`
   * @param uri - the element's namespace; null for the other types
   * @param flags - `virDomainModificationImpact`
   */
  async getMetadata(
    type: number,
    uri: string | null = null,
    flags = 0,
    options: CallOptions = {},
  ): Promise<string> {
    const args = { dom: this.ref, type, uri, flags };
    return (await this.connection.call(domainConfigProcedures.domainGetMetadata, args, options)).metadata;
  }

  /**
   * @param type - `virDomainMetadataType`
   * @param metadata - text, or the element as XML; null: removes it
   * @param key - the element's namespace prefix; null for the other types
   * @param uri - the element's namespace; null for the other types
   * @param flags - `virDomainModificationImpact`
   */
  async setMetadata(
    type: number,
    metadata: string | null,
    key: string | null = null,
    uri: string | null = null,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, type, metadata, key, uri, flags };
    await this.connection.call(domainConfigProcedures.domainSetMetadata, args, options);
  }

  /**
   * @param xml - the device, such as `<disk>`
   * @param flags - `virDomainDeviceModifyFlags`
   */
  async attachDeviceFlags(xml: string, flags = 0, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.ref, xml, flags };
    await this.connection.call(domainConfigProcedures.domainAttachDeviceFlags, args, options);
  }

  /**
   * Takes a device away. Of a running domain that only asks the guest: the event `deviceRemoved` tells when it is gone.
   *
   * @param flags - `virDomainDeviceModifyFlags`
   */
  async detachDeviceFlags(xml: string, flags = 0, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.ref, xml, flags };
    await this.connection.call(domainConfigProcedures.domainDetachDeviceFlags, args, options);
  }

  /** @param flags - `virDomainDeviceModifyFlags` */
  async updateDeviceFlags(xml: string, flags = 0, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.ref, xml, flags };
    await this.connection.call(domainConfigProcedures.domainUpdateDeviceFlags, args, options);
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
    const args = { dom: this.ref, backupXml, checkpointXml: checkpointXml ?? null, flags };
    await this.connection.call(backupProcedures.domainBackupBegin, args, options);
  }

  /** The running backup; `isNoDomainBackup` of the error tells that there is none. */
  async backupGetXmlDesc(flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { dom: this.ref, flags };
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
    if (flags === 0) await this.connection.call(domainAbortJob, { dom: this.ref }, options);
    else await this.connection.call(domainAbortJobFlags, { dom: this.ref, flags }, options);
  }

  async getJobInfo(options: CallOptions = {}): Promise<JobInfo> {
    return this.connection.call(backupProcedures.domainGetJobInfo, { dom: this.ref }, options);
  }

  /**
   * Statistics of the current job, or of the one that ended last.
   *
   * @param flags - `virDomainGetJobStatsFlags`
   */
  async getJobStats(flags = 0, options: CallOptions = {}): Promise<JobStats> {
    const args = { dom: this.ref, flags };
    const { type, params } = await this.connection.call(backupProcedures.domainGetJobStats, args, options);
    return { type, params: typedParameterMap(params) };
  }

  /** @param flags - `virDomainCheckpointCreateFlags` */
  async checkpointCreateXml(xml: string, flags = 0, options: CallOptions = {}): Promise<Checkpoint> {
    const args = { dom: this.ref, xmlDesc: xml, flags };
    const { checkpoint } = await this.connection.call(
      backupProcedures.domainCheckpointCreateXml,
      args,
      options,
    );
    return new Checkpoint(this, checkpoint);
  }

  /** @param flags - `virDomainCheckpointListFlags` */
  async listAllCheckpoints(flags = 0, options: CallOptions = {}): Promise<Checkpoint[]> {
    const args = { dom: this.ref, needResults: 1, flags };
    const { checkpoints } = await this.connection.call(
      backupProcedures.domainListAllCheckpoints,
      args,
      options,
    );
    return checkpoints.map((checkpoint) => new Checkpoint(this, checkpoint));
  }

  /** `isNoDomainCheckpoint` of the error tells that there is none of this name. */
  async checkpointLookupByName(name: string, options: CallOptions = {}): Promise<Checkpoint> {
    const args = { dom: this.ref, name, flags: 0 };
    const { domainCheckpointLookupByName } = backupProcedures;
    return new Checkpoint(
      this,
      (await this.connection.call(domainCheckpointLookupByName, args, options)).checkpoint,
    );
  }

  /**
   * Makes a snapshot. An external one is an overlay on every disk, which takes what is written from then on.
   *
   * @param flags - `virDomainSnapshotCreateFlags`
   */
  async snapshotCreateXml(xml: string, flags = 0, options: CallOptions = {}): Promise<Snapshot> {
    const args = { dom: this.ref, xmlDesc: xml, flags };
    const { snap } = await this.connection.call(snapshotProcedures.domainSnapshotCreateXml, args, options);
    return new Snapshot(this, snap);
  }

  /** @param flags - `virDomainSnapshotListFlags` */
  async listAllSnapshots(flags = 0, options: CallOptions = {}): Promise<Snapshot[]> {
    const args = { dom: this.ref, needResults: 1, flags };
    const { snapshots } = await this.connection.call(
      snapshotProcedures.domainListAllSnapshots,
      args,
      options,
    );
    return snapshots.map((snapshot) => new Snapshot(this, snapshot));
  }

  /** `isNoDomainSnapshot` of the error tells that there is none of this name. */
  async snapshotLookupByName(name: string, options: CallOptions = {}): Promise<Snapshot> {
    const args = { dom: this.ref, name, flags: 0 };
    const { snap } = await this.connection.call(snapshotProcedures.domainSnapshotLookupByName, args, options);
    return new Snapshot(this, snap);
  }

  /** The snapshot that the domain goes on from; `isNoDomainSnapshot` of the error tells that there is none. */
  async snapshotCurrent(options: CallOptions = {}): Promise<Snapshot> {
    const args = { dom: this.ref, flags: 0 };
    const { snap } = await this.connection.call(snapshotProcedures.domainSnapshotCurrent, args, options);
    return new Snapshot(this, snap);
  }

  async hasCurrentSnapshot(options: CallOptions = {}): Promise<boolean> {
    const args = { dom: this.ref, flags: 0 };
    return (await this.connection.call(snapshotProcedures.domainHasCurrentSnapshot, args, options)).result;
  }

  /**
   * Puts the domain back to what it was; what has been written since is lost.
   *
   * @param flags - `virDomainSnapshotRevertFlags`
   */
  async revertToSnapshot(snapshot: Snapshot, flags = 0, options: CallOptions = {}): Promise<void> {
    const args = { snap: snapshot.ref, flags };
    await this.connection.call(snapshotProcedures.domainRevertToSnapshot, args, options);
  }
}
