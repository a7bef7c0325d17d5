import type { Readable } from 'node:stream';
import type { FsInfo } from './codec/struct-types.ts';
import { type TypedValue, typedParameterMap } from './codec/typed-parameter.ts';
import { DomainLifecycle } from './domain-lifecycle.ts';
import { domainGuestProcedures } from './procedures/domain-guest.ts';
import { domainProcedures } from './procedures/domain.ts';
import { storageProcedures } from './procedures/storage.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { wireInteger } from './safe-number.ts';

export interface Screenshot {
  /** Such as `image/x-portable-pixmap`. */
  readonly mimeType: string | null;
  readonly data: Readable;
}

/** The guest agent, QEMU's monitor and the screen: the second part of `Domain`. */
export class DomainGuest extends DomainLifecycle {
  /**
   * Freezes file systems through the guest agent. Waits as long as the agent does: see
   * `agentSetResponseTimeout`.
   *
   * @param mountpoints - all, if empty
   * @returns how many were frozen
   */
  async fsFreeze(mountpoints: readonly string[] = [], options: CallOptions = {}): Promise<number> {
    const args = { dom: this.ref, mountpoints, flags: 0 };
    return (await this.connection.call(domainProcedures.domainFsfreeze, args, options)).filesystems;
  }

  /** Thaws what `fsFreeze` froze; returns how many. */
  async fsThaw(mountpoints: readonly string[] = [], options: CallOptions = {}): Promise<number> {
    const args = { dom: this.ref, mountpoints, flags: 0 };
    return (await this.connection.call(domainProcedures.domainFsthaw, args, options)).filesystems;
  }

  /**
   * Discards what file systems do not use, through the guest agent.
   *
   * @param mountPoint - default, null: all
   * @param minimum - free ranges that are smaller, in bytes, may be left out
   */
  async fsTrim(
    mountPoint: string | null = null,
    minimum: number | bigint = 0,
    options: CallOptions = {},
  ): Promise<void> {
    const args = { dom: this.ref, mountPoint, minimum: wireInteger(minimum, 'minimum'), flags: 0 };
    await this.connection.call(domainGuestProcedures.domainFstrim, args, options);
  }

  /** The file systems that are mounted in the guest, as its agent tells. */
  async getFsInfo(options: CallOptions = {}): Promise<readonly FsInfo[]> {
    const args = { dom: this.ref, flags: 0 };
    return (await this.connection.call(domainGuestProcedures.domainGetFsinfo, args, options)).info;
  }

  /**
   * What the guest agent tells, by names such as `os.id` and `user.0.name`.
   *
   * @param types - `virDomainGuestInfoTypes`
   */
  async getGuestInfo(types = 0, options: CallOptions = {}): Promise<Map<string, TypedValue>> {
    const args = { dom: this.ref, types, flags: 0 };
    const { domainGetGuestInfo } = domainGuestProcedures;
    return typedParameterMap((await this.connection.call(domainGetGuestInfo, args, options)).params);
  }

  /** @param seconds - or one of `virDomainAgentResponseTimeoutValues` */
  async agentSetResponseTimeout(seconds: number, options: CallOptions = {}): Promise<void> {
    const args = { dom: this.ref, timeout: seconds, flags: 0 };
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
    const args = { dom: this.ref, cmd: command, timeout: timeoutSeconds, flags };
    return (await this.connection.call(domainProcedures.qemuDomainAgentCommand, args, options)).result;
  }

  /**
   * Sends a command to QEMU's monitor and returns its answer, also where that is an error of QMP's.
   *
   * @param flags - `virDomainQemuMonitorCommandFlags`
   */
  async monitorCommand(command: string, flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { dom: this.ref, cmd: command, flags };
    return (await this.connection.call(domainProcedures.qemuDomainMonitorCommand, args, options)).result;
  }

  /**
   * A picture of the screen, such as a PPM or PNG file, over a connection of its own.
   *
   * @param screen - the number of the screen, where there are several
   */
  async screenshot(screen = 0, options: CallOptions = {}): Promise<Screenshot> {
    const args = { dom: this.ref, screen, flags: 0 };
    const { domainScreenshot } = storageProcedures;
    const { openDownload } = await import('./streams/download.ts'); // most programs never read one
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
