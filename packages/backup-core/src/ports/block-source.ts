/** A range of a metadata context with one set of flags. Offsets and lengths are bytes. */
export interface StatusExtent {
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
}

/** For each context its extents in order from the offset asked for; the server may answer in part. */
export type StatusReply = ReadonlyMap<string, readonly StatusExtent[]>;

/** A disk at one point in time, read while the job lasts. An `NbdConnection` fits. */
export interface BlockSource {
  /** Bytes. */
  readonly exportSize: number;
  /** The metadata contexts that can be asked for. */
  readonly metaContexts: readonly string[];
  readonly statistics: { readonly readBytesRequested: number };
  /** Whether it fills shared memory faster than other memory. */
  readonly prefersSharedMemory?: boolean | undefined;
  read(offset: number, length: number, options?: ReadRequestOptions): Promise<Uint8Array>;
  readInto(buffer: Uint8Array, offset: number, options?: ReadRequestOptions): Promise<void>;
  blockStatus(
    offset: number,
    length: number,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<StatusReply>;
  /** Says goodbye, within a bound. */
  close(): Promise<unknown>;
  /** Drops the connection; what is under way is rejected. */
  destroy(reason?: Error): void;
}

/** For `BlockSource.read` and `readInto`. */
export interface ReadRequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** The range is known to hold data: one piece is wanted, and an error instead of a lost connection. */
  readonly df?: boolean | undefined;
}

/** Where a job's server offers one disk. */
export interface ExportAddress {
  /** Path of the unix socket. */
  readonly socket: string;
  readonly exportName: string;
}

/** For `OpenExport`. */
export interface OpenExportOptions {
  readonly metaContexts: readonly string[];
  /** The connection ends if an answer is due and nothing comes for so long; 0: never. Default: a minute. */
  readonly idleTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens an export. The result has every context asked for, or the promise is rejected.
 *
 * @throws SourceError, as everything does that the result is asked for, or the signal's reason
 */
export type OpenExport = (address: ExportAddress, options: OpenExportOptions) => Promise<BlockSource>;

/** What kept a source from being opened or read. */
export type SourceReason =
  /** Its socket may not be used. */
  | 'denied'
  /** There is no server, or it has no such export. */
  | 'absent'
  /** The server ended the connection. */
  | 'closed'
  /** It did not answer for longer than it may. */
  | 'timeout'
  /** It could not read its disk. */
  | 'media'
  /** Anything else: see `cause`. */
  | 'failed';

/** A source could not be opened or read. The job says what that means. */
export class SourceError extends Error {
  static {
    this.prototype.name = 'SourceError';
  }
  readonly code = 'ERR_BACKUP_SOURCE';
  readonly reason: SourceReason;

  constructor(reason: SourceReason, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}
