import type { TypedValue } from './codec/typed-parameter.ts';
import type { CallOptions, FlagOptions } from './rpc/call-options.ts';

/** Options of `Domain.getMetadata`; flags: `virDomainModificationImpact`. */
export interface GetMetadataOptions extends FlagOptions {
  /** The namespace of an element of your own; default, null: for the other types. */
  readonly uri?: string | null | undefined;
}

/** Options of `Domain.setMetadata`; flags: `virDomainModificationImpact`. */
export interface SetMetadataOptions extends GetMetadataOptions {
  /** The namespace prefix of an element of your own; default, null: for the other types. */
  readonly key?: string | null | undefined;
}

/** Options of `Domain.fsTrim`. */
export interface FsTrimOptions extends FlagOptions {
  /** Default, null: all. */
  readonly mountPoint?: string | null | undefined;
  /** Free ranges that are smaller, in bytes, may be left out; default 0. */
  readonly minimum?: number | bigint | undefined;
}

/** Options of `Domain.agentCommand`. */
export interface AgentCommandOptions extends FlagOptions {
  /** For the agent to answer, as for `Domain.agentSetResponseTimeout`; default -1: the daemon's default. */
  readonly timeoutSeconds?: number | undefined;
}

/** Options of `Domain.getGuestInfo`. */
export interface GuestInfoOptions extends FlagOptions {
  /** `virDomainGuestInfoTypes`; default 0: all that the agent knows. */
  readonly types?: number | undefined;
}

/** Options of `Domain.screenshot`. */
export interface ScreenshotOptions extends CallOptions {
  /** The number of the screen, where there are several; default 0. */
  readonly screen?: number | undefined;
}

/** Options of `Domain.blockPull` and `Domain.blockRebase`. */
export interface BlockPullOptions extends FlagOptions {
  /** In MiB per second, unless a flag says bytes; default, 0: not limited. */
  readonly bandwidth?: number | bigint | undefined;
}

/** Options of `Domain.blockCommit`; flags: `virDomainBlockCommitFlags`. */
export interface BlockCommitOptions extends BlockPullOptions {
  /** Path of the image that takes the data, or such as `vda[2]`; default, null: the lowest. */
  readonly base?: string | null | undefined;
  /** The uppermost image whose data goes down; default, null: that of the disk. */
  readonly top?: string | null | undefined;
}

/** Options of `Domain.blockCopy`; flags: `virDomainBlockCopyFlags`. */
export interface BlockCopyOptions extends FlagOptions {
  /** Such as `bandwidth`, in bytes per second; default: none. */
  readonly params?: ReadonlyMap<string, TypedValue> | undefined;
}
