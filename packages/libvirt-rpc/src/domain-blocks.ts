import type { DiskError } from './codec/struct-types.ts';
import { type TypedValue, typedParameterList, typedParameterMap } from './codec/typed-parameter.ts';
import { DomainGuest } from './domain-guest.ts';
import { domainBlockProcedures } from './procedures/domain-block.ts';
import { domainProcedures } from './procedures/domain.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { safeNumbers, wireInteger } from './safe-number.ts';

/** Sizes of a disk in bytes. */
export interface BlockInfo {
  /** In use by the domain: the highest offset written, where the format knows it. */
  readonly allocation: number;
  /** What the guest sees. */
  readonly capacity: number;
  /** Of the file or device on the host. */
  readonly physical: number;
}

/** Counts of a disk since the domain was started; -1: not known. */
export interface BlockStats {
  readonly rdReq: number;
  readonly rdBytes: number;
  readonly wrReq: number;
  readonly wrBytes: number;
  readonly errs: number;
}

/** A block job that runs. */
export interface BlockJobInfo {
  /** One of `virDomainBlockJobType`. */
  readonly type: number;
  /** In MiB per second, or in bytes per second if asked for; 0: not limited. */
  readonly bandwidth: number;
  /** How far it is, in its own unit. */
  readonly cur: number;
  /** Where it is going; the same as `cur`: it is done, or ready to pivot. */
  readonly end: number;
}

// The maxima of the protocol: asking for that many saves the call that asks how many there are.
const REMOTE_DOMAIN_BLOCK_STATS_PARAMETERS_MAX = 16;
const REMOTE_DOMAIN_DISK_ERRORS_MAX = 256;

/**
 * The disks of a domain and their jobs: the third part of `Domain`. A disk is named by its target, such as `vda`,
 * or by the path of its image. A block job goes on after its method has returned: the event `blockJob2` tells more.
 */
export class DomainBlocks extends DomainGuest {
  /** @param path - of the image, or the target name such as `vda` */
  async getBlockInfo(path: string, options: CallOptions = {}): Promise<BlockInfo> {
    const args = { dom: this.ref, path, flags: 0 };
    return safeNumbers(await this.connection.call(domainProcedures.domainGetBlockInfo, args, options));
  }

  async blockStats(path: string, options: CallOptions = {}): Promise<BlockStats> {
    const args = { dom: this.ref, path };
    return safeNumbers(await this.connection.call(domainBlockProcedures.domainBlockStats, args, options));
  }

  /** More counts than `blockStats` has, by names such as `rd_total_times`. */
  async blockStatsFlags(path: string, options: CallOptions = {}): Promise<Map<string, TypedValue>> {
    const args = { dom: this.ref, path, nparams: REMOTE_DOMAIN_BLOCK_STATS_PARAMETERS_MAX, flags: 0 };
    const { domainBlockStatsFlags } = domainBlockProcedures;
    return typedParameterMap((await this.connection.call(domainBlockStatsFlags, args, options)).params);
  }

  /** The disks that had errors. */
  async getDiskErrors(options: CallOptions = {}): Promise<readonly DiskError[]> {
    const args = { dom: this.ref, maxerrors: REMOTE_DOMAIN_DISK_ERRORS_MAX, flags: 0 };
    return (await this.connection.call(domainBlockProcedures.domainGetDiskErrors, args, options)).errors;
  }

  /** A part of a disk of a running domain, at most 4 MiB; libvirt refuses it where the image is not raw. */
  async blockPeek(
    path: string,
    offset: number | bigint,
    size: number,
    options: CallOptions = {},
  ): Promise<Uint8Array> {
    const args = { dom: this.ref, path, offset: wireInteger(offset, 'offset'), size, flags: 0 };
    return (await this.connection.call(domainBlockProcedures.domainBlockPeek, args, options)).buffer;
  }

  /**
   * Asks for one event `blockThreshold` when something is written at or behind `threshold`.
   *
   * @param dev - such as `vda`, or `vda[3]` for the node of that index, a scratch file of a backup for one
   * @param threshold - in bytes of the file or device on the host, not of what the guest sees; 0: no longer
   */
  async setBlockThreshold(dev: string, threshold: number | bigint, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.ref, dev, threshold: wireInteger(threshold, 'threshold'), flags: 0 };
    await this.connection.call(domainBlockProcedures.domainSetBlockThreshold, args, options);
  }

  /**
   * Sets the size of a disk of a running domain.
   *
   * @param size - in KiB, or in bytes with the flag `VIR_DOMAIN_BLOCK_RESIZE_BYTES`
   * @param flags - `virDomainBlockResizeFlags`
   */
  async blockResize(
    disk: string,
    size: number | bigint,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, disk, size: wireInteger(size, 'size'), flags };
    await this.connection.call(domainProcedures.domainBlockResize, args, options);
  }

  /**
   * Writes what is in the upper images of a chain down into a lower one.
   *
   * @param base - path of the image that takes it, or such as `vda[2]`; null: the lowest
   * @param top - the uppermost image whose data goes down; null: that of the disk
   * @param bandwidth - in MiB per second; 0: not limited
   * @param flags - `virDomainBlockCommitFlags`
   */
  async blockCommit(
    disk: string,
    base: string | null,
    top: string | null,
    bandwidth: number | bigint = 0,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, disk, base, top, bandwidth: wireInteger(bandwidth, 'bandwidth'), flags };
    await this.connection.call(domainBlockProcedures.domainBlockCommit, args, options);
  }

  /**
   * Fetches what is in the lower images of a chain into that of the disk.
   *
   * @param bandwidth - in MiB per second; 0: not limited
   * @param flags - `virDomainBlockPullFlags`
   */
  async blockPull(
    disk: string,
    bandwidth: number | bigint = 0,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, path: disk, bandwidth: wireInteger(bandwidth, 'bandwidth'), flags };
    await this.connection.call(domainBlockProcedures.domainBlockPull, args, options);
  }

  /**
   * As `blockPull`, but what is in `base` and below stays there.
   *
   * @param flags - `virDomainBlockRebaseFlags`
   */
  async blockRebase(
    disk: string,
    base: string | null,
    bandwidth: number | bigint = 0,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, path: disk, base, bandwidth: wireInteger(bandwidth, 'bandwidth'), flags };
    await this.connection.call(domainBlockProcedures.domainBlockRebase, args, options);
  }

  /**
   * Copies a disk and keeps the copy in step, until `blockJobAbort` ends that, or pivots to the copy.
   *
   * @param destXml - `<disk>` with the copy's source and driver
   * @param params - such as `bandwidth`, in bytes per second
   * @param flags - `virDomainBlockCopyFlags`
   */
  async blockCopy(
    disk: string,
    destXml: string,
    params: ReadonlyMap<string, TypedValue> = new Map(),
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, path: disk, destxml: destXml, params: typedParameterList(params), flags };
    await this.connection.call(domainBlockProcedures.domainBlockCopy, args, options);
  }

  /**
   * Ends the block job of a disk.
   *
   * @param flags - `virDomainBlockJobAbortFlags`
   */
  async blockJobAbort(disk: string, flags = 0, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.ref, path: disk, flags };
    await this.connection.call(domainBlockProcedures.domainBlockJobAbort, args, options);
  }

  /**
   * The block job of a disk, or null if there is none.
   *
   * @param flags - `virDomainBlockJobInfoFlags`
   */
  async getBlockJobInfo(disk: string, flags = 0, options: CallOptions = {}): Promise<BlockJobInfo | null> {
    const args = { dom: this.ref, path: disk, flags };
    const { domainGetBlockJobInfo } = domainBlockProcedures;
    const { found, ...job } = await this.connection.call(domainGetBlockJobInfo, args, options);
    return found === 0 ? null : safeNumbers(job);
  }

  /**
   * Limits the block job of a disk.
   *
   * @param bandwidth - in MiB per second; 0: not limited
   * @param flags - `virDomainBlockJobSetSpeedFlags`
   */
  async blockJobSetSpeed(
    disk: string,
    bandwidth: number | bigint,
    flags = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, path: disk, bandwidth: wireInteger(bandwidth, 'bandwidth'), flags };
    await this.connection.call(domainBlockProcedures.domainBlockJobSetSpeed, args, options);
  }
}
